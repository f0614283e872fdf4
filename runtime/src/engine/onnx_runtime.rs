//! ONNX Runtime, by the provider that was asked for.

pub(crate) mod library;
pub(crate) mod preload;
mod providers;
mod refusal;
pub(crate) mod relay;
pub(crate) mod session;
mod step;

use super::{Engine, EngineFacts, EngineKind, EngineOptions, ExtraOutput, milliseconds};
use crate::engine_cache::{self, Prepared};
use crate::error::{Error, Result};
use crate::graph::{Element, Model, Ports};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, Modality, StepDenoiser};
use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use ort::session::{Session, SessionInputValue};
use ort::value::{Tensor, TensorRef};
use session::Opening;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use step::{Buffers, Memory};

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
    /// The next number of a recorded run.
    records: usize,
    profiling: bool,
    /// The TensorRT engine that runs.
    prepared: Option<Prepared>,
}

impl OrtEngine {
    pub(super) fn new(
        model: Model,
        kind: EngineKind,
        options: &EngineOptions,
        start: Instant,
    ) -> Result<Self> {
        if Memory::of(kind, options).replays && model.facts.step.is_none() {
            // A replay reads the buffers of the first run, and those of a prediction are made anew each time.
            return Err(Error::Value {
                what: "CUDA graph".to_owned(),
                expected:
                    "a graph whose buffers stay where they are, which a fused step has (export --fused-step)"
                        .to_owned(),
                got: format!("{}, which predicts", model.facts.path.display()),
            });
        }
        if let Some(graph) = &model.proto.graph {
            refusal::check_quantization(kind, graph)?;
        }
        let library = library::load(options.onnx_runtime.as_deref())?;
        let prepared = match kind {
            EngineKind::OrtTensorRt => Some(engine_cache::prepare(&model, library, options)?),
            _ => None,
        };
        let Model { spec, facts: graph, proto, ports, extras, .. } = model;
        drop(proto);
        let built = prepared.as_ref().map_or(Duration::ZERO, |prepared| prepared.built);
        let load_ms = milliseconds(start.elapsed().saturating_sub(built));
        let begin = Instant::now();
        let opening = Opening { prepared: prepared.as_ref(), ..Opening::new(library, kind, options) };
        let (session, placement) = opening.session(&graph.path)?;
        let facts = EngineFacts {
            engine: kind,
            version: library.version.clone(),
            library: Some(library.path.clone()),
            threads: options.threads,
            load_ms,
            session_ms: milliseconds(begin.elapsed()),
            build_ms: Some(built).filter(|built| !built.is_zero()).map(milliseconds),
            placement,
            graph,
        };
        let extras = extras.into_iter().map(|(_, name)| name).collect();
        let (memory, profiling) = (Memory::of(kind, options), options.profile.is_some());
        let is_step = facts.graph.step.is_some();
        let mut engine = Self {
            spec,
            facts,
            session,
            extras,
            ports,
            memory,
            buffers: None,
            last_run: Duration::ZERO,
            records: 1,
            profiling,
            prepared,
        };
        if engine.memory.replays && is_step {
            super::canary::check(&mut engine, options.batch.max(1))?;
        }
        Ok(engine)
    }

    /// Checks a call against network, graph and engine.
    fn check(&self, noisy: &Latents, levels: &Levels, out: &Latents) -> avdit_core::Result<()> {
        super::check_buffers(&self.spec, &self.facts.graph, noisy, levels, out)?;
        self.check_batch(noisy.batch)
    }

    /// Checks a batch against what graph and engine take.
    fn check_batch(&self, batch: usize) -> avdit_core::Result<()> {
        Model::check_batch(&self.facts.graph, batch)?;
        match &self.prepared {
            Some(prepared) => {
                let checked = prepared.check_batch(batch, &self.facts.graph.path);
                checked.map_err(|error| super::failed(self.facts.engine.name(), error))
            }
            None => Ok(()),
        }
    }

    fn failed(&self, reason: String) -> avdit_core::Error {
        let kind = self.facts.engine;
        let reason = refusal::clean(&reason);
        super::failed(kind.name(), engine_error(kind, "run", &self.facts.graph.path, reason))
    }

