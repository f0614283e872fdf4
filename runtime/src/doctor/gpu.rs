//! What can be seen of NVIDIA GPUs without CUDA.

use serde::Serialize;
use std::fs::{read_dir, read_to_string};
use std::path::PathBuf;

/// What can be seen of NVIDIA GPUs without CUDA.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gpu {
    /// The kernel driver's own line about its version.
    pub driver: Option<String>,
    /// The models that the driver lists.
    pub devices: Vec<String>,
    /// Where the driver's library for programs, `libcuda.so.1`, lies.
    pub libcuda: Option<PathBuf>,
    /// What that means for this version.
    pub note: String,
}

/// Looks for NVIDIA GPUs.
pub fn gpu() -> Gpu {
    let driver = read_to_string("/proc/driver/nvidia/version").ok();
    let driver = driver.and_then(|text| text.lines().next().map(|line| line.trim().to_owned()));
    let folders = read_dir("/proc/driver/nvidia/gpus").into_iter().flatten().flatten();
    let model =
        |text: String| text.lines().find_map(|l| l.strip_prefix("Model:").map(|m| m.trim().to_owned()));
    let devices =
        folders.filter_map(|f| read_to_string(f.path().join("information")).ok().and_then(model)).collect();
    let libcuda = libcuda();
    let seen = match (&driver, &libcuda) {
        (Some(_), Some(_)) => "an NVIDIA driver is installed",
        (Some(_), None) => "the NVIDIA kernel driver is loaded, but libcuda.so.1 is not installed",
        (None, Some(_)) => "libcuda.so.1 is installed, but no NVIDIA kernel driver is loaded",
        (None, None) => "no NVIDIA driver",
    };
    let note = format!("{seen}; the engines of this version run on the CPU");
    Gpu { driver, devices, libcuda, note }
}

fn libcuda() -> Option<PathBuf> {
    let listed = std::env::var_os("LD_LIBRARY_PATH").unwrap_or_default();
    let usual = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
        "/lib/x86_64-linux-gnu",
        "/usr/lib/wsl/lib",
        "/usr/local/nvidia/lib64",
        "/usr/local/cuda/compat",
        "/run/opengl-driver/lib",
    ];
    let folders = std::env::split_paths(&listed).chain(usual.into_iter().map(PathBuf::from));
    folders.map(|folder| folder.join("libcuda.so.1")).find(|path| path.is_file())
}
