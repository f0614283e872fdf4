//! `avdit train`: dataset → checkpoints, and what a person wants to see meanwhile.

mod again;
mod config;
mod dry_run;
mod failure;
mod live;
mod overfit;
mod samples;
mod watch;

use crate::args::TrainArgs;
use crate::cancel;
use crate::commands::report;
use crate::exit::{Interrupted, Told, Usage};
use crate::output::{say, say_json};
use crate::place;
use crate::ranks;
use crate::run::Run;
use anyhow::{Context, Result, bail};
use avdit_media::shard::Dataset;
use avdit_trainer::parallel::Ranks;
use avdit_trainer::train::Outcome;
use avdit_trainer::{StartOptions, StepMetrics, TrainConfig, train_on};
use serde_json::json;
use std::path::Path;
use watch::Watch;

/// A configuration with every setting explained.
pub const EXAMPLE: &str = include_str!("example.toml");

pub fn run(args: &TrainArgs) -> Result<()> {
    if args.example {
        say(EXAMPLE.trim_end());
        return Ok(());
    }
    let path = args.config.as_deref().context("no configuration was named")?;
    if args.until == Some(0) {
        bail!(Usage("--until 0: expected a step from 1 on".to_owned()));
    }
    let mut config = config::read(path, &args.set, args.resume)?;
    let mut start = StartOptions { resume: args.resume, overwrite: args.overwrite, until: args.until };
    if args.overfit_one_batch {
        overfit::adjust(&mut config, &mut start, &args.set, path.is_dir());
    }
    config.check()?;
    place::check(&config.out, place::Kind::Run, "`out`")?;
    keep_theirs(path, &config)?;
    if args.dry_run {
        return dry_run::run(&config, start, args.json);
    }
    ranks::on_launch(&args.ranks, &config, |ranks| {
        if ranks.is_first() { lead(ranks, args, path, &config, start) } else { follow(ranks, &config, start) }
    })
}

/// Refuses to write the run's configuration over the file that it was read from.
fn keep_theirs(path: &Path, config: &TrainConfig) -> Result<()> {
    let written = config.out.join("config.toml");
    let same = path.canonicalize().is_ok_and(|path| written.canonicalize().is_ok_and(|own| own == path));
    if same && !avdit_trainer::checkpoint::is_run(&config.out)? {
        bail!(Usage(format!(
            "{}: the run would write its own configuration over it\n\nhint: move this file, or choose another `out`",
            written.display()
        )));
    }
    Ok(())
}

/// The rank that writes the run's folder and says what came of it.
fn lead(
    ranks: &mut Ranks,
    args: &TrainArgs,
    path: &Path,
    config: &TrainConfig,
    start: StartOptions,
) -> Result<()> {
    let outcome =
        on_ranks(ranks, config, start).map_err(|error| failure::with_remedy(error, args, config, path))?;
    if outcome.interrupted && cancel::asked() {
        let hint = format!("run `{}` to go on from step {}", again::resume(args, config), outcome.step);
        return Err(Interrupted(hint).into());
    }
    // A run that is not done has not had its chance.
    let overfit = outcome.overfit.filter(|_| outcome.step >= config.run.steps);
    let run = Run::read(&config.out)?;
    if args.json {
        say_json(&json!({
            "schema": "avdit-train/1", "step": outcome.step, "checkpoint": outcome.checkpoint,
            "complete": outcome.step == config.run.steps, "figures": report::figures(&run),
            "page": config.out.join(report::PAGE),
            "overfit": overfit.map(|found| json!({
                "first": found.first, "last": found.last, "learns": found.learnt(),
            })),
        }))?;
    } else {
        say(format!("step {} of {}: {}", outcome.step, config.run.steps, outcome.checkpoint.display()));
        say(format!("look and listen: {}", config.out.join(report::PAGE).display()));
    }
    match overfit {
        Some(found) if args.overfit_one_batch => overfit::verdict(&found, config, !args.json),
        _ => Ok(()),
    }
}

/// Trains with a live line, samples and a page in the run's folder.
///
/// # Errors
/// Those of training, of sampling, and of the dataset.
pub fn with_progress(config: &TrainConfig, start: StartOptions) -> Result<Outcome> {
    on_ranks(&mut Ranks::single(), config, start)
}

fn on_ranks(ranks: &mut Ranks, config: &TrainConfig, start: StartOptions) -> Result<Outcome> {
    let examples = Dataset::open(&config.data)?;
    let mut watch = Watch::new(config, &examples, start.until)?;
    let result = train_on(ranks, config, &examples, start, &mut watch, &cancel::asked);
    watch.finish(result)
}

/// Any other rank: it only computes.
fn follow(ranks: &mut Ranks, config: &TrainConfig, start: StartOptions) -> Result<()> {
    let examples = Dataset::open(&config.data)?;
    let outcome = train_on(ranks, config, &examples, start, &mut |_: &StepMetrics| {}, &cancel::asked)?;
    if outcome.interrupted && cancel::asked() {
        return Err(Told::interrupted().into());
    }
    Ok(())
}
