//! `RUN/gradients.json`: the gradients of the first steps, parameter by parameter.

use avdit_trainer::audit::GRADIENTS_FILE;
use avdit_trainer::checkpoint;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
struct Table {
    steps: Vec<StepGradients>,
}

/// All gradients of a step.
#[derive(Clone, Debug, Deserialize)]
pub struct StepGradients {
    /// The step, from 1.
    pub step: usize,
    /// One entry for each parameter.
    pub parameters: Vec<ParameterGradient>,
}

/// The gradient of a parameter.
#[derive(Clone, Debug, Deserialize)]
pub struct ParameterGradient {
    pub name: String,
    pub shape: Vec<usize>,
    /// `None` where the backward pass did not come, or the gradient is not finite.
    pub gradient_norm: Option<f64>,
    pub parameter_norm: f64,
    /// Whether it must be exactly zero in this step.
    pub expected_zero: bool,
}

/// The record of a run; empty for one that has none.
pub fn read(run: &Path) -> Vec<StepGradients> {
    checkpoint::read_json::<Table>(&run.join(GRADIENTS_FILE)).map(|table| table.steps).unwrap_or_default()
}
