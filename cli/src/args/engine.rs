//! What can be typed about how a model is run.

use crate::exit::Usage;
use avdit_runtime::engine::{ArenaGrowth, BatchProfile, ByteSize};
use avdit_runtime::{CudaOptions, EngineKind, EngineOptions, TensorRtOptions};
use clap::{Args as ClapArgs, ValueEnum};
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
    /// How it is set up
    #[command(flatten)]
    pub setup: SetupArgs,
}

/// How engines are set up.
#[derive(Clone, Debug, ClapArgs)]
pub struct SetupArgs {
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
    /// For the engine ort-cuda, and for what TensorRT leaves to CUDA
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
    /// Capture a fused step's launches once and replay them (CUDA and TensorRT; one batch alone)
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
        let options = self.setup.options();
        EngineOptions { threads: self.threads.map_or(options.threads, usize::from), ..options }
    }
}

impl SetupArgs {
    /// Refuses what none of the engines would take notice of.
    pub fn check(&self, engines: &[EngineKind]) -> Result<(), Usage> {
        let is_any = |kinds: &[EngineKind]| engines.iter().any(|engine| kinds.contains(engine));
        let (cuda, trt) = (&self.cuda, &self.tensorrt);
        let on_cuda = [EngineKind::OrtCuda];
        let on_gpu = [EngineKind::OrtCuda, EngineKind::OrtTensorRt];
        let on_trt = [EngineKind::OrtTensorRt];
        let given: [(bool, &str, &[EngineKind]); 7] = [
            (cuda.cuda_graph, "--cuda-graph", &on_gpu),
            (cuda.tf32, "--tf32", &on_cuda),
            (cuda.cuda_memory.is_some(), "--cuda-memory", &on_cuda),
            (self.allow_fallback, "--allow-fallback", &on_gpu),
            (self.build_engine, "--build-engine", &on_trt),
            (trt.opt_batch.is_some(), "--opt-batch", &on_trt),
            (trt.trt_workspace.is_some(), "--trt-workspace", &on_trt),
        ];
        match given.into_iter().find(|(given, _, kinds)| *given && !is_any(kinds)) {
            None => Ok(()),
            Some((_, flag, kinds)) => {
                let names: Vec<_> = kinds.iter().map(|kind| kind.name()).collect();
                let engines: Vec<_> = engines.iter().map(|kind| kind.name()).collect();
                Err(Usage(format!("{flag} is for {}, not for {}", names.join(" and "), engines.join(", "))))
            }
        }
    }

    /// What that means for the runtime, on all cores.
    pub fn options(&self) -> EngineOptions {
        EngineOptions {
            spin: self.spin,
            onnx_runtime: self.onnxruntime.clone(),
            allow_fallback: self.allow_fallback,
            cuda: self.cuda.options(self.gpu),
            tensorrt: TensorRtOptions {
                build: self.build_engine,
                graph: self.cuda.cuda_graph,
                ..self.tensorrt.options(self.gpu)
            },
            ..EngineOptions::default()
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
    pub(super) fn options(&self, device: u32) -> TensorRtOptions {
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

pub(super) fn batch(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("a batch is a number, 1 or more".to_owned()),
        Ok(batch) => Ok(batch),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        engine: EngineArgs,
    }

    fn options(flags: &str) -> Result<EngineOptions, String> {
        let typed = Typed::try_parse_from(std::iter::once("avdit").chain(flags.split_whitespace()));
        typed.map(|typed| typed.engine.options()).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_typed_is_the_honest_default() {
        let plain = options("").unwrap();
        assert_eq!(plain, EngineOptions::default());
        assert!(!plain.allow_fallback && !plain.cuda.tf32 && !plain.cuda.graph && !plain.tensorrt.build);
    }

    #[test]
    fn each_flag_reaches_its_option() {
        let typed = options(
            "--engine cuda --threads 3 --spin --allow-fallback --gpu 2 --cuda-memory 8GiB --cuda-arena \
             next-power-of-two --tf32 --cuda-graph --min-batch 1 --opt-batch 2 --max-batch 4 --trt-workspace 512MiB \
             --trt-level 5 --engine-cache here --build-engine --onnxruntime lib.so",
        );
        let (memory_limit, workspace) = (Some(ByteSize(8 << 30)), Some(ByteSize(512 << 20)));
        let arena = ArenaGrowth::NextPowerOfTwo;
        let wanted = EngineOptions {
            threads: 3,
            spin: true,
            onnx_runtime: Some("lib.so".into()),
            allow_fallback: true,
            cuda: CudaOptions { device: 2, memory_limit, arena, tf32: true, graph: true },
            tensorrt: TensorRtOptions {
                device: 2,
                profile: Some(BatchProfile { min: 1, opt: 2, max: 4 }),
                workspace,
                builder_level: Some(5),
                graph: true,
                cache: Some("here".into()),
                build: true,
            },
            ..EngineOptions::default()
        };
        assert_eq!(typed.unwrap(), wanted);
        let profile = |flags| options(flags).unwrap().tensorrt.profile;
        assert_eq!(profile("--opt-batch 2"), Some(BatchProfile { min: 2, opt: 2, max: 2 }));
        assert_eq!(profile("--opt-batch 2 --max-batch 3"), Some(BatchProfile { min: 2, opt: 2, max: 3 }));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (flags, part) in [
            ("--cuda-memory lots", "a number of bytes such as 8GiB"),
            ("--min-batch 1", "--opt-batch"),
            ("--opt-batch 0", "1 or more"),
            ("--trt-level 6", "0..=5"),
            ("--engine rocm", "ort-cuda (cuda)"),
            ("--cuda-arena fast", "same-as-requested"),
        ] {
            let error = options(flags).unwrap_err();
            assert!(error.contains(part), "{flags}: {error}");
        }
    }
}
