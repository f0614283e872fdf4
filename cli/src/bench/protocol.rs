//! What parent and worker say to each other: one JSON value a line, the parent's on the worker's stdin, the worker's
//! on its stdout.
//!
//! The first line of the parent is a [`Job`]. A worker with a case answers `opened`, then one `ran` for each `run`,
//! then `finished` to `finish`. A worker with limits answers one `limit` for each limit and ends. `failed` may come in
//! place of any answer, and is the last one.

use super::result::{Decode, Device, Memory, Opened};
use avdit_runtime::limits::Rate;
use avdit_runtime::{EngineKind, EngineOptions, Precision};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What a worker is for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Job {
    /// To run a case.
    Case(Box<CaseJob>),
    /// To measure the machine.
    Limits(Vec<LimitJob>),
}

/// A case to run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CaseJob {
    /// The model's folder.
    pub model: PathBuf,
    /// The engine.
    pub engine: EngineKind,
    /// How it is to run; its batch is that of the case.
    pub options: EngineOptions,
    /// What is sampled.
    pub sampling: SamplingJob,
    /// At least this long before anything counts.
    pub warm_up_ms: u64,
}

/// What is sampled, in the words of the command line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SamplingJob {
    /// The sampler.
    pub sampler: String,
    /// Its steps.
    pub steps: usize,
    /// Decides the noise.
    pub seed: u64,
    /// The guidance scale; 1 is off.
    pub guidance: f64,
    /// The task whose cells are given.
    pub task: String,
}

/// A limit to measure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitJob {
    /// The rate of a matrix product.
    MatMul {
        /// On this engine.
        engine: EngineKind,
        /// In this precision.
        precision: Precision,
        /// With these threads and this library.
        options: EngineOptions,
    },
    /// The bandwidth of memory, on so many threads.
    Bandwidth(usize),
}

/// What the parent says after the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Sample once, all steps.
    Run,
    /// Tell the rest, and end.
    Finish,
}

/// What a worker answers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The model is open and warm.
    Opened(Box<Opened>),
    /// A run.
    Ran(Run),
    /// What is known after the last run.
    Finished(Box<Finished>),
    /// A limit: operations or bytes, or why there is none.
    Limit(Result<Rate, String>),
    /// The worker ends here.
    Failed(WorkerError),
}

/// One run of all steps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Of each step in milliseconds: the whole, the network, the copies; the rest is the sampler's.
    pub steps: Vec<[f64; 3]>,
    /// Predictions of all steps.
    pub predictions: usize,
    /// The run with what comes before its first step and after its last, in seconds.
    pub wall_s: f64,
    /// Processor time of the process meanwhile, in seconds.
    pub cpu_s: f64,
}

/// What is known after the last run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Finished {
    /// Memory.
    pub memory: Memory,
    /// How long a clip plays, where the model has its codec.
    pub clip_seconds: Option<f64>,
    /// Decoding the last sample, where the model has its codec.
    pub decode: Option<Decode>,
    /// What the device tells, where there is one.
    pub device: Option<Device>,
}

/// Why a worker ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerError {
    /// The whole message.
    pub message: String,
    /// What to do, where that is known.
    pub hint: Option<String>,
    /// What `avdit` ends with for such an error.
    pub exit_code: u8,
}
