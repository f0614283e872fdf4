//! ONNX Runtime on the CPU.

pub(crate) mod library;
mod step;

use super::{Engine, EngineFacts, EngineKind, EngineOptions, ExtraOutput, Placement, milliseconds};
use crate::error::{Error, Result};
use crate::graph::{GraphFacts, INPUTS, Model, OUTPUTS, Ports};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, Modality, StepDenoiser};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{TensorRef, ToShape};
use std::path::Path;
use std::time::{Duration, Instant};
use step::{Buffers, Memory};

const NAME: &str = "ort-cpu";

pub(super) struct OrtEngine {
    spec: DenoiserSpec,
    facts: EngineFacts,
    session: Session,
    extras: Vec<String>,
    ports: Ports,
    memory: Memory,
    /// Of a fused step, for the batch of the present run.
    buffers: Option<Buffers>,
    last_run: Duration,
}

impl OrtEngine {
    pub(super) fn new(model: Model, options: &EngineOptions, start: Instant) -> Result<Self> {
        let Model { spec, facts: graph, proto, ports, extras, .. } = model;
        drop(proto);
        let library = library::load(options.onnx_runtime.as_deref())?;
        let load_ms = milliseconds(start.elapsed());
        let opening = Instant::now();
        let session =
            session(library, &graph.path, options).map_err(|reason| engine_error("open", &graph, reason))?;
        let facts = EngineFacts {
            engine: EngineKind::OrtCpu,
            version: library.version.clone(),
            library: Some(library.path.clone()),
            threads: options.threads,
            load_ms,
            session_ms: milliseconds(opening.elapsed()),
            // No other provider is registered, so nothing can run elsewhere.
            placement: vec![Placement { device: "CPUExecutionProvider".into(), nodes: None }],
            graph,
        };
        let extras = extras.into_iter().map(|(_, name)| name).collect();
        let (memory, last_run) = (Memory::HOST, Duration::ZERO);
        let mut engine = Self { spec, facts, session, extras, ports, memory, buffers: None, last_run };
        if engine.memory.replays && engine.facts.graph.step.is_some() {
            super::canary::check(&mut engine, options.batch.max(1))?;
        }
        Ok(engine)
    }

    /// Returns the outputs named in `extras`.
    fn run(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        extras: &[String],
    ) -> Result<Vec<ExtraOutput>, String> {
        let (v, a, n) = (&self.spec.layout.video, &self.spec.layout.audio, self.spec.layout.segments());
        let batch = noisy.batch;
        let text = |error: ort::Error| error.to_string();
        let inputs = ort::inputs! {
            INPUTS[0] => view([batch, v.frames, v.channels, v.height, v.width], &noisy.video)?,
            INPUTS[1] => view([batch, a.frames, a.channels], &noisy.audio)?,
            INPUTS[2] => view([batch, n], &levels.video)?,
            INPUTS[3] => view([batch, n], &levels.audio)?,
        };
        let start = Instant::now();
        let results = self.session.run(inputs).map_err(text)?;
        self.last_run = start.elapsed();
        for (name, modality) in OUTPUTS.into_iter().zip(Modality::ALL) {
            let (shape, values) = results[name].try_extract_tensor::<f32>().map_err(text)?;
            let out = out.get_mut(modality);
            if values.len() != out.len() {
                let expected = self.spec.layout.shape(modality, batch);
                return Err(format!("output {name} has shape {shape}, expected {expected:?}"));
            }
            out.copy_from_slice(values);
        }
        let extra = |name: &String| -> Result<_, String> {
            let (shape, values) = results[name.as_str()].try_extract_tensor::<f32>().map_err(text)?;
            let shape = shape.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
            Ok(ExtraOutput { name: name.clone(), shape, values: values.to_vec() })
        };
        extras.iter().map(extra).collect()
    }
}

impl Denoiser for OrtEngine {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        super::check_buffers(&self.spec, &self.facts.graph, noisy, levels, out)?;
        let result = self.run(noisy, levels, out, &[]);
        result.map_err(|reason| super::failed(NAME, engine_error("run", &self.facts.graph, reason)))?;
        Ok(())
    }

    fn as_step(&mut self) -> Option<&mut dyn StepDenoiser> {
        if self.facts.graph.step.is_some() { Some(self) } else { None }
    }
}

impl Engine for OrtEngine {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn last_run(&self) -> Duration {
        self.last_run
    }

    fn predict_with_extras(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
    ) -> avdit_core::Result<Vec<ExtraOutput>> {
        super::check_buffers(&self.spec, &self.facts.graph, noisy, levels, out)?;
        let extras = std::mem::take(&mut self.extras);
        let result = self.run(noisy, levels, out, &extras);
        self.extras = extras;
        result.map_err(|reason| super::failed(NAME, engine_error("run", &self.facts.graph, reason)))
    }
}

fn view<const N: usize>(shape: [usize; N], data: &[f32]) -> Result<TensorRef<'_, f32>, String>
where
    [usize; N]: ToShape,
{
    TensorRef::from_array_view((shape, data)).map_err(|error| error.to_string())
}

fn session(library: &library::OrtLibrary, path: &Path, options: &EngineOptions) -> Result<Session, String> {
    // The builder's errors carry the builder and are not `Send`: their text is all that leaves here.
    Session::builder(library.environment())
        .map_err(|error| error.to_string())?
        .with_no_environment_execution_providers()
        .map_err(|error| error.to_string())?
        .with_log_level(LogLevel::Warning)
        .map_err(|error| error.to_string())?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|error| error.to_string())?
        .with_intra_threads(options.threads)
        .map_err(|error| error.to_string())?
        .with_intra_op_spinning(options.spin)
        .map_err(|error| error.to_string())?
        .commit_from_file(path)
        .map_err(|error| error.to_string())
}

fn engine_error(action: &'static str, graph: &GraphFacts, reason: String) -> Error {
    Error::Engine { engine: NAME, action, path: graph.path.clone(), reason }
}
