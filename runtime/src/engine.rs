//! Engines: what can run a graph, behind one trait.

mod facts;
mod kind;
pub(crate) mod onnx_runtime;
mod options;
pub(crate) mod placement;
pub(crate) mod self_check;
mod tract;

pub use facts::{EngineFacts, Placement};
pub use kind::EngineKind;
pub use onnx_runtime::library::{OrtLibrary, load as load_onnx_runtime};
pub use options::{ArenaGrowth, BatchProfile, ByteSize, CudaOptions, EngineOptions, TensorRtOptions};
pub use placement::verify_placement;
pub(crate) use tract::VERSION as TRACT_VERSION;

use crate::error::{Error, Result};
use crate::graph::{GraphFacts, Model};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

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

    /// Ends profiling, where it was asked for, and returns the file with the profile of what ran until now.
    ///
    /// # Errors
    /// [`Error::Engine`] if the engine cannot write it.
    fn finish_profile(&mut self) -> Result<Option<PathBuf>> {
        Ok(None)
    }

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
/// folder is not a sound model; [`Error::NoOnnxRuntime`] if that is asked for and not there; [`Error::Provider`] if
/// the engine's provider does not run here; [`Error::Engine`] if the engine refuses the graph; [`Error::Value`] for
/// [`EngineKind::Candle`], which only the trainer can open.
pub fn open(folder: &Path, kind: EngineKind, options: &EngineOptions) -> Result<Box<dyn Engine>> {
    if options.threads == 0 {
        return Err(Error::Value { what: "threads".into(), expected: "at least 1".into(), got: "0".into() });
    }
    let start = Instant::now();
    let model = Model::read(folder)?;
    tracing::debug!(graph = %model.facts.path.display(), engine = kind.name(), "opening");
    Ok(match kind {
        EngineKind::Tract => Box::new(tract::TractEngine::new(model, options, start)?),
        EngineKind::OrtCpu | EngineKind::OrtCuda | EngineKind::OrtTensorRt => {
            Box::new(onnx_runtime::OrtEngine::new(model, kind, options, start)?)
        }
        EngineKind::Candle => {
            return Err(Error::Value {
                what: "engine".to_owned(),
                expected: "one that runs graphs (candle runs a checkpoint and is opened through the trainer)"
                    .to_owned(),
                got: kind.name().to_owned(),
            });
        }
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
