//! The one place where a command opens a model on an engine.

use crate::args::EngineArgs;
use anyhow::Result;
use avdit_runtime::{Engine, EngineKind, EngineOptions};
use std::path::Path;

/// How the user wants a model to be run.
pub fn options(args: &EngineArgs) -> EngineOptions {
    let default = EngineOptions::default();
    EngineOptions {
        threads: args.threads.map_or(default.threads, usize::from),
        onnx_runtime: args.onnxruntime.clone(),
        ..default
    }
}

/// Opens a model folder on an engine.
///
/// # Errors
/// As [`avdit_runtime::open`].
pub fn open(folder: &Path, kind: EngineKind, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    Ok(avdit_runtime::open(folder, kind, options)?)
}
