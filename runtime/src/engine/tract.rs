//! tract: one plan per batch, made for concrete shapes.

mod attention;
mod operators;

use super::{Engine, EngineFacts, EngineKind, EngineOptions, ExtraOutput, Placement, milliseconds};
use crate::error::{Error, Result};
use crate::graph::{Batch, GraphFacts, Model};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, Modality};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

const NAME: &str = "tract";

/// The version of the tract that this program contains.
pub(crate) const VERSION: &str = "0.23.9";

/// Plans hold their own packed weights: few are kept.
const KEPT_PLANS: usize = 4;

pub(super) struct TractEngine {
    spec: DenoiserSpec,
    facts: EngineFacts,
    model: InferenceModel,
    inputs: [usize; 4],
    outputs: [usize; 2],
    extras: Vec<(usize, String)>,
    /// Most recently made last.
    plans: Vec<(usize, Arc<TypedRunnableModel>)>,
    executor: Executor,
    last_run: Duration,
}

impl TractEngine {
    pub(super) fn new(model: Model, options: &EngineOptions, start: Instant) -> Result<Self> {
        let Model { spec, facts: graph, mut proto, inputs, outputs, extras } = model;
        let onnx = tract_onnx::onnx().with_ignore_value_info(true);
        if let Some(reason) = proto.graph.as_ref().and_then(|proto| operators::refusal(&onnx, proto)) {
            return Err(engine_error("read", &graph, reason));
        }
        proto.graph.iter_mut().for_each(attention::fuse);
        let parsed = guarded("read", &graph, || {
            let folder = graph.path.parent().and_then(Path::to_str);
            let parsed = onnx.parse(&proto, folder)?;
            match parsed.unresolved_inputs.as_slice() {
                [] => Ok(parsed.model),
                names => Err(TractError::msg(format!("nothing computes {}", names.join(", ")))),
            }
        })?;
        drop(proto);
        let load_ms = milliseconds(start.elapsed());
        let executor = match options.threads {
            1 => Executor::SingleThread,
            n => guarded("start threads for", &graph, || Ok(Executor::multithread(n)))?,
        };
        let facts = EngineFacts {
            engine: EngineKind::Tract,
            version: VERSION.to_owned(),
            library: None,
            threads: options.threads,
            load_ms,
            session_ms: 0.0,
            placement: Vec::new(),
            graph,
        };
        let mut engine = Self {
            spec,
            facts,
            model: parsed,
            inputs,
            outputs,
            extras,
            plans: Vec::new(),
            executor,
            last_run: Duration::ZERO,
        };
        let session = Instant::now();
        let batch = match engine.facts.graph.batch {
            Batch::Fixed(n) => n,
            Batch::Any => options.batch.max(1),
        };
        let plan = engine.plan(batch)?;
        engine.facts.session_ms = milliseconds(session.elapsed());
        engine.facts.placement =
            vec![Placement { device: "CPU".into(), nodes: Some(plan.model().nodes().len()) }];
        Ok(engine)
    }

    fn plan(&mut self, batch: usize) -> Result<Arc<TypedRunnableModel>> {
        if let Some((_, plan)) = self.plans.iter().find(|(n, _)| *n == batch) {
            return Ok(plan.clone());
        }
        let plan = guarded("prepare", &self.facts.graph, || {
            let mut model = self.model.clone();
            for (&place, shape) in self.inputs.iter().zip(input_shapes(&self.spec, batch)) {
                model.set_input_fact(place, InferenceFact::dt_shape(f32::datum_type(), shape))?;
            }
            let plan =
                multithread_tract_scope(self.executor.clone(), || model.into_optimized()?.into_runnable())?;
            for (&place, modality) in self.outputs.iter().zip(Modality::ALL) {
                let fact = plan.model().output_fact(place)?;
                let expected = self.spec.layout.shape(modality, batch);
                let got = fact.shape.as_concrete();
                if got != Some(expected.as_slice()) || fact.datum_type != f32::datum_type() {
                    let what =
                        format!("output for {} is {fact:?}, expected F32 {expected:?}", modality.name());
                    return Err(TractError::msg(what));
                }
            }
            Ok(plan)
        })?;
        if self.plans.len() == KEPT_PLANS {
            self.plans.remove(0);
        }
        self.plans.push((batch, plan.clone()));
        Ok(plan)
    }

