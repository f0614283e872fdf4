//! AdamW with clipping by the global norm, and moving averages of the parameters, in one pass over each.

mod place;

use crate::ema::EmaDecays;
use crate::error::{Error, Result};
use crate::model::{Gradients, Weights};
use candle_core::{CpuStorage, InplaceOp2, Layout, Var};
use place::{DeviceState, Place, Rule, State};
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
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// On which parameters it works.
    pub decay: Decay,
    /// Gradients are scaled down to this global norm; 0 leaves them.
    pub clip_norm: f64,
    /// Decays of the moving averages of the parameters.
    pub ema_decay: EmaDecays,
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
            decay: Decay::All,
            clip_norm: 1.0,
            ema_decay: 0.9999.into(),
            warmup_steps: 100,
            schedule: LearningRate::Cosine,
            final_lr_ratio: 0.0,
        }
    }
}

/// Which parameters weight decay pulls towards zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// Every one.
    All,
    /// Those with two dimensions or more: no bias and no scale of a norm.
    Matrices,
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

/// The optimizer's state; all of it goes into a checkpoint.
pub struct Optimizer {
    config: OptimizerConfig,
    steps_done: usize,
    states: BTreeMap<String, Place>,
}

impl Optimizer {
    /// At step 0, with the averages at the parameters' current values.
    ///
    /// # Errors
    /// If Candle cannot read a parameter.
    pub fn new(config: &OptimizerConfig, model: &impl Trainable) -> Result<Self> {
        Self::begin(config, model, |var| var.device().is_cpu())
    }

    fn begin(config: &OptimizerConfig, model: &impl Trainable, on_host: fn(&Var) -> bool) -> Result<Self> {
        let averages = config.ema_decay.all().len();
        let mut states = BTreeMap::new();
        for (name, var) in model.variables() {
            let values: Vec<f32> = var.flatten_all()?.to_vec1()?;
            let zeros = || vec![0.0; values.len()];
            let state = State { first: zeros(), second: zeros(), emas: vec![values.clone(); averages] };
            let place = match on_host(var) {
                true => Place::Host(state),
                false => Place::Device(DeviceState::upload(&state, var)?),
            };
            states.insert(name.to_owned(), place);
        }
        Ok(Self { config: config.clone(), steps_done: 0, states })
    }

    /// As it was saved; `emas` in the order of the configuration's decays.
    ///
    /// # Errors
    /// [`Error::Parameter`] if a state is missing or of another size than its parameter.
    pub fn restore(
        config: &OptimizerConfig,
        model: &impl Trainable,
        steps_done: usize,
        moments: &Weights,
        emas: &[Weights],
    ) -> Result<Self> {
        let mut optimizer = Self::new(config, model)?;
        optimizer.steps_done = steps_done;
        let empty = Weights::new();
        let take = |source: &Weights, key: String, into: &mut Vec<f32>| {
            let values = source.get(&key).filter(|values| values.len() == into.len());
            let what = "missing from the optimizer's state".to_owned();
            into.clone_from(values.ok_or(Error::Parameter { name: key, what })?);
            Ok::<_, Error>(())
        };
        for (name, var) in model.variables() {
            let Some(place) = optimizer.states.get_mut(name) else { continue };
            let mut state = place.read()?.into_owned();
            take(moments, format!("first.{name}"), &mut state.first)?;
            take(moments, format!("second.{name}"), &mut state.second)?;
            for (i, into) in state.emas.iter_mut().enumerate() {
                take(emas.get(i).unwrap_or(&empty), name.to_owned(), into)?;
            }
            *place = match place {
                Place::Host(_) => Place::Host(state),
                Place::Device(_) => Place::Device(DeviceState::upload(&state, var)?),
            };
        }
        Ok(optimizer)
    }

    /// The moments, as `first.NAME` and `second.NAME`.
    ///
    /// # Errors
    /// If Candle cannot read them from their device.
    pub fn moments(&self) -> Result<Weights> {
        let mut moments = Weights::new();
        for (name, place) in &self.states {
            let State { first, second, .. } = place.read()?.into_owned();
            moments.extend([(format!("first.{name}"), first), (format!("second.{name}"), second)]);
        }
        Ok(moments)
    }

    /// The first moving average.
    ///
    /// # Errors
    /// As [`Optimizer::moments`].
    pub fn ema(&self) -> Result<Weights> {
        self.average(0)
    }

