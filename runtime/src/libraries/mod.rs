//! The libraries behind ONNX Runtime's GPU providers: which they ask for, where they lie, which are missing.

mod closure;
pub(crate) mod elf;
mod known;
mod ld_cache;
mod search;

pub(crate) use closure::load;
pub use closure::{Library, closure, preload};
pub(crate) use known::PIP;
pub use search::{FoundBy, Search};

use std::path::{Path, PathBuf};

/// The CUDA that ONNX Runtime 1.31 is built for.
const CUDA: u32 = 13;

/// A provider of ONNX Runtime that runs on NVIDIA GPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GpuProvider {
    /// CUDA.
    Cuda,
    /// TensorRT.
    TensorRt,
}

impl GpuProvider {
    /// Its library, which lies beside ONNX Runtime's.
    pub fn library(self) -> &'static str {
        match self {
            GpuProvider::Cuda => "libonnxruntime_providers_cuda.so",
            GpuProvider::TensorRt => "libonnxruntime_providers_tensorrt.so",
        }
    }

    /// What it takes while running, and no file asks for; `cuda` is the major version of the CUDA it was built for.
    fn opened(self, cuda: u32) -> Vec<String> {
        let mut names = vec!["libcuda.so.1".to_owned(), format!("libnvrtc.so.{cuda}")];
        if self == GpuProvider::Cuda {
            // cuFFT counts one behind CUDA.
            names.extend([format!("libcufft.so.{}", cuda.saturating_sub(1)), "libcudnn.so.9".to_owned()]);
        }
        names
    }
}

/// The libraries that a provider beside `onnxruntime` needs, those that others need first.
///
/// The provider itself and ONNX Runtime's own `libonnxruntime_providers_shared.so` are among them.
pub fn of_provider(onnxruntime: &Path, provider: GpuProvider) -> Vec<Library> {
    let search = Search::of_this_machine(Some(onnxruntime));
    let elf = search.find(provider.library(), &[]).and_then(|(path, _)| elf::read(&path).ok());
    let needed = elf.map(|elf| elf.needed).unwrap_or_default();
    let cublas = needed.iter().find(|name| name.starts_with("libcublas.so"));
    let cuda = cublas.and_then(|name| known::major(name)).unwrap_or(CUDA);
    let opened = provider.opened(cuda);
    closure(&["libonnxruntime_providers_shared.so", provider.library()], &opened, &search)
}

/// The file that programs would load under this name.
pub fn find(name: &str) -> Option<PathBuf> {
    Search::of_this_machine(None).find(name, &[]).map(|(path, _)| path)
}

/// The folders of libraries in NVIDIA's Python packages, those beside ONNX Runtime's first.
pub fn package_folders(onnxruntime: &Path) -> Vec<PathBuf> {
    Search::of_this_machine(Some(onnxruntime)).python
}
