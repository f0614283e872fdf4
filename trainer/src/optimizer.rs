//! AdamW with clipping by the global norm, and a moving average of the parameters, in one pass over each.

use crate::error::{Error, Result};
use crate::model::{Gradients, Weights};
use candle_core::{CpuStorage, InplaceOp2, Layout, Var};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::cell::RefCell;
use std::collections::BTreeMap;

/// The settings of the optimizer (Loshchilov & Hutter 2019).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerConfig {
    /// Peak learning rate.
    pub lr: f64,
    /// Decay of the first and the second moment.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, on every parameter.
    pub weight_decay: f64,
    /// Gradients are scaled down to this global norm; 0 leaves them.
    pub clip_norm: f64,
    /// Decay of the moving average of the parameters.
    pub ema_decay: f64,
    /// Steps over which the learning rate rises from 0.
    pub warmup_steps: usize,
    /// How the learning rate falls after that.
    pub schedule: LearningRate,
    /// Where a cosine ends, as a share of `lr`.
    pub final_lr_ratio: f64,
}

impl Default for OptimizerConfig {
    fn default() -> Self {
        Self {
            lr: 1e-4,
            betas: (0.9, 0.999),
            eps: 1e-8,
            weight_decay: 0.01,
            clip_norm: 1.0,
            ema_decay: 0.9999,
            warmup_steps: 100,
            schedule: LearningRate::Cosine,
            final_lr_ratio: 0.0,
        }
    }
}

/// How the learning rate runs after the warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LearningRate {
    /// Stays.
    Constant,
    /// Half a cosine down to `final_lr_ratio`.
    Cosine,
}

impl OptimizerConfig {
    /// The learning rate of step `step` (from 0) of `steps`.
    pub fn lr_at(&self, step: usize, steps: usize) -> f64 {
        if step < self.warmup_steps {
            return self.lr * (step + 1) as f64 / self.warmup_steps as f64;
        }
        match self.schedule {
            LearningRate::Constant => self.lr,
            LearningRate::Cosine => {
                let span = steps.saturating_sub(self.warmup_steps).max(1) as f64;
                let progress = ((step - self.warmup_steps) as f64 / span).min(1.0);
                let cosine = 0.5 * (1.0 + (std::f64::consts::PI * progress).cos());
                self.lr * (self.final_lr_ratio + (1.0 - self.final_lr_ratio) * cosine)
            }
        }
    }
}

/// A network whose parameters can be moved.
pub trait Trainable {
    /// Names and variables, in the network's order.
    fn variables(&self) -> Vec<(&str, &Var)>;

    /// The current values.
    ///
    /// # Errors
    /// If Candle cannot read a tensor.
    fn weights(&self) -> Result<Weights> {
        let values = |(name, var): (&str, &Var)| Ok((name.to_owned(), var.flatten_all()?.to_vec1()?));
        self.variables().into_iter().map(values).collect()
    }
}

/// First and second moment and moving average of one parameter.
#[derive(Clone, Debug, PartialEq)]
struct State {
    first: Vec<f32>,
    second: Vec<f32>,
    ema: Vec<f32>,
}

/// The optimizer's state; all of it goes into a checkpoint.
pub struct Optimizer {
    config: OptimizerConfig,
    steps_done: usize,
    states: BTreeMap<String, State>,
}

impl Optimizer {
    /// At step 0, with the average at the parameters' current values.
    ///
    /// # Errors
    /// If Candle cannot read a parameter.
    pub fn new(config: &OptimizerConfig, model: &impl Trainable) -> Result<Self> {
        let state = |ema: Vec<f32>| State { first: vec![0.0; ema.len()], second: vec![0.0; ema.len()], ema };
        let states = model.weights()?.into_iter().map(|(name, values)| (name, state(values))).collect();
        Ok(Self { config: config.clone(), steps_done: 0, states })
    }

    /// As it was saved.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a state is missing or of another size than its parameter.
    pub fn restore(
        config: &OptimizerConfig,
        model: &impl Trainable,
        steps_done: usize,
        moments: &Weights,
        ema: &Weights,
    ) -> Result<Self> {
        let mut optimizer = Self::new(config, model)?;
        optimizer.steps_done = steps_done;
        for (name, state) in &mut optimizer.states {
            for (kind, source, into) in [
                ("first", moments, &mut state.first),
                ("second", moments, &mut state.second),
                ("", ema, &mut state.ema),
            ] {
                let key = if kind.is_empty() { name.clone() } else { format!("{kind}.{name}") };
                let values = source.get(&key).filter(|values| values.len() == into.len());
                let fail = || Error::Parameter {
                    name: key.clone(),
                    what: "missing from the optimizer's state".into(),
                };
                into.clone_from(values.ok_or_else(fail)?);
            }
        }
        Ok(optimizer)
    }

