//! NVML: clocks, power, energy, memory and temperature, without touching the work on the GPU.

use super::{GpuDevice, GpuState, LIBNVML};
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

/// Readings of a GPU while it works.
pub struct Sampler {
    nvml: Nvml,
    uuid: String,
}

impl Sampler {
    /// Starts to read a GPU.
    ///
    /// # Errors
    /// If NVML is not there or does not know the GPU.
    pub fn open(device: &GpuDevice) -> Result<Self, String> {
        let (nvml, uuid) = (nvml()?, device.uuid.clone());
        nvml.device_by_uuid(uuid.as_str()).map_err(|error| format!("NVML does not know {uuid}: {error}"))?;
        Ok(Self { nvml, uuid })
    }

    /// Energy that the GPU has used since its driver was loaded, where it counts; differences are what counts.
    pub fn energy_joules(&self) -> Option<f64> {
        let millijoules = self.device().ok()?.total_energy_consumption().ok()?;
        Some(millijoules as f64 * 1e-3)
    }

    /// Memory that this process holds on the GPU, where the driver tells (containers often hide processes).
    pub fn process_memory_bytes(&self) -> Option<u64> {
        let processes = self.device().ok()?.running_compute_processes().ok()?;
        let own = processes.iter().find(|process| process.pid == std::process::id())?;
        match own.used_gpu_memory {
            nvml_wrapper::enums::device::UsedGpuMemory::Used(bytes) => Some(bytes),
            nvml_wrapper::enums::device::UsedGpuMemory::Unavailable => None,
        }
    }

    /// What the GPU does now.
    pub fn state(&self) -> GpuState {
        state(&self.nvml, &self.uuid).unwrap_or_default()
    }

    fn device(&self) -> Result<Device<'_>, NvmlError> {
        self.nvml.device_by_uuid(self.uuid.as_str())
    }
}

/// NVML, wherever it lies.
pub(super) fn nvml() -> Result<Nvml, String> {
    let path = crate::libraries::find(LIBNVML)
        .ok_or_else(|| format!("no {LIBNVML}: NVIDIA's driver is not installed here"))?;
    let nvml = Nvml::builder().lib_path(path.as_os_str()).init();
    nvml.map_err(|error| format!("{}: {error}", path.display()))
}

/// Compute capability and memory.
pub(super) fn facts(nvml: &Nvml, uuid: &str) -> Result<(u32, u64), NvmlError> {
    let device = nvml.device_by_uuid(uuid)?;
    let capability = device.cuda_compute_capability()?;
    Ok(((capability.major * 10 + capability.minor).unsigned_abs(), device.memory_info()?.total))
}

pub(super) fn state(nvml: &Nvml, uuid: &str) -> Result<GpuState, NvmlError> {
    let device = nvml.device_by_uuid(uuid)?;
    let memory = device.memory_info().ok();
    let watts = |milliwatts: u32| f64::from(milliwatts) * 1e-3;
    let others = device.running_compute_processes().ok();
    Ok(GpuState {
        memory_used_bytes: memory.as_ref().map(|memory| memory.used),
        memory_free_bytes: memory.as_ref().map(|memory| memory.free),
        power_w: device.power_usage().ok().map(watts),
        power_limit_w: device.enforced_power_limit().ok().map(watts),
        clock_sm_mhz: device.clock_info(Clock::SM).ok(),
        clock_sm_max_mhz: device.max_clock_info(Clock::SM).ok(),
        clock_memory_mhz: device.clock_info(Clock::Memory).ok(),
        temperature_c: device.temperature(TemperatureSensor::Gpu).ok(),
        persistence: device.is_in_persistent_mode().ok(),
        other_processes: others.map(|list| list.iter().filter(|p| p.pid != std::process::id()).count()),
    })
}
