//! The error of this crate.

use crate::find::Attempt;
use std::path::PathBuf;

/// What can go wrong between a model folder and a prediction.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file that cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A `config.json` that is not that of a model.
    #[error("{}: not the configuration of a model: {reason}", path.display())]
    Config {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A file that is not an ONNX graph, or one that cannot be used.
    #[error("graph {}: {reason}", path.display())]
    Graph {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// A graph whose inputs or outputs are not those that the configuration beside it promises.
    #[error("graph {}: {what}: config.json expects {expected}, the graph has {got}", path.display())]
    Signature {
        /// The graph.
        path: PathBuf,
        /// The input or output.
        what: String,
        /// What the configuration promises.
        expected: String,
        /// What the graph declares.
        got: String,
    },
    /// Weights that should lie beside the graph and do not.
    #[error("graph {}: tensor {tensor}: external data {}: {reason}", path.display(), data.display())]
    ExternalData {
        /// The graph.
        path: PathBuf,
        /// The tensor whose values are missing.
        tensor: String,
        /// The file that should hold them.
        data: PathBuf,
        /// Why it does not.
        reason: String,
    },
    /// An engine that refuses a graph.
    #[error("engine {engine} cannot {action} {}: {reason}", path.display())]
    Engine {
        /// The engine's name.
        engine: &'static str,
        /// What it was asked to do.
        action: &'static str,
        /// The graph.
        path: PathBuf,
        /// Its own words.
        reason: String,
    },
    /// A provider that was asked for and does not run here.
    #[error("{engine} cannot run here: {reason}\n\nhint: {remedy}")]
    Provider {
        /// The engine's name.
        engine: &'static str,
        /// Why, in ONNX Runtime's words where it said it.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// No TensorRT engine in the cache that fits.
    #[error("no TensorRT engine of {} for batch {batch}: {reason}\n\nhint: run `{command}`, or add --build-engine", path.display())]
    NoEngine {
        /// The graph.
        path: PathBuf,
        /// The batch that was to be run.
        batch: usize,
        /// Why none of those in the cache fits.
        reason: String,
        /// What builds one.
        command: String,
    },
    /// A batch that a TensorRT engine was not built for.
    #[error("batch {batch} is outside what the TensorRT engine is for: {profiles}\n\nhint: run `{command}`")]
    OutsideProfile {
        /// The batch that was to be run.
        batch: usize,
        /// What there is, with the shapes of its inputs.
        profiles: String,
        /// What builds one.
        command: String,
    },
    /// No usable ONNX Runtime.
    #[error("no usable ONNX Runtime (1.{minimum} or newer){}\n\nhint: {hint}", list(attempts), minimum = crate::find::MINIMUM_MINOR)]
    NoOnnxRuntime {
        /// What was tried, in order, and why it failed.
        attempts: Vec<Attempt>,
        /// How to get one.
        hint: String,
    },
    /// A second ONNX Runtime asked for in one process.
    #[error("ONNX Runtime {} is in use by this process, {} cannot be loaded beside it", loaded.display(), asked.display())]
    SecondOnnxRuntime {
        /// The one that is loaded.
        loaded: PathBuf,
        /// The one asked for.
        asked: PathBuf,
    },
    /// A name or number outside what it may be.
    #[error("{what}: '{got}' is not allowed, expected {expected}")]
    Value {
        /// The name of the value.
        what: String,
        /// What would have been accepted.
        expected: String,
        /// What was given.
        got: String,
    },
    /// An error of the mathematics, or of an engine while predicting.
    #[error(transparent)]
    Core(#[from] avdit_core::Error),
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

fn list(attempts: &[Attempt]) -> String {
    match attempts {
        [] => "; none of the usual places holds one".to_owned(),
        _ => attempts.iter().map(|attempt| format!("\n  {attempt}")).collect(),
    }
}
