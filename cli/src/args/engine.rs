//! What can be typed about engines.

use avdit_runtime::engine::{ArenaGrowth, BatchProfile, ByteSize};
use avdit_runtime::{CudaOptions, EngineKind, EngineOptions, TensorRtOptions};
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use std::path::PathBuf;

/// How a model is run.
#[derive(Clone, Debug, ClapArgs)]
pub struct EngineArgs {
    /// tract (built in), ort-cpu, ort-cuda or ort-tensorrt (ONNX Runtime, found as `doctor` says), or candle
    #[arg(long, default_value = "tract", env = "AVDIT_ENGINE")]
    pub engine: EngineKind,
    /// Threads of the engine; all cores if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Let idle threads of ONNX Runtime wait by spinning: a little faster alone, harmful beside other work
    #[arg(long)]
    pub spin: bool,
    /// The ONNX Runtime library to load (after ORT_DYLIB_PATH)
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Let nodes that a GPU's provider cannot take run elsewhere; without this they are an error
    #[arg(long, help_heading = "GPU")]
    pub allow_fallback: bool,
    /// Which GPU, as CUDA counts those that CUDA_VISIBLE_DEVICES leaves
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "GPU", value_parser = clap::value_parser!(u32).range(0..=1023))]
    pub gpu: u32,
    /// For the engine ort-cuda
    #[command(flatten)]
    pub cuda: CudaArgs,
    /// For the engine ort-tensorrt
    #[command(flatten)]
    pub tensorrt: TensorRtArgs,
    /// Build the TensorRT engine where the cache has none, which takes minutes; without this that is an error
    #[arg(long, help_heading = "TensorRT")]
    pub build_engine: bool,
}

/// Options of ONNX Runtime's CUDA provider.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "CUDA")]
pub struct CudaArgs {
    /// The most that ONNX Runtime's arena of device memory may hold, such as 8GiB
    #[arg(long, value_name = "SIZE")]
    pub cuda_memory: Option<ByteSize>,
    /// How that arena grows
    #[arg(long, value_enum, default_value_t = Growth::SameAsRequested)]
    pub cuda_arena: Growth,
    /// Let float32 products be rounded to TF32: several times as fast, errors about 1e-3
    #[arg(long)]
    pub tf32: bool,
    /// Capture the graph's launches once and replay them (fixed shapes and buffers)
    #[arg(long)]
    pub cuda_graph: bool,
}

/// How an arena grows.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Growth {
    /// By what is needed
    SameAsRequested,
    /// By powers of two: few requests, up to twice what is needed
    NextPowerOfTwo,
}

/// Options of ONNX Runtime's TensorRT provider.
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "TensorRT")]
pub struct TensorRtArgs {
    /// Smallest batch of the engine; --opt-batch if not given
    #[arg(long, value_name = "N", requires = "opt_batch", value_parser = batch)]
    pub min_batch: Option<usize>,
    /// Batch that the engine is fastest at
    #[arg(long, value_name = "N", value_parser = batch)]
    pub opt_batch: Option<usize>,
    /// Largest batch of the engine; --opt-batch if not given
    #[arg(long, value_name = "N", requires = "opt_batch", value_parser = batch)]
    pub max_batch: Option<usize>,
    /// The most scratch memory that a layer may take, such as 4GiB
    #[arg(long, value_name = "SIZE")]
    pub trt_workspace: Option<ByteSize>,
    /// How hard the builder searches, 0 to 5; TensorRT's own default is 3
    #[arg(long, value_name = "LEVEL", value_parser = clap::value_parser!(u8).range(0..=5))]
    pub trt_level: Option<u8>,
    /// Folder of built engines; `engines` in the project's cache if not given
    #[arg(long, value_name = "FOLDER")]
    pub engine_cache: Option<PathBuf>,
}

impl EngineArgs {
    /// What that means for the runtime.
    pub fn options(&self) -> EngineOptions {
        let default = EngineOptions::default();
        EngineOptions {
            threads: self.threads.map_or(default.threads, usize::from),
            spin: self.spin,
            onnx_runtime: self.onnxruntime.clone(),
            allow_fallback: self.allow_fallback,
            cuda: self.cuda.options(self.gpu),
            tensorrt: TensorRtOptions { build: self.build_engine, ..self.tensorrt.options(self.gpu) },
            ..default
        }
    }
}

impl CudaArgs {
    fn options(&self, device: u32) -> CudaOptions {
        let arena = match self.cuda_arena {
            Growth::SameAsRequested => ArenaGrowth::SameAsRequested,
            Growth::NextPowerOfTwo => ArenaGrowth::NextPowerOfTwo,
        };
        CudaOptions { device, memory_limit: self.cuda_memory, arena, tf32: self.tf32, graph: self.cuda_graph }
    }
}

impl TensorRtArgs {
    fn options(&self, device: u32) -> TensorRtOptions {
        let profile = self.opt_batch.map(|opt| BatchProfile {
            min: self.min_batch.unwrap_or(opt),
            opt,
            max: self.max_batch.unwrap_or(opt),
        });
        TensorRtOptions {
            device,
            profile,
            workspace: self.trt_workspace,
            builder_level: self.trt_level,
            cache: self.engine_cache.clone(),
            ..TensorRtOptions::default()
        }
    }
}

fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a batch is a number, 1 or more".to_owned()),
        Ok(batch) => Ok(batch),
    }
}

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
