//! `avdit adapter` and `avdit merge`: what an AV-DiT has learned beside its base, to and from peft, and with its base as one.

use crate::args::{AdapterCommand, ExtractArgs, FromPeftArgs, MergeArgs, ToPeftArgs};
use crate::codec;
use crate::commands::export::find_codec;
use crate::output::{say, say_json};
use crate::progress::Activity;
use anyhow::{Context, Result};
use avdit_media::atomic::write_bytes_atomically;
use avdit_nets::NetworkConfig;
use avdit_trainer::adapter::{self, Adapter, AdapterConfig, Form, Merged, peft};
use avdit_trainer::checkpoint::{self, Checkpoint, Values};
use serde_json::json;
use std::path::Path;

pub fn run(command: &AdapterCommand) -> Result<()> {
    match command {
        AdapterCommand::Extract(args) => extract(args),
        AdapterCommand::ToPeft(args) => to_peft(args),
        AdapterCommand::FromPeft(args) => from_peft(args),
    }
}

fn extract(args: &ExtractArgs) -> Result<()> {
    let values = if args.raw { Values::Raw } else { Values::Ema };
    let folder = checkpoint::latest(&args.run)?;
    let (config, file) = Checkpoint::open_values(&folder, values)?;
    let bad = |what: &str| avdit_trainer::Error::content(&folder, what);
    let (NetworkConfig::AvDit(network), Some(base)) = (config.network, config.base) else {
        return Err(bad(
            "is no checkpoint of adapters\n\nhint: train some with model.architecture = \"av-dit\"",
        )
        .into());
    };
    let provenance = json!({
        "checkpoint": folder.canonicalize()?, "values": if args.raw { "raw" } else { "ema" }, "train": config.train,
        "avdit": env!("CARGO_PKG_VERSION"),
    });
    let provenance = provenance.as_object().cloned().unwrap_or_default();
    let config = AdapterConfig::new(&base.weights_sha256, network, config.spec, provenance);
    let values = file.names().into_iter().map(|name| Ok((name.clone(), file.load(&name)?)));
    let adapter = Adapter { config, weights: values.collect::<Result<_>>()? };
    adapter.write(&args.out)?;
    let codec = find_codec(&args.run, &folder)?;
    copy_codec(&codec, &args.out)?;
    let count: usize = adapter.weights.values().map(Vec::len).sum();
    let whole = adapter.config.network.parameter_count();
    if args.json {
        return say_json(&json!({
            "schema": "avdit-adapter-extract/1", "values": count, "network_values": whole, "base": base,
        }));
    }
    let share = 100.0 * count as f64 / whole as f64;
    say(format!("{}: {count} values, {share:.1} % of the network's {whole}", args.out.display()));
    say(format!("  its base: {} (SHA-256 {})", base.path.display(), base.weights_sha256));
    Ok(())
}

/// The codec of a folder goes with what is made from it.
fn copy_codec(codec: &Path, out: &Path) -> Result<()> {
    let bytes = std::fs::read(codec).with_context(|| codec.display().to_string())?;
    Ok(write_bytes_atomically(&out.join(codec::FILE), &bytes)?)
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
    let codec = args.adapter.join(codec::FILE);
    if codec.is_file() {
        copy_codec(&codec, &args.out)?;
    }
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
