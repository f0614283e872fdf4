//! Whether every parameter learns: the gradients of the first steps, one by one.
//!
//! At adaLN-Zero most gradients of the very first step are zero as they must be ([`Awake`]), so the audit goes on until
//! a step in which none may be, usually the third.

use crate::error::{Error, Result};
use crate::model::{Gradients, Model};
use avdit_core::Modality;
use avdit_nets::avdit::Awake;
use serde::Serialize;

/// The file in a run's folder.
pub const GRADIENTS_FILE: &str = "gradients.json";

/// `gradients.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GradientTable {
    /// `avdit-gradients/1`.
    pub schema: String,
    /// The steps that were audited.
    pub steps: Vec<StepGradients>,
}

/// All gradients of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepGradients {
    /// The step, from 1.
    pub step: usize,
    /// One entry for each parameter, in the network's order.
    pub parameters: Vec<ParameterGradient>,
}

/// The gradient of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParameterGradient {
    /// Its full name.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The Euclidean norm of its gradient; none where the backward pass did not come, or it is not finite.
    pub gradient_norm: Option<f64>,
    /// The norm of its values before the step.
    pub parameter_norm: f64,
    /// Whether it must be exactly zero in this step.
    pub expected_zero: bool,
}

/// Follows the first steps of a run.
pub struct Audit {
    /// Modalities whose last layer has moved.
    moved: [bool; 2],
    /// Whether a gradient has come to the gates.
    flowed: bool,
    /// Whether no step is left to look at.
    done: bool,
    /// Whether the table has grown since it was last asked for.
    fresh: bool,
    table: GradientTable,
}

impl Default for Audit {
    fn default() -> Self {
        let table = GradientTable { schema: "avdit-gradients/1".into(), steps: Vec::new() };
        Self { moved: [false; 2], flowed: false, done: false, fresh: false, table }
    }
}

impl Audit {
    /// What was found, if that is more than when it was last asked for.
    pub fn news(&mut self) -> Option<&GradientTable> {
        std::mem::take(&mut self.fresh).then_some(&self.table)
    }

    /// Audits the gradients of a step (from 1) in whose loss the modalities `weighs` have a term, unless enough steps
    /// were audited.
    ///
    /// # Errors
    /// [`Error::NoGradient`] and [`Error::ZeroGradient`] naming the parameters.
    pub fn look(
        &mut self,
        step: usize,
        model: &Model,
        gradients: &Gradients,
        weighs: [bool; 2],
    ) -> Result<()> {
        if self.done {
            return Ok(());
        }
        let moves = |modality: Modality| weighs[modality as usize] && self.moved[modality as usize];
        let flows = Modality::ALL.into_iter().any(moves);
        let all_awake = flows && self.flowed;
        let awake = |name: &str| match model.config().awake(name) {
            Awake::AtOnce(modality) => weighs[modality as usize],
            Awake::AfterLast(modality) => moves(modality),
            Awake::AfterOwnLast(modality) => moves(modality) || all_awake,
            Awake::AfterAnyLast => flows,
            Awake::AfterGates => all_awake,
        };
        let norms = model.gradient_norms(gradients)?;
        let entries = model.parameters().zip(&norms).map(|((name, var), norm)| {
            let parameter_norm = f64::from(var.as_tensor().sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt();
            Ok(ParameterGradient {
                name: name.to_owned(),
                shape: var.dims().to_vec(),
                gradient_norm: norm.filter(|norm| norm.is_finite()),
                parameter_norm,
                expected_zero: !awake(name),
            })
        });
        let parameters: Vec<ParameterGradient> = entries.collect::<Result<_>>()?;
        let frozen =
            parameters.iter().filter(|entry| !entry.expected_zero && entry.gradient_norm == Some(0.0));
        let names: Vec<&str> = frozen.map(|entry| entry.name.as_str()).collect();
        let (count, total, names) = (names.len(), parameters.len(), names.join(", "));
        self.table.steps.push(StepGradients { step, parameters });
        self.fresh = true;
        model.check_gradients(gradients)?;
        if count > 0 {
            return Err(Error::ZeroGradient { step, count, total, names });
        }
        self.flowed |= flows;
        self.moved.iter_mut().zip(weighs).for_each(|(moved, weighs)| *moved |= weighs);
        self.done = all_awake;
        Ok(())
    }
}
