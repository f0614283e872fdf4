//! What the libraries of CUDA, cuDNN and TensorRT are called by people and by pip.

/// A product that a library is part of.
#[derive(Debug)]
pub(super) struct Product {
    /// How the names of its libraries begin, before `.so`.
    stems: &'static [&'static str],
    /// What people call it.
    name: &'static str,
    /// Pip's package for the major version that goes with CUDA 13, and that version.
    package: Option<(&'static str, u32)>,
}

const PRODUCTS: &[Product] = &[
    Product { stems: &["libcudart"], name: "CUDA runtime", package: Some(("nvidia-cuda-runtime", 13)) },
    Product { stems: &["libcublas"], name: "cuBLAS", package: Some(("nvidia-cublas", 13)) },
    Product { stems: &["libcurand"], name: "cuRAND", package: Some(("nvidia-curand", 10)) },
    Product { stems: &["libcufft"], name: "cuFFT", package: Some(("nvidia-cufft", 12)) },
    Product { stems: &["libnvrtc"], name: "NVRTC", package: Some(("nvidia-cuda-nvrtc", 13)) },
    Product { stems: &["libnvJitLink"], name: "nvJitLink", package: Some(("nvidia-nvjitlink", 13)) },
    Product { stems: &["libcudnn"], name: "cuDNN", package: Some(("nvidia-cudnn-cu13", 9)) },
    Product { stems: &["libnvinfer", "libnvonnxparser"], name: "TensorRT", package: None },
];

/// How a remedy begins that is a package of pip's.
pub(crate) const PIP: &str = "pip install ";

/// The oldest driver for CUDA 13.
pub(super) const MINIMUM_DRIVER: u32 = 580;

/// What a library is, for a person who must install it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Product and range of versions.
    pub(super) version: String,
    /// What brings it.
    pub(super) remedy: String,
    /// Pip's package.
    pub(super) package: Option<&'static str>,
}

/// What is known of a library's name; `None` for those of the system.
pub(super) fn wanted(soname: &str) -> Option<Wanted> {
    if stem(soname) == "libcuda" {
        return Some(Wanted {
            version: format!("NVIDIA driver {MINIMUM_DRIVER} or newer (for CUDA 13)"),
            remedy: format!(
                "install NVIDIA's driver {MINIMUM_DRIVER} or newer (no Python package brings it); in a container, start it \
                 with the GPU, as `docker run --gpus all` does"
            ),
            package: None,
        });
    }
    let product = PRODUCTS.iter().find(|p| p.stems.iter().any(|s| stem(soname).starts_with(s)))?;
    let major = major(soname);
    let version = match major {
        Some(major) => format!("{} {major}", product.name),
        None => product.name.to_owned(),
    };
    let (remedy, package) = match (product.package, major) {
        (Some((package, of_cuda_13)), Some(major)) if major == of_cuda_13 => {
            (format!("{PIP}'{package}>={major},<{}'", major + 1), Some(package))
        }
        (Some(_), _) => {
            (format!("install {version}, of the CUDA that this ONNX Runtime was built for"), None)
        }
        (None, _) => (
            format!(
                "install {version} for CUDA 13, no other major version: NVIDIA's archive with its lib folder on LD_LIBRARY_PATH, or \
                 `pip install 'tensorrt-cu13-libs=={}.*' --extra-index-url https://pypi.nvidia.com` (PyPI's own is a stub)",
                major.unwrap_or(10)
            ),
            None,
        ),
    };
    Some(Wanted { version, remedy, package })
}

/// `libcublasLt` of `libcublasLt.so.13`.
fn stem(soname: &str) -> &str {
    soname.split_once(".so").map_or(soname, |(stem, _)| stem)
}

/// 13 of `libcublasLt.so.13`.
pub(super) fn major(soname: &str) -> Option<u32> {
    soname.split_once(".so.")?.1.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_library_names_its_range_and_its_package() {
        let cases = [
            ("libcublasLt.so.13", "cuBLAS 13", "'nvidia-cublas>=13,<14'"),
            ("libcudart.so.13", "CUDA runtime 13", "'nvidia-cuda-runtime>=13,<14'"),
            ("libcurand.so.10", "cuRAND 10", "'nvidia-curand>=10,<11'"),
            ("libcufft.so.12", "cuFFT 12", "'nvidia-cufft>=12,<13'"),
            ("libnvrtc.so.13", "NVRTC 13", "'nvidia-cuda-nvrtc>=13,<14'"),
            ("libcudnn_ops.so.9", "cuDNN 9", "'nvidia-cudnn-cu13>=9,<10'"),
            ("libnvonnxparser.so.10", "TensorRT 10", "tensorrt-cu13-libs==10.*"),
            ("libcublas.so.12", "cuBLAS 12", "of the CUDA that this ONNX Runtime was built for"),
            ("libcuda.so.1", "NVIDIA driver 580 or newer (for CUDA 13)", "no Python package brings it"),
        ];
        for (soname, version, remedy) in cases {
            let wanted = wanted(soname).unwrap();
            assert_eq!(wanted.version, version);
            assert!(wanted.remedy.contains(remedy), "{soname}: {}", wanted.remedy);
        }
        assert_eq!(wanted("libstdc++.so.6"), None);
        assert_eq!(wanted("libcudadebugger.so.1"), None);
    }
}
