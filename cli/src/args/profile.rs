//! What can be typed behind `profile`.

use super::{EngineArgs, SamplerArgs};
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Options of `profile`.
#[derive(Debug, ClapArgs)]
pub struct ProfileArgs {
    /// The model's folder
    pub model: PathBuf,
    /// Clips at once
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: u32,
    /// Runs of all steps that count, with a clock on every operation, and as many without
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub runs: u32,
    /// Slowest operations to list
    #[arg(long, default_value_t = 10)]
    pub top: usize,
    /// Write a trace for chrome://tracing or ui.perfetto.dev
    #[arg(long, value_name = "FILE")]
    pub chrome: Option<PathBuf>,
    /// This machine's rate of matrix multiplication in GFLOP/s, to say what bounds each part
    #[arg(long, value_name = "GFLOP/s", requires = "machine_bandwidth")]
    pub machine_rate: Option<f64>,
    /// This machine's memory bandwidth in GB/s, to say what bounds each part
    #[arg(long, value_name = "GB/s", requires = "machine_rate")]
    pub machine_bandwidth: Option<f64>,
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
