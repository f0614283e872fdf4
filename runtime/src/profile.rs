//! Where the time of a step goes: the operations of a graph, as the engine itself times them.
//!
//! Asking an engine to time its operations slows it down, so these times are no latency. The model is therefore open
//! twice: one engine profiles, the other does not, and they sample in turn, so that whatever else the machine does
//! hits both. The share of time that no operation accounts for is told, and the first run counts for neither: it is
//! the one that allocates, and on a GPU the one that searches for kernels.

mod events;
mod operations;

pub use events::{ArenaUse, Event};
pub(crate) use events::{KERNEL, RUN};
pub use operations::{OpTime, ProviderTime};

use crate::engine::{Engine, EngineFacts, EngineKind, EngineOptions, open};
use crate::error::{Error, Result};
use crate::machine::Machine;
use crate::timing::{StepTiming, Summary, sample_timed};
use avdit_core::{Latents, SampleRequest};
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What to profile.
#[derive(Clone, Debug)]
pub struct ProfileOptions {
    /// What is sampled in each run.
    pub request: SampleRequest,
    /// The latents of its given cells.
    pub given: Option<Latents>,
    /// Runs that count, of each of the two engines.
    pub runs: usize,
}

/// Where the time of the network went. Times are milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Profile {
    /// The machine.
    pub machine: Machine,
    /// The engine that was profiled.
    pub facts: EngineFacts,
    /// Runs of the graph that count.
    pub predictions: usize,
    /// Wall time inside the engine in those runs, by our clock.
    pub wall_ms: f64,
    /// The sum of all operations in those runs over `wall_ms`.
    pub coverage: f64,
    /// One run of the graph while operations are timed.
    pub profiled_ms: Summary,
    /// One run of the graph while nothing is timed: the latency.
    pub plain_ms: Summary,
    /// `profiled_ms.p50 / plain_ms.p50`.
    pub slowdown: f64,
    /// In the order in which they run.
    pub operations: Vec<OpTime>,
    /// Time by execution provider.
    pub providers: Vec<ProviderTime>,
    /// Memory of the engine's arena, where the engine tells.
    pub arena: Option<ArenaUse>,
    /// Every operation of every run that counts, for a trace.
    #[serde(skip)]
    pub events: Vec<Event>,
    /// The sampling step, from 0, that each run of the graph belongs to.
    #[serde(skip)]
    pub step_of_run: Vec<usize>,
}

/// Profiles a model folder on an engine. `on_run` hears of every run that is done, off the clock.
///
/// # Errors
/// As [`open`] and [`sample_timed`]; [`Error::Value`] if there is nothing to profile; [`Error::Engine`] if the engine
/// leaves no profile, or one that does not have the runs that were made.
pub fn profile(
    folder: &Path,
    kind: EngineKind,
    engine: &EngineOptions,
    options: &ProfileOptions,
    on_run: &mut dyn FnMut(usize),
) -> Result<Profile> {
    if options.runs == 0 || options.request.steps == 0 {
        let what = "runs and steps of a profile".to_owned();
        return Err(Error::Value { what, expected: "at least 1".to_owned(), got: "0".to_owned() });
    }
    let machine = Machine::this();
    let scratch = Scratch::new()?;
    let batch = options.request.batch;
    let plain_options = EngineOptions { batch, profile: None, ..engine.clone() };
    let profiled_options =
        EngineOptions { profile: Some(scratch.0.join("operations")), ..plain_options.clone() };
    let mut plain = open(folder, kind, &plain_options)?;
    let mut profiled = open(folder, kind, &profiled_options)?;
    let run = |engine: &mut dyn Engine| -> Result<Vec<StepTiming>> {
        Ok(sample_timed(engine, &options.request, options.given.as_ref(), &mut |_| {})?.timings.steps)
    };
    run(plain.as_mut())?;
    run(profiled.as_mut())?;
    let (mut plain_steps, mut profiled_steps) = (Vec::new(), Vec::new());
    for n in 0..options.runs {
        plain_steps.extend(run(plain.as_mut())?);
        profiled_steps.extend(run(profiled.as_mut())?);
        on_run(n + 1);
    }
    drop(plain);
    let file = profiled.finish_profile()?;
    let failed = |reason: String| Error::Engine {
        engine: kind.name(),
        action: "profile",
        path: profiled.facts().graph.path.clone(),
        reason,
    };
    let file = file.ok_or_else(|| failed("it does not time its operations".to_owned()))?;
    let predictions = profiled_steps.iter().map(|step| step.predictions).sum();
    let mut recorded = events::read(&file, predictions).map_err(failed)?;
    let operations = operations::sum(&mut recorded.events);
    let wall_ms: f64 = profiled_steps.iter().map(|step| step.network_ms).sum();
    let total_ms: f64 = operations.iter().map(|operation| operation.total_ms).sum();
    let (plain_ms, profiled_ms) = (per_prediction(&plain_steps), per_prediction(&profiled_steps));
    Ok(Profile {
        machine,
        facts: profiled.facts().clone(),
        predictions,
        wall_ms,
        coverage: total_ms / wall_ms,
        slowdown: profiled_ms.p50 / plain_ms.p50,
        profiled_ms,
        plain_ms,
        providers: operations::by_provider(&operations),
        operations,
        arena: recorded.arena,
        events: recorded.events,
        step_of_run: profiled_steps
            .iter()
            .flat_map(|s| std::iter::repeat_n(s.index, s.predictions))
            .collect(),
    })
}

/// The network's time in a prediction, over steps that have one or more each.
fn per_prediction(steps: &[StepTiming]) -> Summary {
    let times: Vec<f64> = steps.iter().map(|step| step.network_ms / step.predictions.max(1) as f64).collect();
    Summary::of(&times).expect("there is at least one run of one step")
}

/// A folder of this process for as long as it takes to read what the engine has written there.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("avdit-profile-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left of it is the system's to clean.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
