//! The fused step on tract: the outputs of a run are the inputs of the next, without a copy.

use super::{NAME, TractEngine, values};
use crate::engine::state::{feed, fill, first_entries};
use crate::engine::{check_step, failed};
use crate::error::Result;
use crate::graph::Model;
use avdit_core::sampler::{Coefficients, StepForm};
use avdit_core::{DenoiserSpec, Latents, Levels, Modality, StepDenoiser};
use tract_onnx::prelude::*;

/// The state of a run: video's and audio's.
#[derive(Default)]
pub(super) struct State {
    batch: usize,
    tensors: Vec<TValue>,
}

impl TractEngine {
    fn try_begin(&mut self, x: &Latents) -> TractResult<()> {
        let mut tensors = Vec::new();
        for (port, modality) in self.ports.inputs.iter().zip(Modality::ALL) {
            let shape = port.shape(x.batch);
            let mut state = vec![0.0; shape.iter().product()];
            fill(&mut state, x.get(modality), x.batch);
            tensors.push(super::tensor(&shape, &state)?.into_tvalue());
        }
        self.state = State { batch: x.batch, tensors };
        Ok(())
    }

    fn try_step(
        &mut self,
        levels: &Levels,
        coefficients: &Coefficients,
        noise: Option<&Latents>,
    ) -> Result<()> {
        let batch = self.state.batch;
        let plan = self.plan(batch)?;
        let mut inputs = std::mem::take(&mut self.state.tensors);
        let fed = feed(levels, coefficients, noise);
        for (i, port) in self.ports.inputs[2..].iter().enumerate() {
            let shape = port.shape(batch);
            let made = fed
                .get(i)
                .map_or_else(|| Tensor::zero::<f32>(&shape), |values| super::tensor(&shape, values));
            inputs.push(made.map_err(|error| self.failed(&error))?.into_tvalue());
        }
        let mut results = self.run_plan(&plan, inputs)?;
        let taken = self
            .outputs
            .iter()
            .map(|&place| std::mem::replace(&mut results[place], Tensor::default().into_tvalue()));
        self.state.tensors = taken.collect();
        Ok(())
    }
}

impl StepDenoiser for TractEngine {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn form(&self) -> StepForm {
        self.facts.graph.step.unwrap_or(StepForm::EVERY)
    }

    fn begin(&mut self, x: &Latents) -> avdit_core::Result<()> {
        Model::check_batch(&self.facts.graph, x.batch)?;
        x.check(&self.spec.layout)?;
        self.try_begin(x).map_err(|error| failed(NAME, self.failed(&error)))
    }

    fn step(
        &mut self,
        levels: &Levels,
        coefficients: &Coefficients,
        noise: Option<&Latents>,
    ) -> avdit_core::Result<()> {
        check_step(&self.spec, &self.facts.graph, self.state.batch, levels, coefficients, noise)?;
        self.try_step(levels, coefficients, noise).map_err(|error| failed(NAME, error))
    }

    fn state(&mut self, modality: Modality) -> Option<&[f32]> {
        values(self.state.tensors.get(modality as usize)?).ok()
    }

    fn finish(&mut self, x: &mut Latents) -> avdit_core::Result<()> {
        for (tensor, modality) in self.state.tensors.iter().zip(Modality::ALL) {
            let state = values(tensor).map_err(|error| failed(NAME, self.failed(&error)))?;
            first_entries(state, x.get_mut(modality), self.state.batch);
        }
        Ok(())
    }
}
