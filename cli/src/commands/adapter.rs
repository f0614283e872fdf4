//! `avdit adapter` and `avdit merge`: what an AV-DiT has learned beside its base, to and from peft, and with its base as one.

use crate::args::{AdapterCommand, FromPeftArgs, MergeArgs, ToPeftArgs};
use crate::output::{say, say_json};
use crate::progress::Activity;
use anyhow::Result;
use avdit_trainer::adapter::{self, Adapter, Form, Merged, peft};
use serde_json::json;

pub fn run(command: &AdapterCommand) -> Result<()> {
    match command {
        AdapterCommand::ToPeft(args) => to_peft(args),
        AdapterCommand::FromPeft(args) => from_peft(args),
    }
}

fn to_peft(args: &ToPeftArgs) -> Result<()> {
    let adapter = Adapter::read(&args.adapter)?;
    let sites = peft::write(&adapter, &args.out)?;
    let is_lora = |name: &str| name.ends_with(".A") || name.ends_with(".B");
    let (lora, other): (Vec<_>, Vec<_>) = adapter.weights.iter().partition(|(name, _)| is_lora(name));
    let count = |list: &[(&String, &Vec<f32>)]| list.iter().map(|(_, values)| values.len()).sum::<usize>();
    let (lora, other) = (count(&lora), count(&other));
    if args.json {
        return say_json(&json!({
            "schema": "avdit-adapter-to-peft/1", "sites": sites, "lora_values": lora, "left_out_values": other,
        }));
    }
    for site in &sites {
        say(format!("{}: rank {}", args.out.join(site.name).display(), site.rank));
    }
    say(format!("{lora} values of LoRA; {other} other values of the adapter have no form in peft"));
    Ok(())
}

fn from_peft(args: &FromPeftArgs) -> Result<()> {
    let into = Adapter::read(&args.into)?;
    let new = peft::read(&args.peft, &into)?;
    new.write(&args.out)?;
    let changed = new.weights.iter().filter(|(name, values)| into.weights.get(*name) != Some(values)).count();
    let (sites, scale) = (peft::sites(&new.config.network), new.config.network.lora_scale);
    if args.json {
        return say_json(&json!({
            "schema": "avdit-adapter-from-peft/1", "sites": sites, "lora_scale": scale, "changed_tensors": changed,
        }));
    }
    let ranks: Vec<_> = sites.iter().map(|site| format!("{} of rank {}", site.name, site.rank)).collect();
    let (out, ranks) = (args.out.display(), ranks.join(", "));
    let tensors = new.weights.len();
    say(format!("{out}: {ranks}, scale {scale}; {changed} of {tensors} tensors are not what they were"));
    Ok(())
}

pub fn merge(args: &MergeArgs) -> Result<()> {
    let form = if args.keep_factors { Form::Separate } else { Form::Merged };
    let activity = Activity::new("merge base and adapter");
    let merged = adapter::merge(&args.base, &args.adapter, &args.out, form)?;
    activity.finish(&format!("{} values written", merged.values));
    if args.json {
        let mut record = serde_json::to_value(&merged)?;
        record["schema"] = "avdit-merge/1".into();
        return say_json(&record);
    }
    say(format!(
        "{}: {} values, {} bytes, needs no other folder",
        args.out.display(),
        merged.values,
        merged.bytes
    ));
    for line in account(&merged) {
        say(format!("  {line}"));
    }
    Ok(())
}

/// The sizes before and after, and what stays as it is.
fn account(merged: &Merged) -> Vec<String> {
    let Merged { base_values, adapter_values, separate_values, values, copy_values, sites, .. } = merged;
    let share = 100.0 * *adapter_values as f64 / *separate_values as f64;
    let mut lines = vec![format!(
        "before: base {base_values} values, adapter {adapter_values}, together {separate_values} (the adapter is {share:.1} %; \
         its biases and label table are in place of the base's)"
    )];
    if merged.lora == Form::Separate {
        lines.push("LoRA stays as factors".to_owned());
        return lines;
    }
    let ratio = *values as f64 / *separate_values as f64;
    lines.push(format!(
        "after: {values} values, {ratio:.3} × as many: in each block {copy_values} for the attention of each of {sites} sites, in \
         place of its factors, since sight goes on with the attention as it is (--keep-factors leaves them)"
    ));
    for not in &merged.not_folded {
        lines.push(format!("not folded: {}: {}", not.part, not.reason));
    }
    lines
}
