//! tract: one plan per batch, made for concrete shapes.

mod operators;
mod record;
mod step;

use super::{Engine, EngineFacts, EngineKind, EngineOptions, ExtraOutput, Placement, milliseconds};
use crate::error::{Error, Result};
use crate::graph::{Batch, Element, GraphFacts, Model, Port, Ports};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, Modality, StepDenoiser};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::pb::ModelProto;
use tract_onnx::prelude::*;

const NAME: &str = "tract";

/// The version of the tract that this program contains.
pub(crate) const VERSION: &str = "0.23.9";

/// Plans hold their own packed weights: few are kept.
const KEPT_PLANS: usize = 4;

/// Graphs of more bytes than this are in memory once: one plan is kept, and the graph is read again for another batch.
const LARGE: u64 = 1 << 30;

pub(super) struct TractEngine {
    spec: DenoiserSpec,
    facts: EngineFacts,
    /// For plans of other batches.
    parsed: Option<InferenceModel>,
    ports: Ports,
    inputs: Vec<usize>,
    outputs: Vec<usize>,
    extras: Vec<(usize, String)>,
    /// Of a fused step.
    state: step::State,
    /// Most recently made last.
    plans: Vec<(usize, Arc<TypedRunnableModel>)>,
    executor: Executor,
    last_run: Duration,
    record: Option<record::Record>,
    /// [`LARGE`].
    large: u64,
}

impl TractEngine {
    pub(super) fn new(model: Model, options: &EngineOptions, start: Instant) -> Result<Self> {
        Self::with_limit(model, options, start, LARGE)
    }

    fn with_limit(model: Model, options: &EngineOptions, start: Instant, large: u64) -> Result<Self> {
        let Model { spec, facts: graph, proto, ports, inputs, outputs, extras } = model;
        let of_brain = |ports: &[Port]| {
            ports.iter().find(|port| port.element == Element::Bfloat16).map(|port| port.name.clone())
        };
        if let Some(name) = of_brain(&ports.inputs).or_else(|| of_brain(&ports.outputs)) {
            let reason = format!("{name} is bfloat16, which tract does not compute in");
            return Err(engine_error("read", &graph, reason));
        }
        let parsed = parse(&graph, proto)?;
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
            build_ms: None,
            placement: Vec::new(),
            graph,
        };
        let mut engine = Self {
            spec,
            facts,
            parsed: Some(parsed),
            ports,
            inputs,
            outputs,
            extras,
            state: step::State::default(),
            plans: Vec::new(),
            executor,
            last_run: Duration::ZERO,
            record: options.profile.as_deref().map(record::Record::new),
            large,
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
        let kept = if self.facts.graph.bytes > self.large { 1 } else { KEPT_PLANS };
        if self.plans.len() == kept {
            self.plans.remove(0);
        }
        let mut model = self.take_parsed()?;
        let plan = guarded("prepare", &self.facts.graph, || {
            for (&place, port) in self.inputs.iter().zip(&self.ports.inputs) {
                model.set_input_fact(place, InferenceFact::dt_shape(element(port), port.shape(batch)))?;
            }
            let plan =
                multithread_tract_scope(self.executor.clone(), || model.into_optimized()?.into_runnable())?;
            for (&place, port) in self.outputs.iter().zip(&self.ports.outputs) {
                let fact = plan.model().output_fact(place)?;
                let expected = port.shape(batch);
                let got = fact.shape.as_concrete();
                if got != Some(expected.as_slice()) || fact.datum_type != element(port) {
                    let (name, wanted) = (&port.name, element(port));
                    let what = format!("output {name} is {fact:?}, expected {wanted:?} {expected:?}");
                    return Err(TractError::msg(what));
                }
            }
            Ok(plan)
        })?;
        self.plans.push((batch, plan.clone()));
        Ok(plan)
    }

    /// The graph, for a plan to take apart; kept as well where another batch may come and it is not large.
    fn take_parsed(&mut self) -> Result<InferenceModel> {
        let graph = &self.facts.graph;
        let parsed = match self.parsed.take() {
            Some(parsed) => parsed,
            None => {
                let folder = graph.path.parent().unwrap_or(Path::new("."));
                parse(graph, Model::read(folder)?.proto)?
            }
        };
        if graph.batch == Batch::Any && graph.bytes <= self.large {
            self.parsed = Some(parsed.clone());
        }
        Ok(parsed)
    }

