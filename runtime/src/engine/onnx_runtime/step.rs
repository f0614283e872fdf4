//! The fused step on ONNX Runtime: the state of a run stays in two sets of buffers, which are input and output in turn.
//!
//! Every buffer is bound once. On the host nothing is copied: coefficients, levels and noise are written into the
//! buffers that are bound. On a device these go there in each step, and the state comes back after the last.

use super::OrtEngine;
use crate::engine::state::{feed, fill, first_entries};
use crate::engine::{EngineKind, EngineOptions, check_step};
use crate::graph::{Port, Ports};
use avdit_core::sampler::{Coefficients, StepForm};
use avdit_core::{DenoiserSpec, Latents, Levels, Modality, StepDenoiser};
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::{IoBinding, RunOptions, Session};
use ort::value::Tensor;
use std::time::Instant;

/// Where the state of a run lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Memory {
    /// A CUDA device; the host without one.
    pub(super) cuda_device: Option<i32>,
    /// Whether the engine records a run and replays it, so that no buffer may ever move.
    pub(super) replays: bool,
}

impl Memory {
    /// That of an engine.
    pub(super) fn of(kind: EngineKind, options: &EngineOptions) -> Self {
        let (cuda, tensorrt) = (&options.cuda, &options.tensorrt);
        match kind {
            EngineKind::OrtCuda => Self { cuda_device: Some(cuda.device as i32), replays: cuda.graph },
            EngineKind::OrtTensorRt => {
                Self { cuda_device: Some(tensorrt.device as i32), replays: tensorrt.graph }
            }
            _ => Self { cuda_device: None, replays: false },
        }
    }

    fn allocator(self, session: &Session) -> ort::Result<Allocator> {
        let Some(device) = self.cuda_device else { return Ok(Allocator::default()) };
        let (kind, memory) = (AllocatorType::Device, MemoryType::Default);
        Allocator::new(session, MemoryInfo::new(AllocationDevice::CUDA, device, kind, memory)?)
    }
}

/// An input that is written in each step.
struct Fed {
    host: Tensor<f32>,
    /// Its copy on the device, where the graph reads it.
    device: Option<Tensor<f32>>,
}

impl Fed {
    fn write(&mut self, values: &[f32]) -> ort::Result<()> {
        self.host.try_extract_tensor_mut::<f32>()?.1.copy_from_slice(values);
        self.device.as_mut().map_or(Ok(()), |device| self.host.copy_into(device))
    }

    fn bound(&self) -> &Tensor<f32> {
        self.device.as_ref().unwrap_or(&self.host)
    }
}

/// The buffers of a batch, bound for both turns.
pub(super) struct Buffers {
    batch: usize,
    /// Inputs after the state, in the order of the ports.
    fed: Vec<Fed>,
    /// Two sets, each of video and audio.
    states: [[Tensor<f32>; 2]; 2],
    bindings: [IoBinding; 2],
    options: [Option<RunOptions>; 2],
    /// The set that holds the present state.
    turn: usize,
}

impl Buffers {
    /// `record` is the first of two numbers of recorded runs that no other buffers of the session have used.
    fn new(
        session: &Session,
        ports: &Ports,
        memory: Memory,
        batch: usize,
        record: usize,
    ) -> ort::Result<Self> {
        let (allocator, host) = (memory.allocator(session)?, Allocator::default());
        let (states, fed) = ports.inputs.split_at(2);
        let make = |allocator: &Allocator, port: &Port| Tensor::<f32>::new(allocator, port.shape(batch));
        let set = || Ok::<_, ort::Error>([make(&allocator, &states[0])?, make(&allocator, &states[1])?]);
        let fed = fed.iter().map(|port| {
            let device = memory.cuda_device.map(|_| make(&allocator, port)).transpose()?;
            let mut fed = Fed { host: make(&host, port)?, device };
            fed.write(&vec![0.0; port.shape(batch).iter().product()])?;
            Ok(fed)
        });
        let (fed, mut sets) = (fed.collect::<ort::Result<Vec<_>>>()?, [set()?, set()?]);
        let mut bind = |turn: usize| {
            let mut binding = session.create_binding()?;
            let [first, second] = &mut sets;
            let (present, next) = if turn == 0 { (first, second) } else { (second, first) };
            let names = ports.inputs.iter().zip(&ports.outputs);
            for (((input, output), present), next) in names.zip(present).zip(next) {
                binding.bind_input(&input.name, present)?;
                binding.bind_output(&output.name, next)?;
            }
            for (port, fed) in ports.inputs[2..].iter().zip(&fed) {
                binding.bind_input(&port.name, fed.bound())?;
            }
            Ok::<_, ort::Error>(binding)
        };
        let bindings = [bind(0)?, bind(1)?];
        // A recorded run knows its buffers by their addresses: one record for each turn.
        let options = |turn: usize| {
            let mut options = RunOptions::new()?;
            options.set("gpu_graph_id", (record + turn).to_string())?;
            Ok::<_, ort::Error>(options)
        };
        let options = if memory.replays { [Some(options(0)?), Some(options(1)?)] } else { [None, None] };
        Ok(Self { batch, fed, states: sets, bindings, options, turn: 0 })
    }

