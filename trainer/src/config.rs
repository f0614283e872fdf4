//! The configuration of a run, as TOML.

mod model;
mod objective;

pub use model::{AdapterSettings, Architecture, ModelConfig};
pub use objective::{ObjectiveConfig, StrategyName};

use crate::device::{self, Precision};
use crate::error::{Error, Result};
use crate::gradients::{GradientOptions, NO_CHECKPOINTING};
use crate::optimizer::OptimizerConfig;
use avdit_core::{DenoiserSpec, Layout, Mixture};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Everything that decides a run: the same configuration and seed on the same machine give the same bits.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The dataset folder that `avdit prepare` wrote.
    pub data: PathBuf,
    /// The run's folder.
    pub out: PathBuf,
    /// Decides parameters, order, levels and noise.
    #[serde(default)]
    pub seed: u64,
    /// The network.
    #[serde(default)]
    pub model: ModelConfig,
    /// What it learns.
    #[serde(default)]
    pub objective: ObjectiveConfig,
    /// How it learns.
    #[serde(default)]
    pub optimizer: OptimizerConfig,
    /// How long, and what is kept.
    pub run: RunConfig,
}

/// How long a run is, and what it keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Optimizer steps.
    pub steps: usize,
    /// Examples in a step.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Examples of a step that go through the network at once: memory grows with it, and chunks run side by side.
    #[serde(default = "default_chunk")]
    pub chunk: usize,
    /// Keep only the input of each block and compute the block once more on the way back: about a third more time for
    /// a fraction of the memory, and the same bits.
    #[serde(default)]
    pub gradient_checkpointing: bool,
    /// `cpu`; in a program that was built with the feature `cuda` also `cuda:0`, or `cuda`, which is another GPU for
    /// each rank of a machine.
    #[serde(default = "default_device")]
    pub device: String,
    /// `f32`, or `bf16` for matrix products on CUDA.
    #[serde(default)]
    pub precision: Precision,
    /// Steps between checkpoints; the last step always makes one.
    #[serde(default = "default_checkpoint_every")]
    pub checkpoint_every: usize,
    /// Minutes after which a checkpoint is made although its step has not come; 0 for never. Where they fall depends
    /// on the machine, what is in them does not.
    #[serde(default)]
    pub checkpoint_minutes: f64,
    /// Newest checkpoints that are kept; 0 keeps all.
    #[serde(default = "default_keep_last")]
    pub keep_last: usize,
    /// Every so many steps a checkpoint is made that is never removed; 0 for none.
    #[serde(default)]
    pub keep_every: usize,
    /// Batches that are prepared ahead on other threads, at most 1024; 0 prepares each when it is needed.
    #[serde(default = "default_prefetch")]
    pub prefetch: usize,
    /// Threads that prepare batches ahead.
    #[serde(default = "default_loaders")]
    pub loaders: usize,
    /// Steps between calls of [`Observer::sample`](crate::Observer::sample); 0 for none.
    #[serde(default)]
    pub sample_every: usize,
    /// The folder whose first clips give cells to the samples of a run; those of the dataset if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample_from: Option<PathBuf>,
    /// Trains on the first batch again and again, its levels and noise as well: a network that can learn anything
    /// brings this loss down.
    #[serde(default)]
    pub overfit_one_batch: bool,
    /// Measures the machine's matrix rate at the start, so that a step's share of it can be told.
    #[serde(default = "yes")]
    pub measure_matmul: bool,
    /// Writes TensorBoard event files.
    #[serde(default = "yes")]
    pub tensorboard: bool,
}

fn yes() -> bool {
    true
}

fn default_prefetch() -> usize {
    2
}

fn default_loaders() -> usize {
    1
}

impl RunConfig {
    /// How a step's gradients are computed.
    pub fn gradient_options(&self) -> GradientOptions {
        GradientOptions { chunk: self.chunk, checkpoint: self.gradient_checkpointing }
    }
}

fn default_device() -> String {
    "cpu".into()
}

fn default_batch() -> usize {
    32
}

fn default_chunk() -> usize {
    8
}

fn default_checkpoint_every() -> usize {
    500
}

fn default_keep_last() -> usize {
    3
}

