//! NVIDIA GPUs: what they are (CUDA's driver) and what they do at this moment (NVML). Both libraries are loaded when
//! asked, and neither is needed to build or to start.

mod cuda;
mod sampler;

pub use sampler::Sampler;

use serde::Serialize;
use std::fs::read_to_string;
use std::path::PathBuf;

/// The driver's library for programs.
const LIBCUDA: &str = "libcuda.so.1";
/// The driver's library for management.
const LIBNVML: &str = "libnvidia-ml.so.1";

/// A GPU that CUDA shows to this process (`CUDA_VISIBLE_DEVICES` hides others).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GpuDevice {
    /// CUDA's number of it, which engines take as the device.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// `GPU-` and a UUID.
    pub uuid: String,
    /// Compute capability, ten times the major version plus the minor: 90 for 9.0.
    pub sm: u32,
    /// Memory.
    pub memory_bytes: u64,
    /// Version of the driver, such as `580.65.06`.
    pub driver: Option<String>,
    /// The newest CUDA that the driver knows, such as `13.0`.
    pub cuda: Option<String>,
    /// What it does now, where NVML tells.
    pub state: Option<GpuState>,
}

/// What a GPU does at a moment. Each is absent where the GPU or the driver does not tell it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct GpuState {
    /// Memory in use, by all processes.
    pub memory_used_bytes: Option<u64>,
    /// Memory that is free.
    pub memory_free_bytes: Option<u64>,
    /// Power drawn.
    pub power_w: Option<f64>,
    /// Power that it may draw.
    pub power_limit_w: Option<f64>,
    /// Clock of the multiprocessors.
    pub clock_sm_mhz: Option<u32>,
    /// The highest that this clock goes.
    pub clock_sm_max_mhz: Option<u32>,
    /// Clock of the memory.
    pub clock_memory_mhz: Option<u32>,
    /// Temperature.
    pub temperature_c: Option<u32>,
    /// Whether the driver keeps it awake between programs.
    pub persistence: Option<bool>,
    /// Other processes that compute on it.
    pub other_processes: Option<usize>,
}

/// What can be seen of NVIDIA GPUs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Gpu {
    /// The kernel driver's own line about its version.
    pub driver: Option<String>,
    /// Where the driver's library for programs, `libcuda.so.1`, lies.
    pub libcuda: Option<PathBuf>,
    /// The GPUs that CUDA gives to this process.
    pub devices: Vec<GpuDevice>,
    /// Why there are none.
    pub problem: Option<String>,
    /// What was seen, in a line.
    pub note: String,
}

/// Looks for NVIDIA GPUs.
pub fn gpu() -> Gpu {
    let driver = read_to_string("/proc/driver/nvidia/version").ok();
    let driver = driver.and_then(|text| text.lines().next().map(|line| line.trim().to_owned()));
    let libcuda = crate::libraries::find(LIBCUDA);
    let (devices, problem) = match devices() {
        Ok(devices) => (devices, None),
        Err(problem) => (Vec::new(), Some(problem)),
    };
    let seen = match (&driver, &libcuda) {
        (Some(_), Some(_)) => "an NVIDIA driver is installed",
        (Some(_), None) => "the NVIDIA kernel driver is loaded, but libcuda.so.1 is not installed",
        (None, Some(_)) => "libcuda.so.1 is installed, but no NVIDIA kernel driver is loaded",
        (None, None) => "no NVIDIA driver",
    };
    let note = match devices.len() {
        0 => seen.to_owned(),
        1 => "1 GPU".to_owned(),
        several => format!("{several} GPUs"),
    };
    Gpu { driver, libcuda, devices, problem, note }
}

/// The GPUs that CUDA shows to this process, in CUDA's order.
///
/// # Errors
/// Why there are none: no driver, a driver without a device, a driver that cannot be used.
pub fn devices() -> Result<Vec<GpuDevice>, String> {
    let found = cuda::devices()?;
    let nvml = sampler::nvml();
    let device = |(index, cuda::Device { name, uuid }): (usize, cuda::Device)| {
        let nvml = nvml.as_ref().ok();
        let facts = nvml.and_then(|nvml| sampler::facts(nvml, &uuid).ok());
        let (sm, memory_bytes) = match facts {
            Some(facts) => facts,
            None => cuda::facts(index)?,
        };
        let state = nvml.and_then(|nvml| sampler::state(nvml, &uuid).ok());
        let driver = nvml.and_then(|nvml| nvml.sys_driver_version().ok());
        let cuda = nvml.and_then(|nvml| nvml.sys_cuda_driver_version().ok());
        let cuda = cuda.map(|version| format!("{}.{}", version / 1000, version % 1000 / 10));
        Ok(GpuDevice { index, name, uuid, sm, memory_bytes, driver, cuda, state })
    };
    found.into_iter().enumerate().map(device).collect()
}