    /// Returns every output of the graph.
    fn run(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<TVec<TValue>> {
        let plan = self.plan(noisy.batch)?;
        let shapes = input_shapes(&self.spec, noisy.batch);
        let data = [&noisy.video, &noisy.audio, &levels.video, &levels.audio];
        let (places, executor) = (self.inputs, self.executor.clone());
        let (results, elapsed) = guarded("run", &self.facts.graph, || {
            let mut fed: TVec<TValue> = tvec!(Tensor::default().into_tvalue(); 4);
            for ((&place, shape), data) in places.iter().zip(&shapes).zip(data) {
                fed[place] = Tensor::from_shape(shape, data)?.into_tvalue();
            }
            let start = Instant::now();
            let results = multithread_tract_scope(executor, || plan.run(fed))?;
            Ok((results, start.elapsed()))
        })?;
        for (&place, modality) in self.outputs.iter().zip(Modality::ALL) {
            let failed = |error: TractError| engine_error("run", &self.facts.graph, format!("{error:#}"));
            let result = results[place].try_as_plain_ram().map_err(failed)?;
            out.get_mut(modality).copy_from_slice(result.as_slice::<f32>().map_err(failed)?);
        }
        self.last_run = elapsed;
        Ok(results)
    }

    fn extra(&self, results: &[TValue], place: usize, name: &str) -> Result<ExtraOutput> {
        let failed =
            |error: TractError| engine_error("run", &self.facts.graph, format!("output {name}: {error:#}"));
        let values = results[place].cast_to::<f32>().map_err(failed)?;
        let shape = values.shape().to_vec();
        let values = values.try_as_plain_ram().map_err(failed)?.as_slice::<f32>().map_err(failed)?.to_vec();
        Ok(ExtraOutput { name: name.to_owned(), shape, values })
    }
}

impl Denoiser for TractEngine {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        super::check_buffers(&self.spec, &self.facts.graph, noisy, levels, out)?;
        self.run(noisy, levels, out).map_err(|error| super::failed(NAME, error))?;
        Ok(())
    }
}

impl Engine for TractEngine {
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
        let results = self.run(noisy, levels, out).map_err(|error| super::failed(NAME, error))?;
        let extras = self.extras.iter().map(|(place, name)| self.extra(&results, *place, name));
        extras.collect::<Result<_>>().map_err(|error| super::failed(NAME, error))
    }
}

fn input_shapes(spec: &DenoiserSpec, batch: usize) -> [Vec<usize>; 4] {
    let layout = &spec.layout;
    let levels = vec![batch, layout.segments()];
    [layout.shape(Modality::Video, batch), layout.shape(Modality::Audio, batch), levels.clone(), levels]
}

fn engine_error(action: &'static str, graph: &GraphFacts, reason: String) -> Error {
    Error::Engine { engine: NAME, action, path: graph.path.clone(), reason }
}

/// Runs code of tract, which may panic on graphs it was not made for, so that it can only fail.
fn guarded<T>(action: &'static str, graph: &GraphFacts, code: impl FnOnce() -> TractResult<T>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(code)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(engine_error(action, graph, format!("{error:#}"))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            let reason =
                format!("it does not support this graph ({})", text.unwrap_or_else(|| "panic".to_owned()));
            Err(engine_error(action, graph, reason))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_tract_is_an_error() {
        let graph = GraphFacts {
            path: "model.onnx".into(),
            bytes: 0,
            opset: 20,
            domains: Vec::new(),
            producer: String::new(),
            nodes: 0,
            batch: Batch::Any,
        };
        let result = guarded("run", &graph, || -> TractResult<()> { panic!("index {} out of bounds", 7) });
        let expected =
            "engine tract cannot run model.onnx: it does not support this graph (index 7 out of bounds)";
        assert_eq!(result.unwrap_err().to_string(), expected);
    }

    #[test]
    fn the_version_told_is_the_one_that_is_built() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"tract-onnx\"\nversion = \"{}\"", VERSION)));
    }
}
