//! What a GPU tells of itself while it samples: memory, energy, clock, temperature.

use super::protocol::CaseJob;
use super::result::Device;
use super::worker::Meter;
use avdit_runtime::EngineKind;
use avdit_runtime::doctor::gpu::{Sampler, devices};

/// The counters of the GPU that a case runs on; none for a case on the CPU, or where NVML does not tell.
pub fn of_case(job: &CaseJob) -> Option<Box<dyn Meter>> {
    let index = match job.engine {
        EngineKind::OrtCuda => job.options.cuda.device,
        EngineKind::OrtTensorRt => job.options.tensorrt.device,
        _ => return None,
    };
    let device = devices().ok()?.into_iter().find(|device| device.index == index as usize)?;
    let sampler = Sampler::open(&device).inspect_err(|reason| tracing::warn!("{reason}")).ok()?;
    let device = Device { name: device.name, ..Device::default() };
    Some(Box::new(GpuMeter { sampler, device, before: None, joules: Some(0.0) }))
}

struct GpuMeter {
    sampler: Sampler,
    device: Device,
    /// The counter of energy when the run began.
    before: Option<f64>,
    /// Of all runs; nothing once a run could not be read.
    joules: Option<f64>,
}

impl Meter for GpuMeter {
    fn before_run(&mut self) {
        self.before = self.sampler.energy_joules();
    }

    fn after_run(&mut self) {
        let used = self.before.take().zip(self.sampler.energy_joules()).map(|(before, after)| after - before);
        self.joules = self.joules.zip(used).map(|(sum, used)| sum + used);
        let state = self.sampler.state();
        let memory = self.sampler.process_memory_bytes();
        self.device.peak_memory_bytes = self.device.peak_memory_bytes.max(memory);
        self.device.clock_mhz = state.clock_sm_mhz.map(f64::from);
        self.device.temperature_c = state.temperature_c.map(f64::from);
        self.device.power_limit_w = state.power_limit_w;
    }

    fn finish(&mut self, clips: usize) -> Device {
        let joules_per_clip = self.joules.filter(|_| clips > 0).map(|joules| joules / clips as f64);
        Device { joules_per_clip, ..self.device.clone() }
    }
}
