//! Engines: what can run a graph, behind one trait.

mod facts;
mod onnx_runtime;
pub(crate) mod self_check;
mod tract;

pub use facts::{EngineFacts, Placement};
pub use onnx_runtime::library::{OrtLibrary, load as load_onnx_runtime};
pub(crate) use tract::VERSION as TRACT_VERSION;

use crate::error::{Error, Result};
use crate::graph::{GraphFacts, Model};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EngineKind {
    /// tract, part of this program.
    #[serde(rename = "tract")]
    Tract,
    /// ONNX Runtime on the CPU, loaded when asked for.
    #[serde(rename = "ort-cpu")]
    OrtCpu,
}

impl EngineKind {
    /// Every engine of this version.
    pub const ALL: [EngineKind; 2] = [EngineKind::Tract, EngineKind::OrtCpu];

    /// `tract` or `ort-cpu`.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Tract => "tract",
            EngineKind::OrtCpu => "ort-cpu",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    /// `tract`, `ort-cpu`, or `ort` for `ort-cpu`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tract" => Ok(EngineKind::Tract),
            "ort" | "ort-cpu" => Ok(EngineKind::OrtCpu),
            _ => Err(Error::Value {
                what: "engine".to_owned(),
                expected: "tract or ort (the CPU; GPU engines are not part of this version)".to_owned(),
                got: text.to_owned(),
            }),
        }
    }
}

/// How an engine is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOptions {
    /// Threads inside an operation.
    pub threads: usize,
    /// Whether idle ONNX Runtime threads wait by spinning: faster alone, harmful beside other work.
    pub spin: bool,
    /// The batch to prepare for when opening; others are prepared when they come.
    pub batch: usize,
    /// The ONNX Runtime to load; without one it is looked for.
    pub onnx_runtime: Option<PathBuf>,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        Self { threads, spin: false, batch: 1, onnx_runtime: None }
    }
}

/// A network ready to run.
pub trait Engine: Denoiser + Send {
    /// `tract`, `ort-cpu`.
    fn name(&self) -> &'static str {
        self.facts().engine.name()
    }

    /// What runs, on what, and how long it took to get there.
    fn facts(&self) -> &EngineFacts;

    /// Time inside the network's own code during the last prediction, without the copies in and out.
    fn last_run(&self) -> Duration;

    /// As [`Denoiser::predict`], and returns whatever else the graph puts out, in its order.
    ///
    /// # Errors
    /// As [`Denoiser::predict`].
    fn predict_with_extras(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
    ) -> avdit_core::Result<Vec<ExtraOutput>>;
}

/// An output of a graph beyond the prediction, such as an intermediate result exported for comparison.
#[derive(Clone, Debug, PartialEq)]
pub struct ExtraOutput {
    /// Its name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// Opens a model folder on an engine: reads and checks it, loads the weights, prepares the graph.
///
/// # Errors
/// [`Error::Io`], [`Error::Config`], [`Error::Graph`], [`Error::Signature`] or [`Error::ExternalData`] if the
/// folder is not a sound model; [`Error::NoOnnxRuntime`] if that is asked for and not there; [`Error::Engine`] if
/// the engine refuses the graph.
pub fn open(folder: &Path, kind: EngineKind, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    if options.threads == 0 {
        return Err(Error::Value { what: "threads".into(), expected: "at least 1".into(), got: "0".into() });
    }
    let start = Instant::now();
    let model = Model::read(folder)?;
    tracing::debug!(graph = %model.facts.path.display(), engine = kind.name(), "opening");
    Ok(match kind {
        EngineKind::Tract => Box::new(tract::TractEngine::new(model, options, start)?),
        EngineKind::OrtCpu => Box::new(onnx_runtime::OrtEngine::new(model, options, start)?),
    })
}

/// Checks a call of [`Denoiser::predict`] against the network and its graph.
fn check_buffers(
    spec: &DenoiserSpec,
    graph: &GraphFacts,
    noisy: &Latents,
    levels: &Levels,
    out: &Latents,
) -> avdit_core::Result<()> {
    Model::check_batch(graph, noisy.batch)?;
    noisy.check(&spec.layout)?;
    levels.check(&spec.layout, noisy.batch)?;
    avdit_core::Error::check_count("batch of the prediction", noisy.batch, out.batch)?;
    out.check(&spec.layout)
}

/// An error on its way through [`Denoiser`].
fn failed(engine: &'static str, error: Error) -> avdit_core::Error {
    match error {
        Error::Core(error) => error,
        error => avdit_core::Error::Engine { engine, source: Box::new(error) },
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
