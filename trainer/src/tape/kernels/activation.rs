//! GELU in its tanh form and SiLU, with their derivatives.

use super::{CHUNK, exp, simd};
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

#[inline(always)]
fn map(y: &mut [f32], x: &[f32], min: usize, f: impl Fn(f32) -> f32 + Sync) {
    y.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).with_min_len(min).for_each(|(y, x)| {
        simd(|| y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x)));
    });
}

/// `grad · f(x)`, in place of `grad`.
#[inline(always)]
fn scale(grad: &mut [f32], x: &[f32], min: usize, f: impl Fn(f32) -> f32 + Sync) {
    grad.par_chunks_mut(CHUNK).zip(x.par_chunks(CHUNK)).with_min_len(min).for_each(|(grad, x)| {
        simd(|| grad.iter_mut().zip(x).for_each(|(grad, &x)| *grad *= f(x)));
    });
}

impl Activation {
    pub(in crate::tape) fn forward(self, y: &mut [f32], x: &[f32], min: usize) {
        match self {
            Self::Gelu => map(y, x, min, gelu),
            Self::Silu => map(y, x, min, |x| x * sigmoid(x)),
            Self::Sin => map(y, x, min, f32::sin),
            Self::Cos => map(y, x, min, f32::cos),
        }
    }

    /// From the gradient of the output to that of the input.
    pub(in crate::tape) fn backward(self, grad: &mut [f32], x: &[f32], min: usize) {
        match self {
            Self::Gelu => scale(grad, x, min, gelu_slope),
            Self::Silu => scale(grad, x, min, silu_slope),
            Self::Sin => scale(grad, x, min, f32::cos),
            Self::Cos => scale(grad, x, min, |x| -x.sin()),
        }
    }
}