    /// The moments, as `first.NAME` and `second.NAME`.
    pub fn moments(&self) -> Weights {
        let both = |(name, state): (&String, &State)| {
            [(format!("first.{name}"), state.first.clone()), (format!("second.{name}"), state.second.clone())]
        };
        self.states.iter().flat_map(both).collect()
    }

    /// The moving average.
    pub fn ema(&self) -> Weights {
        self.states.iter().map(|(name, state)| (name.clone(), state.ema.clone())).collect()
    }

    /// Steps taken so far.
    pub fn steps_done(&self) -> usize {
        self.steps_done
    }

    /// Applies the gradients at a learning rate; returns their norm before clipping. A norm that is not finite
    /// changes nothing.
    ///
    /// # Errors
    /// If Candle fails.
    pub fn step(&mut self, model: &impl Trainable, gradients: &Gradients, lr: f64) -> Result<f64> {
        let mut sum = 0f64;
        for grad in gradients.iter().flatten() {
            sum += f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
        let norm = sum.sqrt();
        if !norm.is_finite() {
            return Ok(norm);
        }
        self.steps_done += 1;
        let clip = self.config.clip_norm;
        let gradient_scale = if clip > 0.0 { (clip / (norm + 1e-6)).min(1.0) } else { 1.0 };
        let (beta1, beta2) = self.config.betas;
        let bias = |beta: f64| 1.0 - beta.powi(self.steps_done as i32);
        let rule = Rule {
            gradient_scale: gradient_scale as f32,
            beta1: beta1 as f32,
            beta2: beta2 as f32,
            step_size: (lr / bias(beta1)) as f32,
            second_scale: (1.0 / bias(beta2).sqrt()) as f32,
            eps: self.config.eps as f32,
            keep: (1.0 - lr * self.config.weight_decay) as f32,
            ema_decay: self.config.ema_decay as f32,
        };
        for ((name, var), grad) in model.variables().into_iter().zip(gradients.iter()) {
            let (Some(grad), Some(state)) = (grad, self.states.get_mut(name)) else { continue };
            let update = Update { rule, state: RefCell::new(state) };
            var.as_tensor().inplace_op2(&grad.contiguous()?, &update)?;
        }
        Ok(norm)
    }
}

/// The numbers of a step, the same for every parameter.
#[derive(Clone, Copy)]
struct Rule {
    gradient_scale: f32,
    beta1: f32,
    beta2: f32,
    step_size: f32,
    second_scale: f32,
    eps: f32,
    keep: f32,
    ema_decay: f32,
}

/// One parameter's update.
struct Update<'a> {
    rule: Rule,
    state: RefCell<&'a mut State>,
}

/// Elements that one task works through.
const CHUNK: usize = 65_536;

impl InplaceOp2 for Update<'_> {
    fn name(&self) -> &'static str {
        "adamw"
    }

    fn cpu_fwd(
        &self,
        s1: &mut CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> candle_core::Result<()> {
        let CpuStorage::F32(parameter) = s1 else { candle_core::bail!("parameters must be f32") };
        let (Some((p0, p1)), Some((g0, g1))) = (l1.contiguous_offsets(), l2.contiguous_offsets()) else {
            candle_core::bail!("parameters and gradients must be contiguous")
        };
        let (parameter, grad) = (&mut parameter[p0..p1], &s2.as_slice::<f32>()?[g0..g1]);
        let mut state = self.state.borrow_mut();
        let State { first, second, ema } = &mut **state;
        let Rule { gradient_scale, beta1, beta2, step_size, second_scale, eps, keep, ema_decay } = self.rule;
        parameter
            .par_chunks_mut(CHUNK)
            .zip(grad.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK))
            .zip(second.par_chunks_mut(CHUNK))
            .zip(ema.par_chunks_mut(CHUNK))
            .for_each(|((((p, g), m), v), ema)| {
                for i in 0..p.len() {
                    let g = g[i] * gradient_scale;
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                    p[i] = p[i] * keep - step_size * m[i] / (v[i].sqrt() * second_scale + eps);
                    ema[i] = ema_decay * ema[i] + (1.0 - ema_decay) * p[i];
                }
            });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls_to_its_final_share() {
        let config = OptimizerConfig { lr: 1.0, warmup_steps: 4, final_lr_ratio: 0.1, ..Default::default() };
        assert_eq!(config.lr_at(0, 104), 0.25);
        assert_eq!(config.lr_at(3, 104), 1.0);
        assert!((config.lr_at(54, 104) - 0.55).abs() < 1e-12, "half way down a cosine from 1 to 0.1");
        assert!((config.lr_at(104, 104) - 0.1).abs() < 1e-12);
    }
}
