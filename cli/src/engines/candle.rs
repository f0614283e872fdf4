//! Candle as one more engine, to compare the others with: it runs the network that a graph was made from.

use crate::network::Network;
use anyhow::{Context, Result};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels};
use avdit_runtime::engine::{ExtraOutput, Placement};
use avdit_runtime::graph::{Batch, GraphFacts};
use avdit_runtime::{Engine, EngineFacts, EngineKind, EngineOptions};
use avdit_trainer::{CandleDenoiser, checkpoint};
use rayon::{ThreadPool, ThreadPoolBuilder};
use std::path::Path;
use std::time::{Duration, Instant};

/// The trainer's network on a thread pool of its own.
pub struct CandleEngine {
    denoiser: CandleDenoiser,
    facts: EngineFacts,
    pool: ThreadPool,
    last_run: Duration,
}

/// What samplers must know of the network of a run.
///
/// # Errors
/// If its checkpoint cannot be read.
pub fn spec(folder: &Path) -> Result<DenoiserSpec> {
    let folder = checkpoint::latest(folder)?;
    Ok(avdit_trainer::Checkpoint::open_for_inference(&folder, true)?.0.spec)
}

impl CandleEngine {
    /// Opens what a model folder was made from, or a run or checkpoint.
    ///
    /// # Errors
    /// If the checkpoint is gone, has changed, or cannot be read.
    pub fn open(folder: &Path, options: &EngineOptions) -> Result<Self> {
        let start = Instant::now();
        let network = Network::behind(folder)?;
        let load_ms = start.elapsed().as_secs_f64() * 1e3;
        let opening = Instant::now();
        let denoiser = network.denoiser()?;
        let threads = ThreadPoolBuilder::new().num_threads(options.threads);
        let pool = threads.build().context("threads for candle")?;
        let (path, producer) = match network.weights.file() {
            Some(path) => (path.to_owned(), "checkpoint"),
            None => (folder.to_owned(), "random weights"),
        };
        let facts = EngineFacts {
            engine: EngineKind::Candle,
            version: CandleDenoiser::VERSION.to_owned(),
            library: None,
            threads: options.threads,
            load_ms,
            session_ms: opening.elapsed().as_secs_f64() * 1e3,
            build_ms: None,
            // Candle's products have one thread (see `main`); the threads run the trainer's own operations.
            placement: vec![Placement { device: "CPU, matrix products on 1 thread".into(), nodes: None }],
            graph: GraphFacts {
                frozen: None,
                step: None,
                path,
                bytes: network.config.parameter_count() as u64 * 4,
                opset: 0,
                domains: Vec::new(),
                producer: producer.to_owned(),
                nodes: 0,
                batch: Batch::Any,
            },
        };
        Ok(Self { denoiser, facts, pool, last_run: Duration::ZERO })
    }
}

impl CandleEngine {
    fn time(
        &mut self,
        call: impl FnOnce(&mut CandleDenoiser) -> avdit_core::Result<()> + Send,
    ) -> avdit_core::Result<()> {
        let (pool, denoiser) = (&self.pool, &mut self.denoiser);
        // The copies in and out are part of it: Candle's tensors own their values.
        let start = Instant::now();
        let result = pool.install(|| call(denoiser));
        self.last_run = start.elapsed();
        result
    }
}

impl Denoiser for CandleEngine {
    fn spec(&self) -> &DenoiserSpec {
        self.denoiser.spec()
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        self.time(|denoiser| denoiser.predict(noisy, levels, out))
    }

    fn has_variance(&self) -> bool {
        self.denoiser.has_variance()
    }

    fn predict_with_variance(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        variance: &mut Latents,
    ) -> avdit_core::Result<()> {
        self.time(|denoiser| denoiser.predict_with_variance(noisy, levels, out, variance))
    }
}

impl Engine for CandleEngine {
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
        self.predict(noisy, levels, out)?;
        Ok(Vec::new())
    }
}
