//! What can be typed behind `bench`.

use super::{EngineArgs, SamplerArgs};
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Options of `bench`.
#[derive(Debug, ClapArgs)]
pub struct BenchArgs {
    /// The model's folder
    pub model: PathBuf,
    /// Clips at once
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Task whose cells are given
    #[arg(long, default_value = "joint")]
    pub task: avdit_core::Task,
    /// Warm-up before anything counts
    #[arg(long, default_value_t = 200)]
    pub warm_up_ms: u64,
    /// At least this many runs that count
    #[arg(long, default_value_t = 10)]
    pub min_runs: usize,
    /// At least this long
    #[arg(long, default_value_t = 3.0)]
    pub duration_s: f64,
    /// How is sampled
    #[command(flatten)]
    pub sampler: SamplerArgs,
    /// How the model is run
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
