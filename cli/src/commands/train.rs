//! `avdit train`: dataset → checkpoints.

use crate::args::TrainArgs;
use crate::cancel;
use crate::exit::{Interrupted, Usage};
use crate::output::{say, say_json};
use crate::progress::Stage;
use crate::ranks;
use anyhow::{Context, Result};
use avdit_media::shard::Dataset;
use avdit_trainer::parallel::Ranks;
use avdit_trainer::train::Outcome;
use avdit_trainer::{StartOptions, StepMetrics, TrainConfig, train_on};
use serde_json::json;
use std::path::Path;

/// A configuration with every setting explained.
pub const EXAMPLE: &str = include_str!("train_example.toml");

pub fn run(args: &TrainArgs) -> Result<()> {
    if args.example {
        say(EXAMPLE.trim_end());
        return Ok(());
    }
    let path = args.config.as_deref().context("no configuration was named")?;
    let config = read_config(path, &args.set)?;
    config.check()?;
    let start = StartOptions { resume: args.resume, overwrite: args.overwrite, until: args.until };
    ranks::on_launch(&args.ranks, &config, |ranks| {
        if ranks.is_first() { lead(ranks, args, path, &config, start) } else { follow(ranks, &config, start) }
    })
}

/// The rank that writes and tells.
fn lead(
    ranks: &mut Ranks,
    args: &TrainArgs,
    path: &Path,
    config: &TrainConfig,
    start: StartOptions,
) -> Result<()> {
    let outcome = on_ranks(ranks, config, start)?;
    if outcome.interrupted && cancel::asked() {
        let hint =
            format!("run `avdit train {} --resume` to go on from step {}", path.display(), outcome.step);
        return Err(Interrupted(hint).into());
    }
    if args.json {
        return say_json(&json!({
            "schema": "avdit-train/1", "step": outcome.step, "checkpoint": outcome.checkpoint,
            "complete": outcome.step == config.run.steps,
        }));
    }
    say(format!("step {} of {}: {}", outcome.step, config.run.steps, outcome.checkpoint.display()));
    Ok(())
}

/// The configuration of a file with settings replaced from the command line.
fn read_config(path: &Path, replacements: &[String]) -> Result<TrainConfig> {
    if replacements.is_empty() {
        return Ok(TrainConfig::read(path)?);
    }
    // Read as it stands first, so that its own mistakes are told with their place.
    TrainConfig::read(path)?;
    let mut table: toml::Table = std::fs::read_to_string(path)?.parse()?;
    for replacement in replacements {
        let (key, value) = replacement.split_once('=').ok_or_else(|| {
            Usage(format!("--set {replacement}: expected KEY=VALUE, such as optimizer.lr=3e-4"))
        })?;
        let value = format!("value = {value}")
            .parse::<toml::Table>()
            .ok()
            .and_then(|mut table| table.remove("value"));
        let value = value.unwrap_or_else(|| toml::Value::String(replacement[key.len() + 1..].to_owned()));
        let (mut place, mut rest) = (&mut table, key);
        while let Some((section, inner)) = rest.split_once('.') {
            let entry = place.entry(section).or_insert_with(|| toml::Value::Table(toml::Table::new()));
            place = entry
                .as_table_mut()
                .ok_or_else(|| Usage(format!("--set {replacement}: {section} is no section")))?;
            rest = inner;
        }
        place.insert(rest.to_owned(), value);
    }
    Ok(TrainConfig::parse(&toml::to_string(&table)?, Path::new("--set"))?)
}

/// Any other rank: it only computes.
fn follow(ranks: &mut Ranks, config: &TrainConfig, start: StartOptions) -> Result<()> {
    let examples = Dataset::open(&config.data)?;
    train_on(ranks, config, &examples, start, &mut |_: &StepMetrics| {}, &cancel::asked)?;
    Ok(())
}

/// Trains with a bar.
pub fn with_progress(config: &TrainConfig, start: StartOptions) -> Result<Outcome> {
    on_ranks(&mut Ranks::single(), config, start)
}

fn on_ranks(ranks: &mut Ranks, config: &TrainConfig, start: StartOptions) -> Result<Outcome> {
    let examples = Dataset::open(&config.data)?;
    let mut stage = Stage::new("train", start.until.unwrap_or(config.run.steps), "steps");
    let (mut smooth, mut smooth_ms) = (None, None);
    let mut on_step = |step: &StepMetrics| {
        let blend = |old: Option<f64>, new: f64| Some(old.map_or(new, |old| 0.98 * old + 0.02 * new));
        smooth = blend(smooth, step.loss);
        smooth_ms = blend(smooth_ms, step.step_ms);
        let (loss, ms) = (smooth.unwrap_or_default(), smooth_ms.unwrap_or_default());
        stage.set(step.step, &format!("loss {loss:.3}, {ms:.0} ms/step"));
    };
    let outcome = train_on(ranks, config, &examples, start, &mut on_step, &cancel::asked)?;
    stage.finish(&match (smooth, smooth_ms) {
        (Some(loss), Some(ms)) => format!("step {}, loss {loss:.3}, {ms:.0} ms/step", outcome.step),
        _ => format!("step {}: nothing left to do", outcome.step),
    });
    Ok(outcome)
}
