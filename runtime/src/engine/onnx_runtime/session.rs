//! Building a session: the provider that was asked for, its options, and where the nodes went.

use super::engine_error;
use super::library::OrtLibrary;
use crate::engine::{ArenaGrowth, CudaOptions, EngineKind, EngineOptions, Placement, TensorRtOptions};
use crate::error::{Error, Result};
use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch};
use ort::logging::LogLevel;
use ort::session::Session;
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::path::Path;

/// Opens the graph at `path` on the provider of `kind`, and says where its nodes went.
///
/// # Errors
/// [`Error::Provider`] if the provider cannot run here; [`Error::Engine`] if ONNX Runtime refuses the graph.
pub(in crate::engine) fn open(
    library: &OrtLibrary,
    path: &Path,
    kind: EngineKind,
    options: &EngineOptions,
) -> Result<(Session, Vec<Placement>)> {
    let refused = |reason: String| engine_error(kind, "open", path, reason);
    let builder = builder(library, options).map_err(refused)?;
    let providers = match kind {
        EngineKind::OrtCuda => vec![cuda(&options.cuda)],
        EngineKind::OrtTensorRt => vec![tensorrt(&options.tensorrt)],
        _ => Vec::new(),
    };
    let builder = builder.with_execution_providers(providers).map_err(|error| {
        let remedy = "install onnxruntime-gpu, or take --engine ort-cpu".to_owned();
        Error::Provider { engine: kind.name(), reason: error.to_string(), remedy }
    })?;
    let builder = match (kind, options.allow_fallback) {
        (EngineKind::OrtCpu, _) | (_, true) => builder,
        _ => builder.with_disable_cpu_fallback().map_err(|error| refused(error.to_string()))?,
    };
    let mut builder = builder;
    let session = builder.commit_from_file(path).map_err(|error| refused(error.to_string()))?;
    let placement = vec![Placement { device: "CPUExecutionProvider".into(), nodes: None }];
    Ok((session, placement))
}

/// What all providers have in common. The builder's errors carry the builder and are not `Send`: their text is all
/// that leaves here.
fn builder(library: &OrtLibrary, options: &EngineOptions) -> Result<SessionBuilder, String> {
    let builder = Session::builder(library.environment())
        .map_err(|error| error.to_string())?
        .with_no_environment_execution_providers()
        .map_err(|error| error.to_string())?
        .with_log_level(LogLevel::Warning)
        .map_err(|error| error.to_string())?
        .with_optimization_level(GraphOptimizationLevel::All)
        .map_err(|error| error.to_string())?
        .with_intra_threads(options.threads)
        .map_err(|error| error.to_string())?
        .with_intra_op_spinning(options.spin)
        .map_err(|error| error.to_string())?;
    match &options.profile {
        Some(prefix) => builder.with_profiling(prefix).map_err(|error| error.to_string()),
        None => Ok(builder),
    }
}

fn cuda(options: &CudaOptions) -> ExecutionProviderDispatch {
    let growth = match options.arena {
        ArenaGrowth::NextPowerOfTwo => ArenaExtendStrategy::NextPowerOfTwo,
        ArenaGrowth::SameAsRequested => ArenaExtendStrategy::SameAsRequested,
    };
    let provider = ep::CUDA::default()
        .with_device_id(options.device as i32)
        .with_arena_extend_strategy(growth)
        .with_tf32(options.tf32)
        .with_cuda_graph(options.graph);
    let provider = match options.memory_limit {
        Some(limit) => provider.with_memory_limit(limit.0 as usize),
        None => provider,
    };
    provider.build().error_on_failure()
}

fn tensorrt(options: &TensorRtOptions) -> ExecutionProviderDispatch {
    ep::TensorRT::default().with_device_id(options.device as i32).build().error_on_failure()
}