    /// Sets the present state.
    fn start(&mut self, memory: Memory, ports: &Ports, x: &Latents) -> ort::Result<()> {
        self.turn = 0;
        for (i, modality) in Modality::ALL.into_iter().enumerate() {
            let state = &mut self.states[0][i];
            match memory.cuda_device {
                None => fill(state.try_extract_tensor_mut::<f32>()?.1, x.get(modality), self.batch),
                Some(_) => {
                    let mut host =
                        Tensor::<f32>::new(&Allocator::default(), ports.inputs[i].shape(self.batch))?;
                    fill(host.try_extract_tensor_mut::<f32>()?.1, x.get(modality), self.batch);
                    host.copy_into(state)?;
                }
            }
        }
        Ok(())
    }

    fn run(&mut self, session: &mut Session) -> ort::Result<()> {
        let binding = &self.bindings[self.turn];
        match &self.options[self.turn] {
            Some(options) => drop(session.run_binding_with_options(binding, options)?),
            None => drop(session.run_binding(binding)?),
        }
        self.turn = 1 - self.turn;
        Ok(())
    }

    fn read(&self, ports: &Ports, memory: Memory, x: &mut Latents) -> ort::Result<()> {
        for (i, modality) in Modality::ALL.into_iter().enumerate() {
            let state = &self.states[self.turn][i];
            match memory.cuda_device {
                None => first_entries(state.try_extract_tensor::<f32>()?.1, x.get_mut(modality), self.batch),
                Some(_) => {
                    let mut host =
                        Tensor::<f32>::new(&Allocator::default(), ports.inputs[i].shape(self.batch))?;
                    state.copy_into(&mut host)?;
                    first_entries(host.try_extract_tensor::<f32>()?.1, x.get_mut(modality), self.batch);
                }
            }
        }
        Ok(())
    }
}

impl OrtEngine {
    fn step_failed(&self, error: &ort::Error) -> avdit_core::Error {
        self.failed(error.to_string())
    }

    fn try_step(
        &mut self,
        levels: &Levels,
        coefficients: &Coefficients,
        noise: Option<&Latents>,
    ) -> ort::Result<()> {
        let Some(buffers) = &mut self.buffers else { return Err(ort::Error::new("no run was begun")) };
        // Without noise, what lies in its buffers meets factors of 0.
        for (buffer, values) in buffers.fed.iter_mut().zip(feed(levels, coefficients, noise)) {
            buffer.write(values)?;
        }
        let start = Instant::now();
        buffers.run(&mut self.session)?;
        self.last_run = start.elapsed();
        Ok(())
    }
}

impl StepDenoiser for OrtEngine {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn form(&self) -> StepForm {
        self.facts.graph.step.unwrap_or(StepForm::EVERY)
    }

    fn begin(&mut self, x: &Latents) -> avdit_core::Result<()> {
        self.check_batch(x.batch)?;
        x.check(&self.spec.layout)?;
        if self.buffers.as_ref().is_none_or(|buffers| buffers.batch != x.batch) {
            let buffers = Buffers::new(&self.session, &self.ports, self.memory, x.batch, self.records);
            // A number used again would replay a run on buffers that are gone.
            self.records += 2;
            self.buffers = Some(buffers.map_err(|error| self.step_failed(&error))?);
        }
        let Some(buffers) = &mut self.buffers else { unreachable!("made above") };
        buffers.start(self.memory, &self.ports, x).map_err(|error| self.step_failed(&error))
    }

    fn step(
        &mut self,
        levels: &Levels,
        coefficients: &Coefficients,
        noise: Option<&Latents>,
    ) -> avdit_core::Result<()> {
        let batch = self.buffers.as_ref().map_or(0, |buffers| buffers.batch);
        check_step(&self.spec, &self.facts.graph, batch, levels, coefficients, noise)?;
        self.try_step(levels, coefficients, noise).map_err(|error| self.step_failed(&error))
    }

    fn state(&mut self, modality: Modality) -> Option<&[f32]> {
        let buffers = self.buffers.as_ref().filter(|_| self.memory.cuda_device.is_none())?;
        Some(buffers.states[buffers.turn][modality as usize].try_extract_tensor::<f32>().ok()?.1)
    }

    fn finish(&mut self, x: &mut Latents) -> avdit_core::Result<()> {
        let Some(buffers) = &self.buffers else { return Ok(()) };
        buffers.read(&self.ports, self.memory, x).map_err(|error| self.step_failed(&error))
    }
}
