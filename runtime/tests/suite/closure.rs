//! The libraries behind a provider: found where they are, named where they are not.

use crate::fakes::empty;
use avdit_runtime::libraries::{FoundBy, GpuProvider, Library, of_provider};
use std::path::{Path, PathBuf};

// Names that no machine has, of products that are known.
const BLAS: &str = "libcublas-of-this-test.so.13";
const JIT: &str = "libnvJitLink-of-this-test.so.13";

/// `site-packages/onnxruntime/capi/libonnxruntime.so` with a provider that asks for BLAS, which asks for JIT. Both
/// lie in a folder of their own.
fn package(root: &Path) -> (PathBuf, PathBuf) {
    let (capi, lib) = (root.join("onnxruntime/capi"), root.join("nvidia/cu13/lib"));
    let jit = empty(&lib.join(JIT), &[]);
    let blas = empty(&lib.join(BLAS), &[&jit]);
    empty(&capi.join(GpuProvider::Cuda.library()), &[&blas]);
    let onnxruntime = empty(&capi.join("libonnxruntime.so.1"), &[]);
    (onnxruntime, lib)
}

fn find<'a>(libraries: &'a [Library], name: &str) -> &'a Library {
    libraries
        .iter()
        .find(|library| library.name == name)
        .unwrap_or_else(|| panic!("no {name} in {libraries:#?}"))
}

#[test]
fn python_packages_beside_onnx_runtime_are_found_with_their_versions_needed_ones_first() {
    let root = tempfile::tempdir().unwrap();
    let (onnxruntime, lib) = package(root.path());
    std::fs::create_dir(root.path().join("nvidia_cublas-13.1.0.3.dist-info")).unwrap();
    let libraries = of_provider(&onnxruntime, GpuProvider::Cuda);
    let (blas, jit) = (find(&libraries, BLAS), find(&libraries, JIT));
    let provider = find(&libraries, GpuProvider::Cuda.library());
    assert_eq!((provider.found_by, &provider.problem), (Some(FoundBy::Beside), &None));
    assert_eq!((blas.found_by, blas.path.clone()), (Some(FoundBy::Python), Some(lib.join(BLAS))));
    assert_eq!((blas.version.as_deref(), &blas.problem), (Some("13.1.0.3"), &None));
    assert_eq!((blas.needed_by.as_str(), jit.needed_by.as_str()), (GpuProvider::Cuda.library(), BLAS));
    let place = |name: &str| libraries.iter().position(|library| library.name == name).unwrap();
    assert!(place(JIT) < place(BLAS) && place(BLAS) < place(GpuProvider::Cuda.library()));
}

#[test]
fn a_library_that_another_needs_is_missed_with_its_range_its_package_and_where_it_was_looked_for() {
    let root = tempfile::tempdir().unwrap();
    let (onnxruntime, lib) = package(root.path());
    std::fs::remove_file(lib.join(JIT)).unwrap();
    let libraries = of_provider(&onnxruntime, GpuProvider::Cuda);
    assert_eq!(find(&libraries, BLAS).problem, None);
    let jit = find(&libraries, JIT);
    assert_eq!((&jit.path, jit.problem.as_deref()), (&None, Some("not found")));
    assert_eq!((jit.wanted.as_deref(), jit.needed_by.as_str()), (Some("nvJitLink 13"), BLAS));
    assert_eq!(jit.remedy.as_deref(), Some("pip install 'nvidia-nvjitlink>=13,<14'"));
    assert!(jit.looked_in.contains(&lib.display().to_string()), "{:?}", jit.looked_in);
    assert!(jit.looked_in.contains(&"/etc/ld.so.cache".to_owned()));
}

#[test]
fn a_file_that_is_no_library_is_passed_over() {
    let root = tempfile::tempdir().unwrap();
    let (onnxruntime, lib) = package(root.path());
    std::fs::write(lib.join(JIT), "text").unwrap();
    assert_eq!(find(&of_provider(&onnxruntime, GpuProvider::Cuda), JIT).path, None);
}

#[test]
fn an_onnx_runtime_for_the_cpu_lacks_the_provider_itself() {
    let root = tempfile::tempdir().unwrap();
    let (onnxruntime, _) = package(root.path());
    let libraries = of_provider(&onnxruntime, GpuProvider::TensorRt);
    assert_eq!(find(&libraries, GpuProvider::TensorRt.library()).path, None);
}

#[test]
fn a_driver_that_is_too_old_is_told_by_its_file() {
    let root = tempfile::tempdir().unwrap();
    let (onnxruntime, _) = package(root.path());
    let capi = onnxruntime.parent().unwrap();
    empty(&capi.join("libcuda.so.570.124.06"), &[]);
    std::os::unix::fs::symlink("libcuda.so.570.124.06", capi.join("libcuda.so.1")).unwrap();
    if std::env::var_os("LD_LIBRARY_PATH").is_some() {
        return; // which may lead to a driver that goes before this one
    }
    let libraries = of_provider(&onnxruntime, GpuProvider::Cuda);
    let driver = find(&libraries, "libcuda.so.1");
    assert_eq!(driver.version.as_deref(), Some("570.124.06"));
    assert_eq!(driver.problem.as_deref(), Some("is of driver 570.124.06"));
    assert!(driver.remedy.as_deref().unwrap().contains("driver 580 or newer"));
}
