//! Where the state of a parameter is kept: in vectors on the CPU, in tensors on other devices.

use crate::error::Result;
use candle_core::{Tensor, Var};
use std::borrow::Cow;

/// The numbers of a step, the same for every parameter.
#[derive(Clone, Copy)]
pub(super) struct Rule {
    pub(super) gradient_scale: f32,
    pub(super) beta1: f32,
    pub(super) beta2: f32,
    pub(super) step_size: f32,
    pub(super) second_scale: f32,
    pub(super) eps: f32,
    pub(super) keep: f32,
}

/// First and second moment and moving averages of one parameter.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State {
    pub(super) first: Vec<f32>,
    pub(super) second: Vec<f32>,
    pub(super) emas: Vec<Vec<f32>>,
}

/// A [`State`] on its parameter's device.
#[derive(Clone, Debug)]
pub(super) struct DeviceState {
    first: Tensor,
    second: Tensor,
    emas: Vec<Tensor>,
}

impl DeviceState {
    pub(super) fn upload(state: &State, var: &Var) -> Result<Self> {
        let tensor = |values: &Vec<f32>| Tensor::from_slice(values, var.shape(), var.device());
        let emas = state.emas.iter().map(tensor).collect::<candle_core::Result<_>>()?;
        Ok(Self { first: tensor(&state.first)?, second: tensor(&state.second)?, emas })
    }

    fn download(&self) -> Result<State> {
        let values = |x: &Tensor| x.flatten_all()?.to_vec1();
        let emas = self.emas.iter().map(values).collect::<candle_core::Result<_>>()?;
        Ok(State { first: values(&self.first)?, second: values(&self.second)?, emas })
    }

    /// [`Update`](super::Update) from Candle's own operations.
    pub(super) fn step(&mut self, var: &Var, grad: &Tensor, rule: Rule, ema_decays: &[f32]) -> Result<()> {
        let f = f64::from;
        let Rule { gradient_scale, beta1, beta2, step_size, second_scale, eps, keep } = rule;
        let grad = (grad.detach() * f(gradient_scale))?;
        self.first = ((&self.first * f(beta1))? + (&grad * f(1.0 - beta1))?)?;
        self.second = ((&self.second * f(beta2))? + (grad.sqr()? * f(1.0 - beta2))?)?;
        let root = ((self.second.sqrt()? * f(second_scale))? + f(eps))?;
        let value = ((var.as_detached_tensor() * f(keep))? - (&self.first * f(step_size))?.div(&root)?)?;
        var.set(&value)?;
        for (ema, &decay) in self.emas.iter_mut().zip(ema_decays) {
            *ema = ((&*ema * f(decay))? + (&value * f(1.0 - decay))?)?;
        }
        Ok(())
    }
}

/// Where a parameter's state is.
pub(super) enum Place {
    Host(State),
    Device(DeviceState),
}

impl Place {
    pub(super) fn read(&self) -> Result<Cow<'_, State>> {
        Ok(match self {
            Self::Host(state) => Cow::Borrowed(state),
            Self::Device(state) => Cow::Owned(state.download()?),
        })
    }
}
