//! Whether every parameter learns: the gradients of the first steps, one by one.
//!
//! At adaLN-Zero most gradients of the very first step are zero as they must be ([`Awake`]), so the audit goes on until
//! a step in which none may be, usually the third. Of adapters, whose parts begin at zero behind one another, each must
//! have had a gradient within a few steps.

use crate::error::{Error, Result};
use crate::model::{Gradients, Model, norm};
use avdit_core::Modality;
use avdit_nets::NetworkConfig;
use avdit_nets::avdit::{AvditConfig, Awake};
use serde::Serialize;
use std::collections::BTreeSet;

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

/// Steps with both modalities in the loss within which every part of a network that is no AVDiT must have had a gradient: at
/// most four layers that begin at zero lie behind one another (a gate, LoRA's B, its A), and a step may miss a modality.
const PATIENCE: usize = 8;

/// Follows the first steps of a run.
pub struct Audit {
    /// Of a network whose order of awakening is not known: the parameters that have had a gradient.
    seen: BTreeSet<String>,
    looked: usize,
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
        Self {
            seen: BTreeSet::new(),
            looked: 0,
            moved: [false; 2],
            flowed: false,
            done: false,
            fresh: false,
            table,
        }
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
        match model.config() {
            NetworkConfig::Avdit(config) => self.look_in_order(config, step, model, gradients, weighs),
            _ => self.look_for_all(step, model, gradients, weighs),
        }
    }

    /// Of any network: until every parameter has had a gradient.
    fn look_for_all(
        &mut self,
        step: usize,
        model: &Model,
        gradients: &Gradients,
        weighs: [bool; 2],
    ) -> Result<()> {
        let sees_sound = !matches!(model.config(), NetworkConfig::Dit(_));
        self.looked += usize::from(weighs[0] && (weighs[1] || !sees_sound));
        let last = self.looked >= PATIENCE;
        let seen = &mut self.seen;
        let parameters = entries(model, gradients, |name, gradient| {
            if gradient.is_some_and(|norm| norm > 0.0) {
                seen.insert(name.to_owned());
            }
            !last && !seen.contains(name)
        })?;
        let missing: Vec<&str> = parameters
            .iter()
            .map(|entry| entry.name.as_str())
            .filter(|&name| !self.seen.contains(name))
            .collect();
        let (count, total, names) = (missing.len(), parameters.len(), missing.join(", "));
        self.table.steps.push(StepGradients { step, parameters });
        (self.fresh, self.done) = (true, count == 0);
        model.check_gradients(gradients)?;
        if count > 0 && last {
            return Err(Error::ZeroGradient { step, count, total, names });
        }
        Ok(())
    }

    /// Of an AVDiT: in the order in which its parts awake.
    fn look_in_order(
        &mut self,
        config: &AvditConfig,
        step: usize,
        model: &Model,
        gradients: &Gradients,
        weighs: [bool; 2],
    ) -> Result<()> {
        let moves = |modality: Modality| weighs[modality as usize] && self.moved[modality as usize];
        let flows = Modality::ALL.into_iter().any(moves);
        let all_awake = flows && self.flowed;
        let awake = |name: &str| match config.awake(name) {
            Awake::AtOnce(modality) => weighs[modality as usize],
            Awake::AfterLast(modality) => moves(modality),
            Awake::AfterOwnLast(modality) => moves(modality) || all_awake,
            Awake::AfterAnyLast => flows,
            Awake::AfterGates => all_awake,
        };
        let parameters = entries(model, gradients, |name, _| !awake(name))?;
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

/// One entry for each parameter; `zero` says whether its gradient must be zero, from its name and the norm.
fn entries(
    model: &Model,
    gradients: &Gradients,
    mut zero: impl FnMut(&str, Option<f64>) -> bool,
) -> Result<Vec<ParameterGradient>> {
    let norms = model.gradient_norms(gradients)?;
    let entry = |((name, var), gradient): ((&str, &candle_core::Var), &Option<f64>)| {
        Ok(ParameterGradient {
            name: name.to_owned(),
            shape: var.dims().to_vec(),
            gradient_norm: gradient.filter(|norm| norm.is_finite()),
            parameter_norm: norm(var.as_tensor())?,
            expected_zero: zero(name, *gradient),
        })
    };
    model.parameters().zip(&norms).map(entry).collect()
}
