//! `avdit import`: public checkpoints → a network under this project's names.

use crate::args::ImportArgs;
use crate::output::{say, say_json};
use crate::progress::Stage;
use anyhow::Result;
use avdit_trainer::imported::Import;
use serde_json::json;

pub fn run(args: &ImportArgs) -> Result<()> {
    let import = Import::read(&args.files, &args.options())?;
    let kind = import.config().kind().name();
    let (tensors, parameters) = (import.tensors(), import.parameters());
    let mut stage = Stage::new(&format!("import {kind}"), tensors, "tensors");
    let record = import.write(&args.out, &mut |done, name| stage.set(done, name))?;
    stage.finish(&format!("{parameters} parameters"));
    if args.json {
        return say_json(&json!({
            "schema": "avdit-import/1", "out": args.out, "tensors": tensors, "parameters": parameters, "network": record,
        }));
    }
    let names = &record.source.names;
    say(format!("{}: {kind}, {names} names, {tensors} tensors, {parameters} parameters", args.out.display()));
    if let Some(key) = &record.source.key {
        say(format!("  of the key {key}"));
    }
    if let Some(within) = &record.source.within {
        say(format!("  of the tensors under {within}"));
    }
    if !record.source.left_out.is_empty() {
        say(format!("  without those under {}", record.source.left_out.join(", ")));
    }
    Ok(())
}
