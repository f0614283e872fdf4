//! The GPU, its driver and TensorRT, as far as an engine depends on them.

use crate::doctor::gpu;
use crate::libraries::package_folders;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What an engine depends on beyond its graph; nothing where it cannot be told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuFacts {
    /// The GPU's name.
    pub name: Option<String>,
    /// Its architecture, such as `9.0`.
    pub sm: Option<String>,
    /// The driver's version.
    pub driver: Option<String>,
    /// TensorRT's version, from the library that would be loaded.
    pub tensorrt: Option<String>,
}

/// Facts of GPU number `device`, and of the TensorRT that the ONNX Runtime at `library` would load.
pub fn gpu_facts(device: u32, library: &Path) -> GpuFacts {
    let listed = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let usual = ["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib64", "/usr/lib"];
    let folders = std::env::split_paths(&listed)
        .chain(usual.map(PathBuf::from))
        .chain(package_folders(library))
        .collect::<Vec<_>>();
    let kernel = of_kernel(Path::new("/proc/driver/nvidia"), device);
    let facts = match gpu::devices().ok().and_then(|devices| devices.into_iter().nth(device as usize)) {
        Some(device) => GpuFacts {
            name: Some(device.name),
            sm: Some(format!("{}.{}", device.sm / 10, device.sm % 10)),
            driver: device.driver.or(kernel.driver),
            tensorrt: None,
        },
        None => kernel,
    };
    GpuFacts { tensorrt: tensorrt(&folders), ..facts }
}

/// From what the kernel's driver says of itself and its GPUs.
fn of_kernel(folder: &Path, device: u32) -> GpuFacts {
    let read = |path: PathBuf| std::fs::read_to_string(path).unwrap_or_default();
    let is_version = |word: &&str| {
        word.split('.').count() >= 2
            && word.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    };
    let driver = read(folder.join("version"))
        .lines()
        .next()
        .and_then(|line| line.split_whitespace().find(is_version).map(str::to_owned));
    let mut gpus: Vec<_> =
        std::fs::read_dir(folder.join("gpus")).into_iter().flatten().flatten().map(|e| e.path()).collect();
    // CUDA's own order is by speed; where all GPUs are alike, which is the usual case, the order by bus gives the
    // same name.
    gpus.sort();
    let model = |text: String| {
        text.lines().find_map(|line| line.strip_prefix("Model:").map(|name| name.trim().to_owned()))
    };
    let name = gpus.get(device as usize).and_then(|gpu| model(read(gpu.join("information"))));
    GpuFacts { name, sm: None, driver, tensorrt: None }
}

/// The version in the name of the file behind `libnvinfer.so.10`, or in the record of the package beside it.
fn tensorrt(folders: &[PathBuf]) -> Option<String> {
    let name = "libnvinfer.so.10";
    let library = folders.iter().map(|folder| folder.join(name)).find(|path| path.is_file())?;
    let resolved = library.canonicalize().ok()?;
    let version = resolved.file_name()?.to_str()?.strip_prefix("libnvinfer.so.")?.to_owned();
    if version.contains('.') {
        return Some(version);
    }
    let record = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let (package, rest) = name.split_once('-')?;
        let is_libraries = package.starts_with("tensorrt") && package.ends_with("libs");
        is_libraries.then(|| rest.strip_suffix(".dist-info").map(str::to_owned)).flatten()
    };
    let packages = std::fs::read_dir(library.parent()?.parent()?).into_iter().flatten().flatten();
    Some(packages.filter_map(record).next().unwrap_or(version))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{create_dir_all, write};

    #[test]
    fn the_kernel_tells_driver_and_name() {
        let place = tempfile::tempdir().unwrap();
        assert_eq!(of_kernel(place.path(), 0), GpuFacts::default());
        let version = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  580.65.06  Release Build\nGCC version: 12.2.0\n";
        write(place.path().join("version"), version).unwrap();
        for (bus, name) in [("0000:1b:00.0", "NVIDIA H200"), ("0000:03:00.0", "NVIDIA L4")] {
            let folder = place.path().join("gpus").join(bus);
            create_dir_all(&folder).unwrap();
            write(folder.join("information"), format!("Model: \t\t {name}\nIRQ: 24\n")).unwrap();
        }
        let facts = of_kernel(place.path(), 1);
        assert_eq!(facts.driver.as_deref(), Some("580.65.06"));
        assert_eq!(facts.name.as_deref(), Some("NVIDIA H200"));
        assert_eq!(of_kernel(place.path(), 2).name, None);
    }

    #[cfg(unix)]
    #[test]
    fn a_library_s_name_or_its_package_tells_its_version() {
        let place = tempfile::tempdir().unwrap();
        let [archive, packages] = ["archive", "site-packages"].map(|name| place.path().join(name));
        let libraries = packages.join("tensorrt_libs");
        create_dir_all(&archive).unwrap();
        create_dir_all(&libraries).unwrap();
        assert_eq!(tensorrt(&[archive.clone(), libraries.clone()]), None);
        write(libraries.join("libnvinfer.so.10"), "").unwrap();
        assert_eq!(tensorrt(std::slice::from_ref(&libraries)).as_deref(), Some("10"));
        create_dir_all(packages.join("tensorrt_cu13_libs-10.16.1.11.dist-info")).unwrap();
        create_dir_all(packages.join("tensorrt_cu13_bindings-9.9.9.dist-info")).unwrap();
        assert_eq!(tensorrt(std::slice::from_ref(&libraries)).as_deref(), Some("10.16.1.11"));
        write(archive.join("libnvinfer.so.10.13.3"), "").unwrap();
        std::os::unix::fs::symlink(archive.join("libnvinfer.so.10.13.3"), archive.join("libnvinfer.so.10"))
            .unwrap();
        assert_eq!(tensorrt(&[archive, libraries]).as_deref(), Some("10.13.3"));
    }
}