impl TrainConfig {
    /// Reads TOML text; `path` is for errors.
    ///
    /// # Errors
    /// [`Error::Content`] with the place in the text and, for an unknown key, the nearest known one.
    pub fn parse(text: &str, path: &Path) -> Result<Self> {
        toml::from_str(text).map_err(|error| {
            let message = error.to_string();
            let hint = nearest_key(error.message()).map(|key| format!("\n\nhint: did you mean `{key}`?"));
            Error::content(path, format!("{}{}", message.trim_end(), hint.unwrap_or_default()))
        })
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], or as [`TrainConfig::parse`].
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&std::fs::read_to_string(path).map_err(Error::io(path))?, path)
    }

    /// As TOML, with every default filled in.
    ///
    /// # Errors
    /// [`Error::Config`] if a path is not valid UTF-8.
    pub fn to_toml(&self) -> Result<String> {
        toml::to_string_pretty(self).map_err(|error| Error::Config(error.to_string()))
    }

    /// What a sampler must know of the network.
    pub fn spec(&self, layout: &Layout) -> DenoiserSpec {
        let ObjectiveConfig { target, schedule, timesteps, .. } = self.objective;
        DenoiserSpec { layout: layout.clone(), target, schedule, timesteps }
    }

    /// The level strategy.
    ///
    /// # Errors
    /// As [`ObjectiveConfig::mixture`].
    pub fn mixture(&self) -> Result<Mixture> {
        self.objective.mixture()
    }

    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting, what it is and what it may be.
    pub fn check(&self) -> Result<()> {
        device::check(&self.run.device)?;
        let optimizer = &self.optimizer;
        optimizer.ema_decay.check()?;
        let (run, model) = (&self.run, &self.model);
        // Random numbers are drawn by step and position in 32 bits; the other bounds are far beyond any use, and below
        // what sizes and sums can hold.
        for (name, value, least, most) in [
            ("run.steps", run.steps, 1, u32::MAX as usize),
            ("run.batch", run.batch, 1, 1 << 24),
            ("run.chunk", run.chunk, 1, usize::MAX),
            ("run.checkpoint_every", run.checkpoint_every, 1, usize::MAX),
            ("run.loaders", run.loaders, 1, 1 << 12),
            ("run.prefetch", run.prefetch, 0, 1 << 12),
            ("model.width", model.width.unwrap_or_default(), 0, 1 << 16),
            ("model.depth", model.depth.unwrap_or_default(), 0, 1 << 12),
            ("model.adaln_rank", model.adaln_rank.unwrap_or_default(), 0, 1 << 16),
        ] {
            if value < least {
                return fail(name, value.to_string(), &format!("at least {least}"));
            }
            if value > most {
                return fail(name, value.to_string(), &format!("at most {most}"));
            }
        }
        for (name, path) in [("data", &self.data), ("out", &self.out)] {
            if path.as_os_str().is_empty() {
                return fail(name, "empty".into(), "a folder");
            }
        }
        let on_tape = self.run.device == "cpu" && self.run.precision == Precision::F32;
        if run.gradient_checkpointing && !on_tape {
            return Err(Error::Config(NO_CHECKPOINTING.into()));
        }
        let minutes = run.checkpoint_minutes;
        if !(0.0..f64::INFINITY).contains(&minutes) {
            return fail("run.checkpoint_minutes", minutes.to_string(), "0 or more");
        }
        if !(optimizer.lr > 0.0 && optimizer.lr.is_finite()) {
            return fail("optimizer.lr", optimizer.lr.to_string(), "a number above 0");
        }
        for (name, value) in
            [("optimizer.betas[0]", optimizer.betas.0), ("optimizer.betas[1]", optimizer.betas.1)]
        {
            if !is_decay(value) {
                return fail(name, value.to_string(), "0 or more, below 1 in float32");
            }
        }
        for (name, value) in [
            ("optimizer.eps", optimizer.eps),
            ("optimizer.weight_decay", optimizer.weight_decay),
            ("optimizer.clip_norm", optimizer.clip_norm),
            ("optimizer.final_lr_ratio", optimizer.final_lr_ratio),
        ] {
            // Added in float32, where a smaller one is 0.
            let least = if name == "optimizer.eps" { f64::from(f32::MIN_POSITIVE) } else { 0.0 };
            if !(least..f64::INFINITY).contains(&value) {
                return fail(
                    name,
                    value.to_string(),
                    if least > 0.0 { "a number above 0 in float32" } else { "0 or more" },
                );
            }
        }
        model.check()?;
        self.objective.check()
    }
}

/// Whether a number is a decay: 0 or more, and below 1 also in float32, in which it works.
pub(crate) fn is_decay(value: f64) -> bool {
    value >= 0.0 && (value as f32) < 1.0
}

/// A setting that cannot be used.
pub(crate) fn fail<T>(name: &str, got: String, expected: &str) -> Result<T> {
    Err(Error::Config(format!("{name} is {got}, expected {expected}")))
}

/// The known key nearest to an unknown one, from the parser's message "unknown field `x`, expected one of `a`, `b`".
fn nearest_key(message: &str) -> Option<String> {
    let mut names = message.strip_prefix("unknown ")?.split('`').skip(1).step_by(2);
    let unknown = names.next()?;
    nearest(unknown, names).map(str::to_owned)
}

/// The candidate that looks most like `name`, if one does.
pub fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.map(|candidate| (strsim::jaro_winkler(name, candidate), candidate));
    scored
        .filter(|(score, _)| *score > 0.6)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests;
