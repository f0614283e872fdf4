//! Opening a model on any engine: those that run graphs through `runtime`, Candle through the trainer.

mod candle;

use anyhow::Result;
use avdit_core::DenoiserSpec;
use avdit_export::{ExportRecord, FileRecord};
use avdit_runtime::{Engine, EngineKind, EngineOptions};
use std::path::Path;

/// Opens a model folder on an engine. Candle runs what the graph was made from, and takes a run or a checkpoint too.
///
/// # Errors
/// As [`avdit_runtime::open`]; with Candle, if the checkpoint that the model names is gone or has changed.
pub fn open(folder: &Path, kind: EngineKind, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    if kind != EngineKind::Candle {
        check_graph(folder);
    }
    match kind {
        EngineKind::Candle => Ok(Box::new(candle::CandleEngine::open(folder, options)?)),
        _ => Ok(avdit_runtime::open(folder, kind, options)?),
    }
}

/// Says so where the graph, or the size of its weights, is not what export.json records. A folder without a record may
/// be anyone's; weights of gigabytes are for `avdit inspect` to read through.
fn check_graph(folder: &Path) {
    let Ok(record) = ExportRecord::read(folder) else { return };
    let is_graph = |file: &&FileRecord| file.name == "model.onnx";
    let sizes = record
        .files
        .iter()
        .all(|file| std::fs::metadata(folder.join(&file.name)).is_ok_and(|found| found.len() == file.bytes));
    let graph = ExportRecord { files: record.files.iter().filter(is_graph).cloned().collect(), ..record };
    if !sizes || graph.check_files(folder).is_err() {
        tracing::warn!(
            "{} is not the graph that was exported there (`avdit inspect` tells what differs)",
            folder.join("model.onnx").display()
        );
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
