//! NVIDIA's libraries where Python packages bring them, so that no search path has to be set.
//!
//! What the loader does not find by itself is loaded by its path before the provider asks for it. What is nowhere is
//! not an error here: the provider says what it misses, and doctor says it of all.

use crate::libraries::{self, GpuProvider};
use std::path::Path;

/// Loads what the CUDA provider (and the TensorRT provider, with `tensorrt`) beside `library` needs.
pub(super) fn preload(library: &Path, tensorrt: bool) {
    if !is_gpu_build(library) {
        return;
    }
    let providers =
        if tensorrt { &[GpuProvider::Cuda, GpuProvider::TensorRt][..] } else { &[GpuProvider::Cuda] };
    for &provider in providers {
        if let Err(reason) = libraries::preload(&libraries::of_provider(library, provider)) {
            tracing::debug!("{reason}");
        }
    }
}

/// Whether GPU providers lie beside an ONNX Runtime.
pub(super) fn is_gpu_build(library: &Path) -> bool {
    library.with_file_name(GpuProvider::Cuda.library()).is_file()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_for_gpus_has_a_provider_beside_it() {
        let place = tempfile::tempdir().unwrap();
        let library = place.path().join("libonnxruntime.so.1.31.1");
        assert!(!is_gpu_build(&library));
        std::fs::write(place.path().join("libonnxruntime_providers_cuda.so"), "").unwrap();
        assert!(is_gpu_build(&library));
    }
}
