//! Whose folder it is: a demo goes on in its own, starts anew in another demo's, and leaves a user's alone.

use super::Folders;
use crate::args::{AdapterPart, DemoArgs, DemoNetwork, Fusion, SamplerSteps};
use crate::exit::Usage;
use anyhow::{Context, Result, bail};
use avdit_core::sampler::SamplerKind;
use avdit_nets::av_dit::FusionForm;
use serde_json::{Value, json};

/// What a demo makes, and so may remove.
const MADE: [&str; 7] = ["clips", "held-out", "data", "pictures", "run", "model", "samples"];

/// Makes the folder this demo's, with a file that says what was asked for.
pub fn claim(folders: &Folders, args: &DemoArgs) -> Result<()> {
    let out = &folders.out;
    let path = folders.at("demo.json");
    if let (DemoNetwork::Avdit, Some(part)) = (args.network, args.without.first()) {
        bail!(Usage(format!("--without {}: only --network av-dit has adapters", part.name())));
    }
    if args.fusion != Fusion::Lora {
        let form = FusionForm::from(args.fusion).name();
        if args.network == DemoNetwork::Avdit {
            bail!(Usage(format!("--fusion {form}: only --network av-dit has adapters")));
        }
        if args.without.contains(&AdapterPart::Fusion) {
            bail!(Usage(format!("--fusion {form}: --without fusion leaves it out")));
        }
    }
    let learned = |with: &&SamplerSteps| with.sampler == SamplerKind::DdpmLearned;
    if let (DemoNetwork::Avdit, Some(with)) = (args.network, args.compare.iter().find(learned)) {
        bail!(Usage(format!("--compare {}: only --network av-dit learns a variance", with.sampler)));
    }
    let mut wanted = json!({
        "schema": "avdit-demo/1", "avdit": env!("CARGO_PKG_VERSION"),
        "seed": args.seed, "steps": args.steps, "clips": args.clips,
    });
    if args.network != DemoNetwork::Avdit {
        let without: Vec<&str> = args.without.iter().map(|part| part.name()).collect();
        wanted["network"] = json!({ "name": args.network.name(), "without": without });
        if args.fusion != Fusion::Lora {
            wanted["network"]["fusion"] = json!(FusionForm::from(args.fusion));
        }
    }
    let found: Option<Value> =
        std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let empty = std::fs::read_dir(out).map_or(true, |mut entries| entries.next().is_none());
    if found.is_none() && !empty {
        let hint = "choose an empty folder with --out";
        bail!(Usage(format!("{}: holds files that are not a demo's\n\nhint: {hint}", out.display())));
    }
    if found.as_ref().is_some_and(|found| *found != wanted) {
        for name in MADE.map(|name| folders.at(name)).into_iter().filter(|path| path.is_dir()) {
            std::fs::remove_dir_all(&name).with_context(|| name.display().to_string())?;
        }
    }
    std::fs::create_dir_all(out).with_context(|| out.display().to_string())?;
    avdit_media::atomic::write_bytes_atomically(&path, format!("{wanted:#}\n").as_bytes())?;
    Ok(())
}
