//! Opening a model on any engine: those that run graphs through `runtime`, Candle through the trainer.

mod candle;

use anyhow::Result;
use avdit_core::DenoiserSpec;
use avdit_runtime::{Engine, EngineKind, EngineOptions};
use std::path::Path;

/// Opens a model folder on an engine. Candle runs what the graph was made from, and takes a run or a checkpoint too.
///
/// # Errors
/// As [`avdit_runtime::open`]; with Candle, if the checkpoint that the model names is gone or has changed.
pub fn open(folder: &Path, kind: EngineKind, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    match kind {
        EngineKind::Candle => Ok(Box::new(candle::CandleEngine::open(folder, options)?)),
        _ => Ok(avdit_runtime::open(folder, kind, options)?),
    }
}

/// What samplers must know of the network that [`open`] would open.
///
/// # Errors
/// If the folder is none that the engine takes.
pub fn spec(folder: &Path, kind: EngineKind) -> Result<DenoiserSpec> {
    match kind {
        EngineKind::Candle if avdit_trainer::checkpoint::is_run(folder)? => candle::spec(folder),
        _ => Ok(avdit_runtime::graph::read_spec(folder)?),
    }
}
