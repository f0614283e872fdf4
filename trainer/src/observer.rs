//! Who watches a run.

use crate::denoiser::CandleDenoiser;
use crate::error::Result;
use crate::metrics::StepMetrics;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What is known when the first step begins.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    /// Steps done before: above 0 for a run that goes on.
    pub step: usize,
    /// Steps in all.
    pub steps: usize,
    /// Learned values of the network.
    pub parameters: usize,
    /// Multiply-adds of a forward pass on one example.
    pub multiply_adds: u64,
    /// What the machine reaches on large matrix products, in billions of operations in a second, where it was
    /// measured.
    pub matmul_gflops: Option<f64>,
}

/// Is told what happens in a run. Nothing that it does can change the run's numbers; an error of its own stops the
/// run. A closure that takes [`StepMetrics`] is one.
pub trait Observer {
    /// Before the first step.
    ///
    /// # Errors
    /// Whatever stops the run.
    fn start(&mut self, _facts: &RunFacts) -> Result<()> {
        Ok(())
    }

    /// After every step.
    ///
    /// # Errors
    /// Whatever stops the run.
    fn step(&mut self, metrics: &StepMetrics) -> Result<()>;

    /// After every `run.sample_every` steps, with the network at the first moving average of its parameters.
    ///
    /// # Errors
    /// Whatever stops the run.
    fn sample(&mut self, _step: usize, _denoiser: &mut CandleDenoiser) -> Result<()> {
        Ok(())
    }

    /// When a checkpoint is whole.
    ///
    /// # Errors
    /// Whatever stops the run.
    fn checkpoint(&mut self, _step: usize, _folder: &Path) -> Result<()> {
        Ok(())
    }
}

impl<F: FnMut(&StepMetrics)> Observer for F {
    fn step(&mut self, metrics: &StepMetrics) -> Result<()> {
        self(metrics);
        Ok(())
    }
}
