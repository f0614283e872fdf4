//! The result of a measurement, schema `avdit-bench/2`. Times are milliseconds of wall time unless their name says
//! otherwise; sizes are bytes.

use avdit_runtime::machine::{Machine, State};
use avdit_runtime::{Precision, Summary};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The schema that this version writes and reads.
pub const SCHEMA: &str = "avdit-bench/2";

/// A measurement of several cases on one machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BenchResult {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it began, UTC.
    pub created: String,
    /// The version of this program.
    pub avdit: String,
    /// What was typed.
    pub command: Vec<String>,
    /// The machine.
    pub machine: Machine,
    /// Its state before the first case was opened.
    pub before: State,
    /// Its state after the last run.
    pub after: State,
    /// How it was measured.
    pub protocol: Protocol,
    /// What the machine can do at most.
    pub limits: Vec<Limit>,
    /// One row for each case, in the order asked for, those that failed included.
    pub rows: Vec<Row>,
    /// What should make a reader careful about all of it.
    pub notes: Vec<String>,
}

/// How was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Protocol {
    /// Before anything counts, at least.
    pub warm_up_ms: u64,
    /// Runs of all steps that count, for each case at least.
    pub min_runs: usize,
    /// Time in those, for each case at least.
    pub min_duration_s: f64,
    /// Whether the cases ran in turn, or one after another.
    pub interleaved: bool,
    /// Why they did not run in turn.
    pub sequential_because: Option<String>,
}

/// A limit of the machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Limit {
    /// The engine whose matrix product was timed; none for the bandwidth of memory.
    pub engine: Option<String>,
    /// The precision of the product.
    pub precision: Option<Precision>,
    /// Threads.
    pub threads: usize,
    /// `GFLOP/s` or `GB/s`.
    pub unit: String,
    /// What was read, before the first case and after the last.
    pub readings: Vec<f64>,
    /// The largest reading: what the machine was seen to do.
    pub value: Option<f64>,
    /// The same for a second of processor time, over all threads.
    pub per_cpu_second: Option<f64>,
    /// Why there is none.
    pub reason: Option<String>,
}

/// One case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The model.
    pub model: ModelFacts,
    /// The engine asked for.
    pub engine: String,
    /// Threads asked for.
    pub threads: usize,
    /// What was sampled.
    pub sampling: Sampling,
    /// How the graph was written and the engine set up, where that is not the default.
    pub setup: Vec<String>,
    /// What came of it; none if it failed.
    pub measured: Option<Measured>,
    /// Why there is nothing.
    pub failed: Option<Failure>,
    /// What should make a reader careful about this row.
    pub notes: Vec<String>,
    /// What the worker wrote to its standard error.
    pub log: Vec<String>,
}

/// A model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelFacts {
    /// The name of its folder.
    pub name: String,
    /// The folder.
    pub path: PathBuf,
    /// The precision of its weights, where it can be read.
    pub precision: Option<Precision>,
    /// The target, frozen schedule and fused step of its graph, as far as it has them.
    pub form: Vec<String>,
    /// Its graph and the weights beside it.
    pub bytes: Option<u64>,
}

/// What was sampled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// The sampler.
    pub sampler: String,
    /// Steps that each cell takes.
    pub steps: usize,
    /// Clips at once.
    pub batch: usize,
    /// The task whose cells are given.
    pub task: String,
    /// The guidance scale; 1 is off.
    pub guidance: f64,
}

/// A case that did not run, or not to its end.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Failure {
    /// Where: `open`, `run` or `finish`.
    pub stage: String,
    /// Why.
    pub reason: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
    /// What `avdit bench` ends with for it.
    pub exit_code: u8,
    /// The signal that ended the process.
    pub signal: Option<i32>,
}