    /// Returns the outputs named in `extras`.
    fn run(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        extras: &[String],
    ) -> Result<Vec<ExtraOutput>, String> {
        let batch = noisy.batch;
        let text = |error: ort::Error| error.to_string();
        let data = [&noisy.video, &noisy.audio, &levels.video, &levels.audio];
        let inputs = self.ports.inputs.iter().zip(data).map(|(port, data)| {
            let shape = port.shape(batch);
            let value = match port.element {
                Element::Float32 => view(shape, data)?.into(),
                Element::Float16 => {
                    Tensor::from_array((shape, Element::narrowed::<f16>(data))).map_err(text)?.into()
                }
                Element::Bfloat16 => {
                    Tensor::from_array((shape, Element::narrowed::<bf16>(data))).map_err(text)?.into()
                }
            };
            Ok((port.name.as_str(), value))
        });
        let inputs: Vec<(&str, SessionInputValue<'_>)> = inputs.collect::<Result<_, String>>()?;
        let start = Instant::now();
        let results = self.session.run(inputs).map_err(text)?;
        self.last_run = start.elapsed();
        for (port, modality) in self.ports.outputs.iter().zip(Modality::ALL) {
            let (result, out) = (&results[port.name.as_str()], out.get_mut(modality));
            let count: i64 = result.shape().iter().product();
            if count != out.len() as i64 {
                let (name, shape) = (&port.name, result.shape());
                let expected = self.spec.layout.shape(modality, batch);
                return Err(format!("output {name} has shape {shape}, expected {expected:?}"));
            }
            match port.element {
                Element::Float32 => out.copy_from_slice(result.try_extract_tensor::<f32>().map_err(text)?.1),
                Element::Float16 => {
                    result.try_extract_tensor::<f16>().map_err(text)?.1.convert_to_f32_slice(out)
                }
                Element::Bfloat16 => {
                    result.try_extract_tensor::<bf16>().map_err(text)?.1.convert_to_f32_slice(out)
                }
            }
        }
        let extra = |name: &String| -> Result<_, String> {
            let result = &results[name.as_str()];
            let shape = result.shape().iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
            let narrow = result.try_extract_tensor::<f16>().map(|(_, values)| values.to_f32_vec());
            let narrow = narrow
                .or_else(|_| result.try_extract_tensor::<bf16>().map(|(_, values)| values.to_f32_vec()));
            let values = match narrow {
                Ok(values) => values,
                Err(_) => result.try_extract_tensor::<f32>().map_err(text)?.1.to_vec(),
            };
            Ok(ExtraOutput { name: name.clone(), shape, values })
        };
        extras.iter().map(extra).collect()
    }
}

impl Denoiser for OrtEngine {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        self.check(noisy, levels, out)?;
        let result = self.run(noisy, levels, out, &[]);
        result.map_err(|reason| self.failed(reason))?;
        Ok(())
    }

    fn has_variance(&self) -> bool {
        super::has_variance(&self.extras)
    }

    fn predict_with_variance(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        variance: &mut Latents,
    ) -> avdit_core::Result<()> {
        super::take_variance(self.predict_with_extras(noisy, levels, out)?, variance)
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

    fn finish_profile(&mut self) -> Result<Option<PathBuf>> {
        if !std::mem::take(&mut self.profiling) {
            return Ok(None);
        }
        let path = self.session.end_profiling().map_err(|error| {
            engine_error(self.facts.engine, "profile", &self.facts.graph.path, error.to_string())
        })?;
        Ok(Some(path.into()))
    }

    fn predict_with_extras(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
    ) -> avdit_core::Result<Vec<ExtraOutput>> {
        self.check(noisy, levels, out)?;
        let extras = std::mem::take(&mut self.extras);
        let result = self.run(noisy, levels, out, &extras);
        self.extras = extras;
        result.map_err(|reason| self.failed(reason))
    }
}

fn view(shape: Vec<usize>, data: &[f32]) -> Result<TensorRef<'_, f32>, String> {
    TensorRef::from_array_view((shape, data)).map_err(|error| error.to_string())
}

fn engine_error(kind: EngineKind, action: &'static str, path: &Path, reason: String) -> Error {
    Error::Engine { engine: kind.name(), action, path: path.to_owned(), reason }
}
