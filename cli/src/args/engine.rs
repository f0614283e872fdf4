//! What can be typed about engines.

use clap::Args as ClapArgs;
use std::path::PathBuf;

/// How a model is run.
#[derive(Clone, Debug, ClapArgs)]
pub struct EngineArgs {
    /// tract (built in), ort-cpu, ort-cuda, ort-tensorrt (ONNX Runtime, found as `doctor` says) or candle
    #[arg(long, default_value = "tract", env = "AVDIT_ENGINE")]
    pub engine: avdit_runtime::EngineKind,
    /// Threads of the engine; all cores if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// The ONNX Runtime library to load (after ORT_DYLIB_PATH)
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
}
