//! Engines: what can run a graph, behind one trait.

mod canary;
mod facts;
mod kind;
pub(crate) mod onnx_runtime;
mod options;
pub(crate) mod placement;
pub(crate) mod self_check;
mod state;
mod tract;

pub use facts::{EngineFacts, Placement};
pub use kind::EngineKind;
pub use onnx_runtime::library::{OrtLibrary, load as load_onnx_runtime};
pub use options::{ArenaGrowth, BatchProfile, ByteSize, CudaOptions, EngineOptions, TensorRtOptions};
pub use placement::verify_placement;
pub(crate) use tract::VERSION as TRACT_VERSION;

use crate::error::{Error, Result};
use crate::graph::{GraphFacts, Model};
use avdit_core::sampler::Coefficients;
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, Modality, no_variance};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A network ready to run. One whose graph is a fused step says so by
/// [`as_step`](avdit_core::Denoiser::as_step) and refuses to predict.
pub trait Engine: Denoiser + Send {
    /// `tract`, `ort-cpu`.
    fn name(&self) -> &'static str {
        self.facts().engine.name()
    }

    /// What runs, on what, and how long it took to get there.
    fn facts(&self) -> &EngineFacts;

    /// Time inside the graph during the last prediction or step, without the copies in and out; where the engine has a
    /// device, a prediction's copies to it and back are inside, a fused step's are not.
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

/// The outputs of a graph that learns the variance of its steps, in the order of the modalities.
const VARIANCES: [&str; 2] = ["video_variance", "audio_variance"];

/// Whether a graph puts out variances beside the prediction.
fn has_variance<'a>(extras: impl IntoIterator<Item = &'a String>) -> bool {
    let extras: Vec<&str> = extras.into_iter().map(String::as_str).collect();
    VARIANCES.iter().all(|name| extras.contains(name))
}

/// Puts the variances among what a graph put out beside the prediction where they are asked for.
fn take_variance(extras: Vec<ExtraOutput>, variance: &mut Latents) -> avdit_core::Result<()> {
    for (name, modality) in VARIANCES.into_iter().zip(Modality::ALL) {
        let values = &extras.iter().find(|extra| extra.name == name).ok_or_else(no_variance)?.values;
        let out = variance.get_mut(modality);
        avdit_core::Error::check_count(&format!("values of the output {name}"), out.len(), values.len())?;
        out.copy_from_slice(values);
    }
    Ok(())
}

/// Checks a call of [`avdit_core::StepDenoiser::step`] against the network and its graph.
fn check_step(
    spec: &DenoiserSpec,
    graph: &GraphFacts,
    batch: usize,
    levels: &Levels,
    coefficients: &Coefficients,
    noise: Option<&Latents>,
) -> avdit_core::Result<()> {
    avdit_core::Error::check_count("batch of the coefficients", batch, coefficients.batch())?;
    if graph.step != Some(coefficients.form()) {
        let expected = format!("{:?}", graph.step);
        return Err(avdit_core::Error::value(
            "form of the coefficients",
            expected,
            format!("{:?}", coefficients.form()),
        ));
    }
    check_levels(spec, graph, levels, batch)?;
    match noise {
        Some(noise) => {
            avdit_core::Error::check_count("batch of the noise", batch, noise.batch)?;
            noise.check(&spec.layout)
        }
        None => Ok(()),
    }
}

fn check_levels(
    spec: &DenoiserSpec,
    graph: &GraphFacts,
    levels: &Levels,
    batch: usize,
) -> avdit_core::Result<()> {
    levels.check(&spec.layout, batch)?;
    match &graph.frozen {
        Some(frozen) => frozen.check_levels(levels, spec.layout.segments()),
        None => Ok(()),
    }
}

/// Checks a call of [`Denoiser::predict`] against the network and its graph.
fn check_buffers(
    spec: &DenoiserSpec,
    graph: &GraphFacts,
    noisy: &Latents,
    levels: &Levels,
    out: &Latents,
) -> avdit_core::Result<()> {
    if graph.step.is_some() {
        let what = format!("prediction of {}", graph.path.display());
        let expected = "a graph that predicts (this one is a fused step, which moves latents by itself; export without \
                        --fused-step)";
        return Err(avdit_core::Error::value(what, expected, "none"));
    }
    Model::check_batch(graph, noisy.batch)?;
    noisy.check(&spec.layout)?;
    check_levels(spec, graph, levels, noisy.batch)?;
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
