//! What can be typed behind `engine`.

use super::engine::{TensorRtArgs, batch};
use avdit_runtime::EngineOptions;
use avdit_runtime::engine::BatchProfile;
use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// What to do with TensorRT engines.
#[derive(Debug, Subcommand)]
pub enum EngineCommand {
    /// Compile a model for this GPU and keep the result
    #[command(
        after_help = "Examples:\n  avdit engine build model/\n  avdit engine build model/ --batch 4\n  \
        avdit engine build model/ --min-batch 1 --opt-batch 4 --max-batch 8"
    )]
    Build(BuildArgs),
    /// Show the engines that are kept
    List(ListArgs),
    /// Say which engine a run would use, or why it would find none
    Explain(ExplainArgs),
    /// Remove engines
    #[command(
        after_help = "Examples:\n  avdit engine gc --older-than 30d\n  avdit engine gc --keep 3\n  avdit engine gc --all"
    )]
    Gc(GcArgs),
}

/// A model and the engine wanted for it.
#[derive(Debug, ClapArgs)]
pub struct WantedArgs {
    /// The model's folder
    pub model: PathBuf,
    /// The one batch of the engine; for several, give --opt-batch with --min-batch or --max-batch
    #[arg(long, value_name = "N", conflicts_with = "opt_batch", value_parser = batch)]
    pub batch: Option<usize>,
    /// Which GPU, as CUDA counts those that CUDA_VISIBLE_DEVICES leaves
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1023))]
    pub gpu: u32,
    /// The ONNX Runtime library to load (after ORT_DYLIB_PATH)
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Let nodes that TensorRT cannot take run elsewhere
    #[arg(long)]
    pub allow_fallback: bool,
    /// The engine
    #[command(flatten)]
    pub tensorrt: TensorRtArgs,
}

impl WantedArgs {
    /// What that means for the runtime.
    pub fn options(&self) -> EngineOptions {
        let mut tensorrt = self.tensorrt.options(self.gpu);
        tensorrt.profile = tensorrt.profile.or(self.batch.map(BatchProfile::only));
        let batch = tensorrt.profile.map_or(1, |profile| profile.opt);
        let (onnx_runtime, allow_fallback) = (self.onnxruntime.clone(), self.allow_fallback);
        EngineOptions { batch, onnx_runtime, allow_fallback, tensorrt, ..EngineOptions::default() }
    }
}

/// Options of `engine build`.
#[derive(Debug, ClapArgs)]
pub struct BuildArgs {
    /// What to build
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// Build it again where the cache has it
    #[arg(long)]
    pub force: bool,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Options of `engine explain`.
#[derive(Debug, ClapArgs)]
pub struct ExplainArgs {
    /// What would be run
    #[command(flatten)]
    pub wanted: WantedArgs,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Options of `engine list`.
#[derive(Debug, ClapArgs)]
pub struct ListArgs {
    /// Folder of built engines; `engines` in the project's cache if not given
    #[arg(long, value_name = "FOLDER")]
    pub engine_cache: Option<PathBuf>,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Options of `engine gc`.
#[derive(Debug, ClapArgs)]
#[command(group(clap::ArgGroup::new("which").required(true)))]
pub struct GcArgs {
    /// Keep so many, those used last
    #[arg(long, value_name = "N", group = "which")]
    pub keep: Option<usize>,
    /// Remove what was not used for so long, such as 30d
    #[arg(long, value_name = "TIME", group = "which", value_parser = humantime::parse_duration)]
    pub older_than: Option<std::time::Duration>,
    /// Remove all, and what TensorRT has measured of layers
    #[arg(long, group = "which")]
    pub all: bool,
    /// Folder of built engines; `engines` in the project's cache if not given
    #[arg(long, value_name = "FOLDER")]
    pub engine_cache: Option<PathBuf>,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
