//! NVIDIA's libraries where Python packages bring them, so that no search path has to be set.
//!
//! A library that the system's loader finds by its name is left to it. Any other is loaded from a package beside
//! ONNX Runtime, or from one of the usual Python installations; the provider then finds it loaded. What is nowhere
//! is not an error here: the provider says what it misses.

use crate::find::{Places, python_packages};
use ort::ep::cuda::{CUDA_DYLIBS, CUDNN_DYLIBS};
use ort::util::preload_dylib;
use std::path::{Path, PathBuf};

/// TensorRT 10, as ONNX Runtime's provider asks for it.
pub(crate) const TENSORRT_LIBRARIES: [&str; 3] =
    ["libnvinfer.so.10", "libnvinfer_plugin.so.10", "libnvonnxparser.so.10"];

/// Loads what the CUDA provider (and the TensorRT provider, with `tensorrt`) beside `library` needs.
pub(super) fn preload(library: &Path, places: &Places, tensorrt: bool) {
    if !is_gpu_build(library) {
        return;
    }
    let folders = package_folders(library, places);
    let tensorrt = if tensorrt { &TENSORRT_LIBRARIES[..] } else { &[] };
    for &name in CUDA_DYLIBS.iter().chain(CUDNN_DYLIBS).chain(tensorrt) {
        if preload_dylib(name).is_ok() {
            continue;
        }
        let present = folders.iter().map(|folder| folder.join(name)).filter(|path| path.is_file());
        for path in present {
            match preload_dylib(&path) {
                Ok(()) => {
                    tracing::debug!(path = %path.display(), "loaded for ONNX Runtime");
                    break;
                }
                Err(error) => tracing::debug!(path = %path.display(), %error, "cannot be loaded"),
            }
        }
    }
}

/// Whether GPU providers lie beside an ONNX Runtime.
pub(super) fn is_gpu_build(library: &Path) -> bool {
    library.with_file_name("libonnxruntime_providers_cuda.so").is_file()
}

/// The folders of libraries in NVIDIA's Python packages: `nvidia/*/lib` and `tensorrt_libs`.
pub(crate) fn package_folders(library: &Path, places: &Places) -> Vec<PathBuf> {
    // …/site-packages/onnxruntime/capi/libonnxruntime.so
    let beside = library.ancestors().nth(3).map(Path::to_path_buf);
    let installed = places.python.iter().flat_map(|prefix| python_packages(prefix));
    let mut folders: Vec<PathBuf> = Vec::new();
    for packages in beside.into_iter().chain(installed) {
        let mut nvidia: Vec<_> = std::fs::read_dir(packages.join("nvidia"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path().join("lib"))
            .collect();
        // What is named for the newest CUDA comes first where several lie side by side.
        nvidia.sort();
        nvidia.reverse();
        nvidia.push(packages.join("tensorrt_libs"));
        folders.extend(nvidia.into_iter().filter(|folder| folder.is_dir()));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_beside_the_library_come_before_installed_ones() {
        let place = tempfile::tempdir().unwrap();
        let near = place.path().join("near/site-packages");
        let far = place.path().join("far/lib/python3.12/site-packages");
        for folder in [
            near.join("onnxruntime/capi"),
            near.join("nvidia/cu13/lib"),
            near.join("nvidia/cudnn/lib"),
            near.join("nvidia/empty"),
            far.join("nvidia/curand/lib"),
            far.join("tensorrt_libs"),
        ] {
            std::fs::create_dir_all(folder).unwrap();
        }
        let places = Places { python: vec![place.path().join("far")], ..Places::default() };
        let library = near.join("onnxruntime/capi/libonnxruntime.so.1.31.1");
        let wanted = [
            near.join("nvidia/cudnn/lib"),
            near.join("nvidia/cu13/lib"),
            far.join("nvidia/curand/lib"),
            far.join("tensorrt_libs"),
        ];
        assert_eq!(package_folders(&library, &places), wanted);
        assert!(!is_gpu_build(&library));
        std::fs::write(library.with_file_name("libonnxruntime_providers_cuda.so"), "").unwrap();
        assert!(is_gpu_build(&library));
    }
}
