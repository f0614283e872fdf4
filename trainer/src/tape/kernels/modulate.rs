//! `layer_norm(x)·(1 + scale) + shift` with shift and scale kept once per cell.

use super::{sum, sum2, sum3};
use crate::tape::tensor::Matrix;
use rayon::prelude::*;

/// Tokens that one task works through.
const TOKENS: usize = 64;

/// Mean and reciprocal standard deviation.
#[inline(always)]
fn statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = sum(x, |x| x) / n;
    let variance = sum(x, |x| (x - mean) * (x - mean)) / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

/// Shift and scale: rows of a cell each, `rows[i]` that of token i of an example.
#[derive(Clone, Copy)]
pub(in crate::tape) struct Cells<'a> {
    pub(in crate::tape) shift: Matrix<'a>,
    pub(in crate::tape) scale: Matrix<'a>,
    pub(in crate::tape) rows: &'a [usize],
    /// Cells of an example.
    pub(in crate::tape) count: usize,
    pub(in crate::tape) eps: f32,
}

impl Cells<'_> {
    /// The row of a token of the batch.
    #[inline(always)]
    fn row(&self, token: usize) -> usize {
        token / self.rows.len() * self.count + self.rows[token % self.rows.len()]
    }
}

/// x, y (B·tokens, d).
pub(in crate::tape) fn forward(y: &mut [f32], x: &[f32], d: usize, cells: &Cells<'_>, min: usize) {
    let parts = y.par_chunks_mut(TOKENS * d).zip(x.par_chunks(TOKENS * d)).enumerate();
    parts.with_min_len(min).for_each(|(i, (y, x))| some_tokens(y, x, d, cells, i * TOKENS));
}

/// Where the gradients go; those of shift and scale (B·cells, d) are zeros before.
pub(in crate::tape) struct Into<'a> {
    pub(in crate::tape) x: &'a mut [f32],
    /// Whether the gradient of x takes the place of what is there.
    pub(in crate::tape) replace: bool,
    pub(in crate::tape) shift: &'a mut [f32],
    pub(in crate::tape) scale: &'a mut [f32],
}

/// One example a task. Of a token, with ĝ = grad·(1 + scale): dx = rstd·(ĝ − mean(ĝ) − x̂·mean(ĝ·x̂)).
pub(in crate::tape) fn backward(
    into: Into<'_>,
    grad: &[f32],
    x: &[f32],
    d: usize,
    cells: &Cells<'_>,
    min: usize,
) {
    let (tokens, rows) = (cells.rows.len(), cells.count);
    let replace = into.replace;
    let gradients = into.x.par_chunks_mut(tokens * d);
    let gradients =
        gradients.zip(into.shift.par_chunks_mut(rows * d)).zip(into.scale.par_chunks_mut(rows * d));
    let parts = gradients.zip(grad.par_chunks(tokens * d)).zip(x.par_chunks(tokens * d)).enumerate();
    parts.with_min_len(min).for_each(|(example, ((((dx, dshift), dscale), grad), x))| {
        let first = example * rows;
        an_example(Into { x: dx, replace, shift: dshift, scale: dscale }, grad, x, d, cells, first);
    });
}

vectorised! {
    fn some_tokens<'a>(y: &'a mut [f32], x: &'a [f32], d: usize, cells: &'a Cells<'a>, first: usize) {
        for (token, (y, x)) in (first..).zip(y.chunks_exact_mut(d).zip(x.chunks_exact(d))) {
            let (mean, rstd) = statistics(x, cells.eps);
            let row = cells.row(token);
            let (shift, scale) = (cells.shift.row(row), cells.scale.row(row));
            for (((y, x), shift), scale) in y.iter_mut().zip(x).zip(shift).zip(scale) {
                *y = (x - mean) * rstd * (1.0 + scale) + shift;
            }
        }
    }

    /// The cells of an example begin at row `first`.
    fn an_example<'a>(into: Into<'a>, grad: &'a [f32], x: &'a [f32], d: usize, cells: &'a Cells<'a>, first: usize) {
        let tokens = into.x.chunks_exact_mut(d).zip(grad.chunks_exact(d)).zip(x.chunks_exact(d));
        for (((dx, grad), x), &row) in tokens.zip(cells.rows) {
            let scale = cells.scale.row(first + row);
            let cell = row * d..(row + 1) * d;
            let slopes = (&mut into.shift[cell.clone()], &mut into.scale[cell]);
            token(dx, into.replace, slopes, grad, x, scale, cells.eps);
        }
    }
}

#[inline(always)]
fn token(
    dx: &mut [f32],
    replace: bool,
    (dshift, dscale): (&mut [f32], &mut [f32]),
    grad: &[f32],
    x: &[f32],
    scale: &[f32],
    eps: f32,
) {
    let (mean, rstd) = statistics(x, eps);
    let n = x.len() as f32;
    for (((dshift, dscale), &g), &x) in dshift.iter_mut().zip(dscale.iter_mut()).zip(grad).zip(x) {
        *dshift += g;
        *dscale += g * ((x - mean) * rstd);
    }
    let scaled = sum2(grad, scale, |g, s| g * (1.0 + s)) / n;
    let along = sum3(grad, scale, x, |g, s, x| g * (1.0 + s) * ((x - mean) * rstd)) / n;
    for (((dx, &g), &s), &x) in dx.iter_mut().zip(grad).zip(scale).zip(x) {
        let slope = rstd * (g * (1.0 + s) - scaled - (x - mean) * rstd * along);
        *dx = if replace { slope } else { *dx + slope };
    }
}
