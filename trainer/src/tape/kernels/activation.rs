//! Functions of each element, with their derivatives.

use super::{CHUNK, exp};
use rayon::prelude::*;

/// 2·√(2/π).
const A: f32 = 1.595_769;
const B: f32 = 0.044_715;

/// An elementwise function with a derivative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tape) enum Activation {
    /// ½·x·(1 + tanh(√(2/π)·(x + 0.044715·x³))) (Hendrycks & Gimpel 2016), which is x·sigmoid(2·√(2/π)·(…)).
    Gelu,
    /// x·sigmoid(x).
    Silu,
    /// max(x, 0), whose slope at 0 is taken as 0.
    Relu,
    /// Sine.
    Sin,
    /// Cosine.
    Cos,
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn gelu(x: f32) -> f32 {
    x * sigmoid(A * (x + B * x * x * x))
}

#[inline(always)]
fn gelu_slope(x: f32) -> f32 {
    let s = sigmoid(A * (x + B * x * x * x));
    s + x * s * (1.0 - s) * A * (1.0 + 3.0 * B * x * x)
}

#[inline(always)]
fn silu_slope(x: f32) -> f32 {
    let s = sigmoid(x);
    s + x * s * (1.0 - s)
}

vectorised! {
    fn gelu_all<'a>(y: &'a mut [f32], x: &'a [f32]) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = gelu(x));
    }

    fn silu_all<'a>(y: &'a mut [f32], x: &'a [f32]) {
        y.iter_mut().zip(x).for_each(|(y, &x)| *y = x * sigmoid(x));
    }

    fn gelu_back<'a>(grad: &'a mut [f32], x: &'a [f32]) {
        grad.iter_mut().zip(x).for_each(|(grad, &x)| *grad *= gelu_slope(x));
    }

    fn silu_back<'a>(grad: &'a mut [f32], x: &'a [f32]) {
        grad.iter_mut().zip(x).for_each(|(grad, &x)| *grad *= silu_slope(x));
    }
}

/// `f` of matching parts.
fn parts(y: &mut [f32], x: &[f32], min: usize, f: impl for<'a> Fn(&'a mut [f32], &'a [f32]) + Sync) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).with_min_len(min).for_each(|(y, x)| f(y, x));
}

fn each(y: &mut [f32], x: &[f32], f: impl Fn(&mut f32, f32)) {
    y.iter_mut().zip(x).for_each(|(y, &x)| f(y, x));
}

impl Activation {
    pub(in crate::tape) fn forward(self, y: &mut [f32], x: &[f32], min: usize) {
        match self {
            Self::Gelu => parts(y, x, min, gelu_all),
            Self::Silu => parts(y, x, min, silu_all),
            Self::Relu => each(y, x, |y, x| *y = x.max(0.0)),
            Self::Sin => each(y, x, |y, x| *y = x.sin()),
            Self::Cos => each(y, x, |y, x| *y = x.cos()),
        }
    }

    /// From the gradient of the output to that of the input.
    pub(in crate::tape) fn backward(self, grad: &mut [f32], x: &[f32], min: usize) {
        match self {
            Self::Gelu => parts(grad, x, min, gelu_back),
            Self::Silu => parts(grad, x, min, silu_back),
            Self::Relu => each(grad, x, |grad, x| *grad = if x > 0.0 { *grad } else { 0.0 }),
            Self::Sin => each(grad, x, |grad, x| *grad *= x.cos()),
            Self::Cos => each(grad, x, |grad, x| *grad *= -x.sin()),
        }
    }
}
