//! Golden parity: files made by other programs, run on every engine that applies.
//!
//! A kind of file is recognised by how its name begins, and is one module with a function from a [`Golden`] to
//! [`Row`]s. To add a kind, add its module and its line in [`KINDS`].

mod audio_frontend;
mod av_dit;
mod avdit;
mod codecs;
mod dit;
mod golden;
mod int8;
mod lora_adapter;
mod measure;
mod metrics;
mod network;
mod report;
mod respaced;
mod row;
mod samplers;
mod schedule;
mod trajectory;

pub use golden::{Golden, Tensor};
pub use report::{Report, print_table};
pub use row::{Row, relative, scaled};
pub use trajectory::{Side, same_trajectories};

use anyhow::{Context, Result};
use avdit_runtime::EngineKind;
use std::collections::BTreeSet;
use std::path::Path;

/// A kind of golden file.
pub struct Kind {
    /// How its file names begin.
    pub prefix: &'static str,
    /// Runs every case of a file, graphs on these engines.
    pub cases: fn(&Golden, &[EngineKind]) -> Vec<Row>,
}

/// The kinds that are known.
pub const KINDS: &[Kind] = &[
    Kind { prefix: "schedule", cases: |golden, _| schedule::cases(golden) },
    Kind { prefix: "samplers_", cases: |golden, _| samplers::cases(golden) },
    Kind { prefix: "respaced_diffusion", cases: |golden, _| respaced::cases(golden) },
    Kind { prefix: "int8", cases: |golden, _| int8::cases(golden) },
    Kind { prefix: "metrics", cases: |golden, _| metrics::cases(golden) },
    Kind { prefix: "avdit_", cases: avdit::cases },
    Kind { prefix: "dit_", cases: dit::cases },
    Kind { prefix: "av_dit_", cases: av_dit::cases },
    Kind { prefix: "lora_adapter", cases: lora_adapter::cases },
    Kind { prefix: "vae_sd", cases: codecs::vae },
    Kind { prefix: "vae_audioldm", cases: codecs::vae },
    Kind { prefix: "hifigan", cases: codecs::hifigan },
    Kind { prefix: "encodec", cases: codecs::encodec },
    Kind { prefix: "audio_frontend", cases: |golden, _| audio_frontend::cases(golden) },
];

/// The engines that need no GPU.
pub const ON_CPU: [EngineKind; 3] = [EngineKind::Candle, EngineKind::Tract, EngineKind::OrtCpu];

/// Runs every golden file (`NAME.json` beside `NAME.safetensors`) in a folder, in the order of their names; graphs
/// on the engines given.
///
/// # Errors
/// If the folder, or a file of known kind, cannot be read.
pub fn run_dir(dir: &Path, engines: &[EngineKind]) -> Result<Report> {
    let mut paths = BTreeSet::new();
    for entry in dir.read_dir().with_context(|| format!("folder {} cannot be read", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors" || extension == "json") {
            paths.insert(path.with_extension("safetensors"));
        }
    }
    let mut report = Report::default();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match KINDS.iter().find(|kind| name.starts_with(kind.prefix)) {
            Some(kind) => report.rows.extend((kind.cases)(&Golden::read(&path)?, engines)),
            None => report.not_run.push(path.display().to_string()),
        }
    }
    Ok(report)
}