    /// Returns every output of the graph.
    fn run(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<TVec<TValue>> {
        let plan = self.plan(noisy.batch)?;
        let data = [&noisy.video, &noisy.audio, &levels.video, &levels.audio];
        let fed = self.ports.inputs.iter().zip(data);
        let fed = fed.map(|(port, data)| {
            let shape = port.shape(noisy.batch);
            let tensor = match port.element {
                Element::Float16 => Tensor::from_shape(&shape, &Element::narrowed::<f16>(data)),
                _ => tensor(&shape, data),
            };
            tensor.map(Tensor::into_tvalue)
        });
        let fed = fed.collect::<TractResult<_>>().map_err(|error| self.failed(&error))?;
        let results = self.run_plan(&plan, fed)?;
        for (&place, modality) in self.outputs.iter().zip(Modality::ALL) {
            let single = results[place].cast_to::<f32>().map_err(|error| self.failed(&error))?;
            out.get_mut(modality).copy_from_slice(values(&single).map_err(|error| self.failed(&error))?);
        }
        Ok(results)
    }

    /// Runs the graph on inputs in the order of the ports.
    fn run_plan(&mut self, plan: &Arc<TypedRunnableModel>, inputs: Vec<TValue>) -> Result<TVec<TValue>> {
        let (places, executor, record) = (&self.inputs, self.executor.clone(), &mut self.record);
        let (results, elapsed) = guarded("run", &self.facts.graph, || {
            let mut fed: TVec<TValue> = inputs.iter().map(|_| Tensor::default().into_tvalue()).collect();
            places.iter().zip(inputs).for_each(|(&place, input)| fed[place] = input);
            let start = Instant::now();
            let results = multithread_tract_scope(executor, || match record {
                Some(record) => record.run(plan, fed),
                None => plan.run(fed),
            })?;
            Ok((results, start.elapsed()))
        })?;
        self.last_run = elapsed;
        Ok(results)
    }

    fn failed(&self, error: &TractError) -> Error {
        engine_error("run", &self.facts.graph, format!("{error:#}"))
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

    fn has_variance(&self) -> bool {
        super::has_variance(self.extras.iter().map(|(_, name)| name))
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

impl Engine for TractEngine {
    fn facts(&self) -> &EngineFacts {
        &self.facts
    }

    fn last_run(&self) -> Duration {
        self.last_run
    }

    fn finish_profile(&mut self) -> Result<Option<PathBuf>> {
        let Some(record) = self.record.take() else { return Ok(None) };
        let written = record.finish();
        written.map(Some).map_err(|error| engine_error("profile", &self.facts.graph, error.to_string()))
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

/// The type that the graph has a port in.
fn element(port: &Port) -> DatumType {
    if port.element == Element::Float16 { f16::datum_type() } else { f32::datum_type() }
}

fn tensor(shape: &[usize], data: &[f32]) -> TractResult<Tensor> {
    Tensor::from_shape(shape, data)
}

fn values(tensor: &Tensor) -> TractResult<&[f32]> {
    tensor.try_as_plain_ram()?.as_slice::<f32>()
}

/// The graph with its weights, as tract reads it.
fn parse(graph: &GraphFacts, proto: ModelProto) -> Result<InferenceModel> {
    let onnx = tract_onnx::onnx().with_ignore_value_info(true);
    if let Some(reason) = proto.graph.as_ref().and_then(|proto| operators::refusal(&onnx, proto)) {
        return Err(engine_error("read", graph, reason));
    }
    guarded("read", graph, || {
        let folder = graph.path.parent().and_then(Path::to_str);
        let parsed = onnx.parse(&proto, folder)?;
        match parsed.unresolved_inputs.as_slice() {
            [] => Ok(parsed.model),
            names => Err(TractError::msg(format!("nothing computes {}", names.join(", ")))),
        }
    })
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
#[allow(clippy::unwrap_used, reason = "tests")]
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
            frozen: None,
            step: None,
        };
        let result = guarded("run", &graph, || -> TractResult<()> { panic!("index {} out of bounds", 7) });
        let expected =
            "engine tract cannot run model.onnx: it does not support this graph (index 7 out of bounds)";
        assert_eq!(result.unwrap_err().to_string(), expected);
    }

    #[test]
    fn a_large_graph_is_read_again_for_another_batch_and_computes_the_same() {
        use avdit_export::{ExportOptions, ModelConfig, ModelFolder, Provenance, RandomWeights};
        let config = avdit_nets::AvditConfig::preset("tiny").unwrap();
        let spec = DenoiserSpec {
            layout: config.layout(),
            target: avdit_core::Target::V,
            schedule: avdit_core::ScheduleKind::Linear,
            timesteps: 1000,
        };
        let (folder, options) = (tempfile::tempdir().unwrap(), ExportOptions::default());
        let target = folder.path().join("model");
        let graph =
            avdit_export::export_denoiser(&config, &RandomWeights::new(&config, 1), &spec, &options).unwrap();
        let staged = ModelFolder::begin(&target).unwrap();
        let model = ModelConfig::of(config, spec.clone(), Provenance::default());
        let record = staged.write(&graph, &model, &options).unwrap();
        staged.commit(&record).unwrap();

        let options = EngineOptions { threads: 1, ..EngineOptions::default() };
        let open = |large| {
            let model = Model::read(&target).unwrap();
            TractEngine::with_limit(model, &options, Instant::now(), large).unwrap()
        };
        let (mut whole, mut large) = (open(LARGE), open(0));
        assert!(whole.parsed.is_some() && large.parsed.is_none());
        for batch in [1, 2, 1] {
            let mut noisy = Latents::zeros(&spec.layout, batch);
            noisy.video.iter_mut().enumerate().for_each(|(i, x)| *x = (i % 7) as f32 - 3.0);
            let levels = Levels::repeat(&vec![300.0; spec.layout.cells()], batch);
            let predict = |engine: &mut TractEngine| {
                let mut out = Latents::zeros(&spec.layout, batch);
                engine.predict(&noisy, &levels, &mut out).unwrap();
                out
            };
            assert_eq!(predict(&mut whole), predict(&mut large), "batch {batch}");
        }
        assert_eq!((whole.plans.len(), large.plans.len()), (2, 1));
    }

    #[test]
    fn the_version_told_is_the_one_that_is_built() {
        let lock = include_str!("../../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"tract-onnx\"\nversion = \"{}\"", VERSION)));
    }
}
