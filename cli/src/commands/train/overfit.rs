//! `--overfit-one-batch`: whether a configuration can learn anything, in a minute, before it is trained for hours.

use super::config::beside;
use crate::exit::GateFailed;
use crate::output::say;
use crate::report::format::significant;
use anyhow::{Result, bail};
use avdit_trainer::optimizer::LearningRate;
use avdit_trainer::train::Overfit;
use avdit_trainer::{StartOptions, TrainConfig};
use std::path::Path;

/// Steps unless the command line sets `run.steps`.
const STEPS: usize = 200;

/// Makes a short run on one batch of a configuration, in a folder of its own that such a run may begin again in. What
/// the command line sets stays as it is set; so does such a run whose own folder was named.
pub fn adjust(config: &mut TrainConfig, start: &mut StartOptions, set: &[String], is_folder: bool) {
    if is_folder && config.run.overfit_one_batch {
        return;
    }
    let is_set = |key: &str| set.iter().any(|replacement| replacement.split('=').next() == Some(key));
    let (run, optimizer) = (&mut config.run, &mut config.optimizer);
    run.overfit_one_batch = true;
    if !is_set("run.steps") {
        run.steps = STEPS;
    }
    if !is_set("run.sample_every") {
        run.sample_every = 0;
    }
    if !is_set("run.checkpoint_every") {
        run.checkpoint_every = run.steps;
    }
    // A cosine, or the long warm-up of a long run, would leave a short one no time at the rate that is tested.
    if !is_set("optimizer.schedule") {
        optimizer.schedule = LearningRate::Constant;
    }
    if !is_set("optimizer.warmup_steps") {
        optimizer.warmup_steps = optimizer.warmup_steps.min(run.steps / 20);
    }
    if !is_set("out") {
        config.out = beside(&config.out, "overfit");
    }
    start.overwrite |= !start.resume && is_overfit(&config.out);
}

/// Whether a folder holds such a run.
fn is_overfit(folder: &Path) -> bool {
    TrainConfig::read(&folder.join("config.toml")).is_ok_and(|config| config.run.overfit_one_batch)
}

/// Says what came of it.
///
/// # Errors
/// [`GateFailed`] if the loss did not fall below half of what it was.
pub fn verdict(found: &Overfit, config: &TrainConfig, aloud: bool) -> Result<()> {
    if found.first == 0.0 {
        let hint = "look at objective.video_weight and objective.audio_weight, or take another seed";
        bail!(GateFailed(format!("nothing to learn: the loss of the first batch is 0\n\nhint: {hint}")));
    }
    let share = 100.0 * found.last / found.first;
    let fell = format!(
        "on one batch the loss went from {} to {} ({share:.0} %) in {} steps",
        significant(found.first, 3),
        significant(found.last, 3),
        config.run.steps
    );
    if found.learnt() {
        if aloud {
            say(format!("learns: {fell}; below half is asked for"));
        }
        return Ok(());
    }
    let gradients = config.out.join("gradients.json");
    bail!(GateFailed(format!(
        "does not learn: {fell}, and below half is asked for\n\nhint: look at optimizer.lr (now {:e}; try 10 times more and \
        10 times less with --set), at more steps (--set run.steps={}), at the gradients in {}, and at objective.target (small \
        networks need v)",
        config.optimizer.lr,
        5 * config.run.steps,
        gradients.display()
    )));
}