/// The figures of a case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Measured {
    /// The engine that ran, and how it was opened.
    pub opened: Opened,
    /// Runs that count, each of all steps.
    pub runs: usize,
    /// The time of these runs together.
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
    /// Decoding of a sample, apart from all that stands above.
    pub decode: Option<Decode>,
    /// Processor time per step, over all threads of the process.
    pub cpu_ms_per_step: f64,
    /// Processor time over wall time.
    pub threads_busy: f64,
    /// Memory of the process.
    pub memory: Memory,
    /// What the device tells, where there is one.
    pub device: Option<Device>,
    /// How far it is from what the machine can do; none where the multiply-adds or a limit are unknown.
    pub roofline: Option<Roofline>,
    /// The median step of each run, in order.
    pub run_p50_ms: Vec<f64>,
    /// The mean step of each run, in order.
    pub run_mean_ms: Vec<f64>,
    /// The processor time of a step in each run, in order.
    pub run_cpu_ms: Vec<f64>,
    /// All percentiles of a step, from the smallest (0) to the largest (100).
    pub step_percentiles_ms: Vec<f64>,
}

/// An opened model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Opened {
    /// The engine's version.
    pub version: String,
    /// The library it was loaded from; none if it is part of this program.
    pub library: Option<PathBuf>,
    /// The file of the network that ran: the graph, or a checkpoint on Candle.
    pub network: PathBuf,
    /// Threads that it was given.
    pub threads: usize,
    /// Loading that library.
    pub library_load_ms: Option<f64>,
    /// Reading and checking the model folder.
    pub load_ms: f64,
    /// From there to a graph that is ready to run.
    pub session_ms: f64,
    /// Building an engine ahead of that; none where there is no such thing, or it was there.
    pub engine_build_ms: Option<f64>,
    /// The first step after opening, before the warm-up.
    pub first_step_ms: f64,
    /// Nodes of the graph as it is in the file.
    pub nodes: usize,
    /// What the engine placed where, in its own account.
    pub placement: serde_json::Value,
}

/// Making a clip of latents, the median of several times, for one clip.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decode {
    /// The pictures.
    pub video_ms: f64,
    /// The sound.
    pub audio_ms: f64,
}

/// Memory of a worker's process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// Held before the model was opened.
    pub start_bytes: Option<u64>,
    /// The most while it was opened.
    pub open_peak_bytes: Option<u64>,
    /// The most since then; the most of all where the system does not tell these apart.
    pub run_peak_bytes: Option<u64>,
    /// That, less the weights and what was held at the start.
    pub above_weights_bytes: Option<i64>,
}

/// What a device tells.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// The most memory of it that was in use.
    pub peak_memory_bytes: Option<u64>,
    /// Energy for each clip.
    pub joules_per_clip: Option<f64>,
    /// The clock while it ran.
    pub clock_mhz: Option<f64>,
    /// Its temperature at the end.
    pub temperature_c: Option<f64>,
    /// The power it may draw.
    pub power_limit_w: Option<f64>,
}

/// A step beside what the machine can do (Williams et al. 2009).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Roofline {
    /// Multiplications and additions in a step, of 10⁹.
    pub gflop: f64,
    /// Bytes of weights that a step reads: each weight once for each prediction.
    pub weight_bytes: f64,
    /// Operations for each byte of weights.
    pub intensity: f64,
    /// The precision of the product that the step is judged by.
    pub precision: Precision,
    /// The engine's own matrix product.
    pub matmul_gflop_per_s: f64,
    /// The bandwidth of memory, where it was measured.
    pub bandwidth_gb_per_s: Option<f64>,
    /// The lower of the product's rate and of what the bandwidth allows at that intensity.
    pub bound_gflop_per_s: f64,
    /// What the median step reached.
    pub reached_gflop_per_s: f64,
    /// That as a share of the product's rate.
    pub share_of_matmul: f64,
    /// The same in processor time, the step's and the product's: what other work on the machine disturbs least.
    pub share_of_matmul_cpu: Option<f64>,
    /// And of the bound.
    pub share_of_bound: f64,
}
