//! `quality.json` of a quantized model.

use anyhow::{Context, Result};
use avdit_quantize::Found;
use avdit_quantize::quality::{StratumQuality, TaskQuality};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What became of a model.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Quality {
    /// [`Quality::SCHEMA`].
    pub schema: String,
    /// The folder of the model in single precision.
    pub source: String,
    /// What was asked for.
    pub precision: String,
    /// The engine that it is for.
    pub target: String,
    /// Whether the engine that measured only rounds as the target computes.
    pub simulated: bool,
    /// In decibels.
    pub budget_snr_db: f64,
    /// What measured.
    pub engine: String,
    pub threads: usize,
    /// Of the trajectories.
    pub sampler: String,
    pub steps: usize,
    /// Units or nodes that were quantized and kept.
    pub quantized: usize,
    pub kept: usize,
    /// Units whose inputs are smoothed.
    pub smoothed: usize,
    /// Bits of weights that meet 8-bit activations, where there are such.
    pub weight_bits: Option<u8>,
    /// Predictions, by levels.
    pub strata: Vec<StratumQuality>,
    /// Trajectories.
    pub tasks: Vec<TaskQuality>,
    /// None where no engine here computes in the precision.
    pub latency: Option<Latency>,
    pub size: Size,
    /// The search, where there was one.
    pub search: Option<Found>,
    /// Other sets of units, where they were asked for.
    pub curve: Vec<Point>,
    /// Tasks that have samples.
    pub samples: Vec<String>,
}

/// A set of units, measured.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Point {
    pub units: usize,
    /// Whether it is the result.
    pub chosen: bool,
    /// The worst prediction, in decibels.
    pub prediction_db: f64,
    /// The worst trajectory, in decibels.
    pub trajectory_db: f64,
    pub latency: Latency,
}

/// A prediction of each model, in turn.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Latency {
    pub rounds: usize,
    pub source_p50_ms: f64,
    pub quantized_p50_ms: f64,
    /// Processor time of a prediction.
    pub source_cpu_ms: f64,
    pub quantized_cpu_ms: f64,
}

impl Latency {
    /// The quantized model's time over the source's.
    pub fn ratio(&self) -> f64 {
        self.quantized_p50_ms / self.source_p50_ms
    }
}

/// The graph and its weights.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    pub source_bytes: u64,
    pub quantized_bytes: u64,
}

impl Quality {
    /// The schema that this version writes.
    pub const SCHEMA: &str = "avdit-quality/1";

    /// Of a quantized model's folder.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("quality.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text)
            .map_err(|error| avdit_trainer::Error::content(&path, error.to_string()).into())
    }

    /// What stays below the budget.
    pub fn failures(&self) -> Vec<String> {
        let mut failures = Vec::new();
        let mut check = |what: String, snr_db: f64| {
            if snr_db < self.budget_snr_db {
                failures.push(format!("{what}: {snr_db:.1} dB"));
            }
        };
        for stratum in &self.strata {
            for (name, fidelity) in [("picture", stratum.video), ("sound", stratum.audio)] {
                check(format!("prediction of {name} at levels of {}", stratum.stratum), fidelity.snr_db);
            }
        }
        for task in &self.tasks {
            for (name, fidelity) in [("picture", task.video), ("sound", task.audio)] {
                if let Some(fidelity) = fidelity {
                    check(format!("{name} made in task {}", task.task), fidelity.snr_db);
                }
            }
        }
        failures
    }

    /// The worst prediction and the worst trajectory, in decibels.
    pub fn worst_db(&self) -> (f64, f64) {
        let strata = self.strata.iter().flat_map(|stratum| [stratum.video.snr_db, stratum.audio.snr_db]);
        let tasks = self.tasks.iter().map(TaskQuality::snr_db);
        (strata.fold(200.0, f64::min), tasks.fold(200.0, f64::min))
    }

    /// One sentence on what it costs.
    pub fn speed(&self) -> String {
        let Some(latency) = self.latency else {
            return format!(
                "not timed: {} does not compute in {}, it only rounds as {} would",
                self.engine, self.precision, self.target
            );
        };
        let word = if latency.ratio() > 1.0 { "SLOWER than" } else { "of" };
        format!(
            "a prediction takes {:.2} ms, {:.2} × {word} the source's {:.2} ms ({}, {} thread{})",
            latency.quantized_p50_ms,
            latency.ratio(),
            latency.source_p50_ms,
            self.engine,
            self.threads,
            if self.threads == 1 { "" } else { "s" }
        )
    }
}

/// A task as part of a file's name.
pub fn file_name(task: &str) -> String {
    task.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
