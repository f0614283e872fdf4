//! RMS norm over the last dimension with a learned weight.

use super::{sum, sum2};
use crate::tape::tensor::Matrix;
use rayon::prelude::*;

/// Rows of the matrix that one task works through.
const ROWS: usize = 64;

#[inline(always)]
fn reciprocal(x: &[f32], eps: f32) -> f32 {
    1.0 / (sum(x, |x| x * x) / x.len() as f32 + eps).sqrt()
}

/// `x/√(mean(x²) + eps)·weight` of every run of `weight.len()` elements in the rows of x; y is dense.
pub(in crate::tape) fn forward(y: &mut [f32], x: Matrix<'_>, weight: &[f32], eps: f32, min: usize) {
    let width = x.columns.width;
    let parts = y.par_chunks_mut(ROWS * width).enumerate().with_min_len(min);
    parts.for_each(|(i, y)| some_rows(y, x, weight, eps, i * ROWS));
}

/// With x̂ = x·r and ĝ = grad·weight: `dx = r·(ĝ − x̂·mean(ĝ·x̂))`, `dweight = Σ grad·x̂`; from `grad` to `dx` in place.
pub(in crate::tape) fn backward(
    grad: &mut [f32],
    dweight: &mut [f32],
    replace: bool,
    x: Matrix<'_>,
    weight: &[f32],
    eps: f32,
    min: usize,
) {
    let (width, d) = (x.columns.width, weight.len());
    let tasks = grad.par_chunks_mut(ROWS * width).enumerate().with_min_len(min);
    let parts: Vec<Vec<f32>> = tasks
        .map(|(i, grad)| {
            let mut part = vec![0f32; d];
            some_slopes(grad, &mut part, x, weight, eps, i * ROWS);
            part
        })
        .collect();
    if replace {
        dweight.fill(0.0);
    }
    for part in parts {
        dweight.iter_mut().zip(part).for_each(|(sum, x)| *sum += x);
    }
}

vectorised! {
    fn some_rows<'a>(y: &'a mut [f32], x: Matrix<'a>, weight: &'a [f32], eps: f32, first: usize) {
        let d = weight.len();
        for (row, y) in (first..).zip(y.chunks_exact_mut(x.columns.width)) {
            for (y, x) in y.chunks_exact_mut(d).zip(x.row(row).chunks_exact(d)) {
                let r = reciprocal(x, eps);
                for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                    *y = x * r * w;
                }
            }
        }
    }

    fn some_slopes<'a>(
        grad: &'a mut [f32],
        dweight: &'a mut [f32],
        x: Matrix<'a>,
        weight: &'a [f32],
        eps: f32,
        first: usize,
    ) {
        let d = weight.len();
        for (row, grad) in (first..).zip(grad.chunks_exact_mut(x.columns.width)) {
            for (grad, x) in grad.chunks_exact_mut(d).zip(x.row(row).chunks_exact(d)) {
                run(grad, dweight, x, weight, eps);
            }
        }
    }
}

#[inline(always)]
fn run(grad: &mut [f32], dweight: &mut [f32], x: &[f32], weight: &[f32], eps: f32) {
    let r = reciprocal(x, eps);
    for (((dweight, grad), &x), &w) in dweight.iter_mut().zip(grad.iter_mut()).zip(x).zip(weight) {
        *dweight += *grad * x * r;
        *grad *= w;
    }
    let mean = r * sum2(grad, x, |g, x| g * x) / x.len() as f32;
    for (grad, &x) in grad.iter_mut().zip(x) {
        *grad = r * (*grad - x * r * mean);
    }
}
