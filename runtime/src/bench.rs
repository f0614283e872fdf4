//! How fast a model samples on an engine.
//!
//! Opens the model, samples once for the first step, warms up, then samples until both a number of runs and a
//! duration are reached. What is told is measured; beside it stands the machine's own rate of matrix
//! multiplication, taken in the same minute, so that results of different machines can be compared as ratios.

mod matmul;
mod report;

pub use report::{BenchReport, CpuTime, Sampling};

use crate::engine::{EngineKind, EngineOptions, open};
use crate::error::{Error, Result};
use crate::machine::{Machine, cpu_seconds, peak_memory_bytes};
use crate::timing::{StepTiming, Summary, overhead, sample_timed};
use avdit_core::{Latents, SampleRequest};
use std::path::Path;
use std::time::{Duration, Instant};

/// What to measure, and for how long.
#[derive(Clone, Debug)]
pub struct BenchOptions {
    /// What is sampled in each run.
    pub request: SampleRequest,
    /// The latents of its given cells.
    pub given: Option<Latents>,
    /// How long a sampled clip plays, for clip-seconds per second.
    pub clip_seconds: Option<f64>,
    /// At least this long before anything counts.
    pub warm_up: Duration,
    /// At least this many runs that count.
    pub min_runs: usize,
    /// At least this long in all.
    pub min_duration: Duration,
}

impl BenchOptions {
    /// 200 ms of warm-up, then at least 10 runs and 3 s.
    pub fn new(request: SampleRequest) -> Self {
        Self {
            request,
            given: None,
            clip_seconds: None,
            warm_up: Duration::from_millis(200),
            min_runs: 10,
            min_duration: Duration::from_secs(3),
        }
    }
}

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// The model is open.
    Opened,
    /// What follows counts.
    WarmedUp,
    /// So many runs are done.
    Ran {
        /// Runs.
        runs: usize,
        /// Since the warm-up.
        elapsed: Duration,
    },
}

/// Measures a model folder on an engine. `on_progress` is called between runs, off the clock.
///
/// # Errors
/// As [`open`] and [`sample_timed`]; [`Error::Value`] if there is nothing to measure.
pub fn bench(
    folder: &Path,
    kind: EngineKind,
    engine: &EngineOptions,
    options: &BenchOptions,
    on_progress: &mut dyn FnMut(Progress),
) -> Result<BenchReport> {
    if options.min_runs == 0 || options.request.steps == 0 {
        let what = "runs and steps of a measurement".to_owned();
        return Err(Error::Value { what, expected: "at least 1".to_owned(), got: "0".to_owned() });
    }
    let machine = Machine::this();
    let engine_options = EngineOptions { batch: options.request.batch, ..engine.clone() };
    let mut engine = open(folder, kind, &engine_options)?;
    on_progress(Progress::Opened);
    let mut run = || sample_timed(engine.as_mut(), &options.request, options.given.as_ref(), &mut |_| {});

    let warming = Instant::now();
    let first = run()?.timings;
    while warming.elapsed() < options.warm_up {
        run()?;
    }
    on_progress(Progress::WarmedUp);

    let (mut runs, mut elapsed, mut cpu) = (Vec::new(), Duration::ZERO, 0.0);
    while runs.len() < options.min_runs || elapsed < options.min_duration {
        let (start, cpu_start) = (Instant::now(), cpu_seconds());
        let timings = run()?.timings;
        elapsed += start.elapsed();
        cpu += cpu_seconds() - cpu_start;
        runs.push(timings);
        on_progress(Progress::Ran { runs: runs.len(), elapsed });
    }
    let peak_memory_bytes = peak_memory_bytes();
    let matmul_gflop_per_s = matmul::gflop_per_second();

    let steps: Vec<StepTiming> = runs.iter().flat_map(|run| run.steps.iter().copied()).collect();
    let summary = |part: fn(&StepTiming) -> f64, steps: &[StepTiming]| {
        let values: Vec<f64> = steps.iter().map(part).collect();
        Summary::of(&values).expect("there is at least one run of one step")
    };
    let of_index =
        |index: usize| -> Vec<_> { runs.iter().filter_map(|run| run.steps.get(index).copied()).collect() };
    let wall = summary(|step| step.wall_ms, &steps);
    let clips = (runs.len() * options.request.batch) as f64;
    let seconds = elapsed.as_secs_f64();
    let cpu_ms_per_step = cpu * 1e3 / steps.len() as f64;
    Ok(BenchReport {
        schema: BenchReport::SCHEMA,
        facts: engine.facts().clone(),
        sampling: Sampling::of(&options.request),
        first_step_ms: first.steps.first().map_or(0.0, |step| step.wall_ms),
        runs: runs.len(),
        duration_s: seconds,
        step_ms: wall,
        step_ms_by_index: (0..runs[0].steps.len())
            .map(|i| summary(|step| step.wall_ms, &of_index(i)))
            .collect(),
        network_ms: summary(|step| step.network_ms, &steps),
        copies_ms: summary(|step| step.copies_ms, &steps),
        sampler_ms: summary(|step| step.sampler_ms, &steps),
        overhead: overhead(&steps),
        steps_per_s: steps.len() as f64 / seconds,
        clips_per_s: clips / seconds,
        clip_seconds_per_s: options.clip_seconds.map(|length| length * clips / seconds),
        cpu: CpuTime {
            ms_per_step: cpu_ms_per_step,
            threads_busy: cpu / seconds,
            matmul_gflop_per_s,
            step_as_matmul_gflop: cpu_ms_per_step * 1e-3 * matmul_gflop_per_s,
        },
        peak_memory_bytes,
        notes: report::notes(&machine, &wall, cpu / seconds, engine.facts().threads),
        machine,
    })
}
