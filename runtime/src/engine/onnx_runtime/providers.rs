//! Typed options to ONNX Runtime's providers. Each fails where it cannot be had; none is skipped.

use crate::engine::{ArenaGrowth, CudaOptions, TensorRtOptions};
use crate::engine_cache::Prepared;
use ort::ep::{self, ArenaExtendStrategy, ExecutionProviderDispatch};

pub(super) fn cuda(options: &CudaOptions) -> ExecutionProviderDispatch {
    let growth = match options.arena {
        ArenaGrowth::NextPowerOfTwo => ArenaExtendStrategy::NextPowerOfTwo,
        ArenaGrowth::SameAsRequested => ArenaExtendStrategy::SameAsRequested,
    };
    let provider = ep::CUDA::default()
        .with_device_id(device(options.device))
        .with_arena_extend_strategy(growth)
        .with_tf32(options.tf32)
        .with_cuda_graph(options.graph);
    let provider = match options.memory_limit {
        Some(limit) => provider.with_memory_limit(usize::try_from(limit.0).unwrap_or(usize::MAX)),
        None => provider,
    };
    provider.build().error_on_failure()
}

/// Without `prepared` only to see whether the provider can be had at all.
///
/// Nothing here touches precision: the graph's own types decide. But for TF32: TensorRT uses it for float32 products
/// unless `NVIDIA_TF32_OVERRIDE=0` is set before the program starts; no option of ONNX Runtime's turns it off.
pub(super) fn tensorrt(options: &TensorRtOptions, prepared: Option<&Prepared>) -> ExecutionProviderDispatch {
    let mut provider =
        ep::TensorRT::default().with_device_id(device(options.device)).with_cuda_graph(options.graph);
    if let Some(workspace) = options.workspace {
        provider = provider.with_max_workspace_size(usize::try_from(workspace.0).unwrap_or(usize::MAX));
    }
    if let Some(level) = options.builder_level {
        provider = provider.with_builder_optimization_level(level);
    }
    if let Some(prepared) = prepared {
        provider = provider
            .with_engine_cache(true)
            .with_engine_cache_path(prepared.folder.display())
            .with_engine_cache_prefix("avdit")
            .with_timing_cache(true)
            .with_timing_cache_path(prepared.timing_cache.display())
            .with_detailed_build_log(prepared.building);
        if let Some(shapes) = &prepared.shapes {
            provider = provider
                .with_profile_min_shapes(&shapes.min)
                .with_profile_opt_shapes(&shapes.opt)
                .with_profile_max_shapes(&shapes.max);
        }
    }
    provider.build().error_on_failure()
}

fn device(index: u32) -> i32 {
    i32::try_from(index).unwrap_or(i32::MAX)
}
