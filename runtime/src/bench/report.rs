//! The result of a measurement, schema `avdit-bench/1`.

use crate::engine::EngineFacts;
use crate::machine::Machine;
use crate::timing::Summary;
use avdit_core::SampleRequest;
use serde::Serialize;

/// The result of a measurement. Times are milliseconds of wall time unless their name says otherwise.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BenchReport {
    /// [`BenchReport::SCHEMA`].
    pub schema: &'static str,
    /// The machine.
    pub machine: Machine,
    /// The engine that ran, and how long it took to open the model.
    pub facts: EngineFacts,
    /// What was sampled.
    pub sampling: Sampling,
    /// The first step after opening, before the warm-up.
    pub first_step_ms: f64,
    /// Runs that count, each of all steps.
    pub runs: usize,
    /// How long they took.
    pub duration_s: f64,
    /// A step.
    pub step_ms: Summary,
    /// The same, by the step's index in its run.
    pub step_ms_by_index: Vec<Summary>,
    /// The part of a step inside the engine's run of the graph.
    pub network_ms: Summary,
    /// The part of a step that moves latents in and out of the engine.
    pub copies_ms: Summary,
    /// The part of a step that is the sampler's.
    pub sampler_ms: Summary,
    /// Everything but the network, as a share of the steps' time.
    pub overhead: f64,
    /// Steps per second, each for the whole batch.
    pub steps_per_s: f64,
    /// Clips per second.
    pub clips_per_s: f64,
    /// Seconds of clip made in a second, where the length of a clip is known.
    pub clip_seconds_per_s: Option<f64>,
    /// Processor time.
    pub cpu: CpuTime,
    /// The most memory that the process has held, whatever it did before included.
    pub peak_memory_bytes: Option<u64>,
    /// What should make a reader careful.
    pub notes: Vec<String>,
}

impl BenchReport {
    /// The schema that this version writes.
    pub const SCHEMA: &str = "avdit-bench/1";
}

/// What was sampled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sampling {
    /// The sampler.
    pub sampler: String,
    /// Steps that each cell takes.
    pub steps: usize,
    /// Clips at once.
    pub batch: usize,
    /// The given cells.
    pub given: String,
    /// The guidance scale; 1 is off.
    pub guidance: f64,
    /// In which order the segments are made.
    pub plan: String,
}

impl Sampling {
    pub(super) fn of(request: &SampleRequest) -> Self {
        Self {
            sampler: request.sampler.to_string(),
            steps: request.steps,
            batch: request.batch,
            given: request.given.to_string(),
            guidance: request.guidance,
            plan: request.plan.to_string(),
        }
    }
}

/// Processor time of a measurement, over all threads of the process.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CpuTime {
    /// Processor time per step.
    pub ms_per_step: f64,
    /// Processor time over wall time.
    pub threads_busy: f64,
    /// What one thread of this machine does in a product of two 256 × 256 single-precision matrices.
    pub matmul_gflop_per_s: f64,
    /// How much matrix multiplication one thread could have done in the processor time of a step.
    pub step_as_matmul_gflop: f64,
}

/// The variation above which a measurement is not quiet.
const QUIET_CV: f64 = 0.025;

pub(super) fn notes(machine: &Machine, step: &Summary, threads_busy: f64, threads: usize) -> Vec<String> {
    let mut notes = Vec::new();
    if step.cv > QUIET_CV {
        notes.push(format!(
            "steps vary by {:.1} % (coefficient of variation; above {:.1} % a measurement is not quiet)",
            step.cv * 100.0,
            QUIET_CV * 100.0
        ));
    }
    if let Some(load) = machine.load_average.filter(|load| *load > 0.5) {
        notes.push(format!("load average {load:.2} before the measurement: other work shared the machine"));
    }
    if threads > machine.threads {
        notes.push(format!("{threads} threads on {} processors", machine.threads));
    }
    if threads_busy < 0.7 * threads.min(machine.threads) as f64 {
        notes.push(format!("{threads_busy:.2} of {threads} threads were busy on average"));
    }
    notes
}