    /// The moving averages in the order of their decays.
    ///
    /// # Errors
    /// As [`Optimizer::moments`].
    pub fn emas(&self) -> Result<Vec<Weights>> {
        (0..self.config.ema_decay.all().len()).map(|i| self.average(i)).collect()
    }

    fn average(&self, i: usize) -> Result<Weights> {
        let average = |(name, place): (&String, &Place)| Ok((name.clone(), place.read()?.emas[i].clone()));
        self.states.iter().map(average).collect()
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
        };
        let ema_decays: Vec<f32> = self.config.ema_decay.all().iter().map(|&decay| decay as f32).collect();
        for ((name, var), grad) in model.variables().into_iter().zip(gradients.iter()) {
            let (Some(grad), Some(state)) = (grad, self.states.get_mut(name)) else { continue };
            let decays = self.config.decay == Decay::All || var.dims().len() > 1;
            let rule = Rule { keep: if decays { rule.keep } else { 1.0 }, ..rule };
            match state {
                Place::Host(state) => {
                    let update = Update { rule, ema_decays: &ema_decays, state: RefCell::new(state) };
                    var.as_tensor().inplace_op2(&grad.contiguous()?, &update)?;
                }
                Place::Device(state) => state.step(var, grad, rule, &ema_decays)?,
            }
        }
        Ok(norm)
    }
}

/// One parameter's update.
struct Update<'a> {
    rule: Rule,
    ema_decays: &'a [f32],
    state: RefCell<&'a mut State>,
}

/// Elements that one task works through: few enough that the parameters are still in the cache for the averages.
const CHUNK: usize = 16_384;

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
        let State { first, second, emas } = &mut **state;
        let Rule { gradient_scale, beta1, beta2, step_size, second_scale, eps, keep } = self.rule;
        let ema_decays = self.ema_decays;
        let mut averages: Vec<Vec<&mut [f32]>> =
            (0..parameter.len().div_ceil(CHUNK)).map(|_| Vec::new()).collect();
        for ema in emas {
            averages.iter_mut().zip(ema.chunks_mut(CHUNK)).for_each(|(of_chunk, part)| of_chunk.push(part));
        }
        parameter
            .par_chunks_mut(CHUNK)
            .zip(grad.par_chunks(CHUNK))
            .zip(first.par_chunks_mut(CHUNK))
            .zip(second.par_chunks_mut(CHUNK))
            .zip(averages)
            .for_each(|((((p, g), m), v), averages)| {
                for i in 0..p.len() {
                    let g = g[i] * gradient_scale;
                    m[i] = beta1 * m[i] + (1.0 - beta1) * g;
                    v[i] = beta2 * v[i] + (1.0 - beta2) * g * g;
                    p[i] = p[i] * keep - step_size * m[i] / (v[i].sqrt() * second_scale + eps);
                }
                for (ema, &decay) in averages.into_iter().zip(ema_decays) {
                    ema.iter_mut().zip(&*p).for_each(|(ema, p)| *ema = decay * *ema + (1.0 - decay) * p);
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
    #[test]
    fn the_form_for_other_devices_takes_the_same_steps() {
        let config = avdit_nets::AvditConfig { depth: 1, ..avdit_nets::AvditConfig::preset("tiny").unwrap() };
        let settings = OptimizerConfig { lr: 1e-2, ..OptimizerConfig::default() };
        let [ours, candle] = [true, false].map(|fused| {
            let model = crate::Model::new(&config, 1, &candle_core::Device::Cpu).unwrap();
            let on_host: fn(&Var) -> bool = if fused { |_| true } else { |_| false };
            let mut optimizer = Optimizer::begin(&settings, &model, on_host).unwrap();
            for _ in 0..3 {
                let gradients =
                    model.parameters().map(|(_, var)| Some((var.as_detached_tensor() * 0.1).unwrap()));
                optimizer.step(&model, &Gradients(gradients.collect()), 1e-2).unwrap();
            }
            [model.weights().unwrap(), optimizer.ema().unwrap(), optimizer.moments().unwrap()]
        });
        for (a, b) in ours.iter().zip(&candle).flat_map(|(a, b)| a.values().zip(b.values())) {
            for (a, b) in a.iter().zip(b) {
                assert!((a - b).abs() <= 2e-6 * (1.0 + b.abs()), "{a} and {b}");
            }
        }
    }
}
