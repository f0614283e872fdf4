//! `quality.json` and `quality.md` of a quantized model.

use anyhow::{Context, Result};
use avdit_quantize::Found;
use avdit_quantize::quality::{Fidelity, StratumQuality, TaskQuality};
use serde::{Deserialize, Serialize};
use std::fmt::Write;
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
    /// Bits of weights that meet 8-bit activations, where there are such.
    pub weight_bits: Option<u8>,
    /// Predictions, by levels.
    pub strata: Vec<StratumQuality>,
    /// Trajectories.
    pub tasks: Vec<TaskQuality>,
    pub latency: Latency,
    pub size: Size,
    /// The search, where there was one.
    pub search: Option<Found>,
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
        let Latency { source_p50_ms, quantized_p50_ms, .. } = self.latency;
        let word = if self.latency.ratio() > 1.0 { "SLOWER than" } else { "of" };
        format!(
            "a prediction takes {quantized_p50_ms:.2} ms, {:.2} × {word} the source's {source_p50_ms:.2} ms ({}, {} thread{})",
            self.latency.ratio(),
            self.engine,
            self.threads,
            if self.threads == 1 { "" } else { "s" }
        )
    }

    /// The page.
    pub fn page(&self, samples: &[String]) -> String {
        let mut page = format!("# {} of {}\n\n", self.precision, self.source);
        let mebibytes = |bytes: u64| bytes as f64 / 1_048_576.0;
        let (predictions, trajectories) = self.worst_db();
        let Size { source_bytes, quantized_bytes } = self.size;
        let mut line = |text: String| {
            page += &text;
            page.push('\n');
        };
        line(format!(
            "- Worst prediction {predictions:.1} dB, worst trajectory {trajectories:.1} dB; budget {} dB.",
            self.budget_snr_db
        ));
        line(format!(
            "- Speed: {}; processor time {:.2} against {:.2} ms; {} rounds in turn.",
            self.speed(),
            self.latency.quantized_cpu_ms,
            self.latency.source_cpu_ms,
            self.latency.rounds
        ));
        line(format!(
            "- Size: {:.1} MiB, {:.3} × the source's {:.1} MiB.",
            mebibytes(quantized_bytes),
            quantized_bytes as f64 / source_bytes as f64,
            mebibytes(source_bytes)
        ));
        line(format!(
            "- Quantized: {}; kept in single precision: {} (`quant.toml` says which, and why).",
            self.quantized, self.kept
        ));
        if let Some(bits) = self.weight_bits {
            line(format!("- Weights that meet 8-bit activations have {bits} bits."));
        }
        line(format!(
            "\n## Trajectories\n\n{} × {} steps, the same noise for both; cells that are made.\n",
            self.sampler, self.steps
        ));
        line("| task | picture, dB | cosine | sound, dB | cosine | worst cell |\n| --- | ---: | ---: | ---: | ---: | --- |".into());
        for task in &self.tasks {
            let two = |fidelity: Option<Fidelity>| {
                fidelity.map_or("given | ".to_owned(), |f| format!("{:.1} | {:.5}", f.snr_db, f.cosine))
            };
            line(format!(
                "| {} | {} | {} | {}: {:.1} dB |",
                task.task,
                two(task.video),
                two(task.audio),
                task.worst_cell,
                task.worst_cell_snr_db
            ));
        }
        line("\n## Predictions\n".into());
        line("| levels | states | picture, dB | cosine | sound, dB | cosine |\n| --- | ---: | ---: | ---: | ---: | ---: |".into());
        for StratumQuality { stratum, states, video, audio } in &self.strata {
            line(format!(
                "| {stratum} | {states} | {:.1} | {:.5} | {:.1} | {:.5} |",
                video.snr_db, video.cosine, audio.snr_db, audio.cosine
            ));
        }
        if let Some(found) = &self.search {
            line("\n## Search\n\nSets that were measured, from the units that cost least for what they save on:\n".into());
            line("| units | share of multiply-adds | worst prediction, dB |\n| ---: | ---: | ---: |".into());
            for candidate in &found.measured {
                line(format!(
                    "| {} | {:.3} | {:.1} |",
                    candidate.units, candidate.share, candidate.worst_snr_db
                ));
            }
            line(
                "\nEach unit alone, in that order:\n\n| unit | worst prediction, dB |\n| --- | ---: |".into(),
            );
            for unit in &found.order {
                line(format!("| `{}` | {:.1} |", unit.unit, unit.worst_snr_db));
            }
        }
        if !samples.is_empty() {
            line("\n## Samples\n\nThe source above, the quantized model below; frames over the spectrogram of the sound.".into());
        }
        for task in samples {
            let _ = write!(
                page,
                "\n**{task}**\n\n![{task}, source](samples/{0}-source.png)\n![{task}, quantized](samples/{0}-quantized.png)\n",
                file_name(task)
            );
        }
        page
    }
}

/// A task as part of a file's name.
pub fn file_name(task: &str) -> String {
    task.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}
