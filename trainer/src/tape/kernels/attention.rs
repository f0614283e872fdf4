//! Attention that keeps no matrix of scores: a tile of rows at a time, forward and again in the backward pass.
//!
//! What is kept is the logarithm of each row's sum (Dao 2022, "FlashAttention"), from which the backward pass makes the
//! weights again.

use super::{exp, gemm, max, sum, sum2, view};
use crate::tape::tensor::{Columns, Matrix};
use faer::prelude::ReborrowMut;
use faer::{MatMut, MatRef};
use rayon::prelude::*;

/// Queries of a tile: its scores against some thousand keys stay in the second-level cache.
const TILE: usize = 128;

/// Sizes of an attention.
#[derive(Clone, Copy)]
pub(in crate::tape) struct Dims {
    /// Tokens that ask, q and the output.
    pub(in crate::tape) queries: usize,
    /// Tokens that they see, k and v.
    pub(in crate::tape) keys: usize,
    pub(in crate::tape) heads: usize,
    /// Width of a head of q and k.
    pub(in crate::tape) width: usize,
    /// Width of a head of v and of the output.
    pub(in crate::tape) value: usize,
}

impl Dims {
    fn scale(self) -> f32 {
        (self.width as f32).powf(-0.5)
    }

    /// One head of one example: of matrices (B·tokens, heads·width), number `i` of (B, heads).
    fn head<'a>(self, x: &Matrix<'a>, i: usize, tokens: usize) -> MatRef<'a, f32> {
        let (example, head, width) = (i / self.heads, i % self.heads, x.columns.width / self.heads);
        let columns = Columns { start: x.columns.start + head * width, width, ..x.columns };
        view(&Matrix { columns, ..*x }, example * tokens..(example + 1) * tokens)
    }

    /// The head `i` of q, of k and of v.
    fn heads_of<'a>(self, [q, k, v]: &[Matrix<'a>; 3], i: usize) -> [MatRef<'a, f32>; 3] {
        [self.head(q, i, self.queries), self.head(k, i, self.keys), self.head(v, i, self.keys)]
    }

    /// Every head of every example, to be written side by side.
    fn heads_mut(self, x: &mut [f32], width: usize, tokens: usize) -> Vec<MatMut<'_, f32>> {
        let mut heads = Vec::new();
        for example in x.chunks_exact_mut(tokens * self.heads * width) {
            let mut rest = super::view_mut(example, self.heads * width);
            for _ in 0..self.heads {
                let (head, others) = rest.split_at_col_mut(width);
                heads.push(head);
                rest = others;
            }
        }
        heads
    }
}

/// q (B·queries, heads·width), k (B·keys, heads·width), v (B·keys, heads·value) → y (B·queries, heads·value); `logs` (B,
/// heads, queries).
pub(in crate::tape) fn forward(
    y: &mut [f32],
    logs: &mut [f32],
    qkv: [Matrix<'_>; 3],
    dims: Dims,
    min: usize,
) {
    let (m, n) = (dims.queries, dims.keys);
    let heads = dims.heads_mut(y, dims.value, m).into_par_iter().zip(logs.par_chunks_mut(m)).enumerate();
    heads.with_min_len(min).for_each_init(
        || vec![0f32; TILE.min(m) * n],
        |tile, (i, (mut y, logs))| {
            let [q, k, v] = dims.heads_of(&qkv, i);
            for start in (0..m).step_by(TILE) {
                let rows = TILE.min(m - start);
                let scores = &mut tile[..rows * n];
                gemm(super::view_mut(scores, n), true, q.subrows(start, rows), k.transpose(), dims.scale());
                softmax(scores, &mut logs[start..start + rows]);
                let weights = view(&Matrix::dense(scores, n), 0..rows);
                gemm(y.rb_mut().subrows_mut(start, rows), true, weights, v, 1.0);
            }
        },
    );
}

vectorised! {
    /// Scores to weights, row by row.
    fn softmax<'a>(scores: &'a mut [f32], logs: &'a mut [f32]) {
        let n = scores.len() / logs.len();
        for (row, log) in scores.chunks_exact_mut(n).zip(logs) {
            let largest = max(row);
            row.iter_mut().for_each(|x| *x = exp(*x - largest));
            let total = sum(row, |x| x);
            let norm = 1.0 / total;
            row.iter_mut().for_each(|x| *x *= norm);
            *log = largest + total.ln();
        }
    }

    /// Scores to weights once more, and the gradients of weights to those of scores; rows of a head from row `first`.
    fn slopes_of<'a>(
        weights: &'a mut [f32],
        slopes: &'a mut [f32],
        logs: &'a [f32],
        y: Matrix<'a>,
        grad: Matrix<'a>,
        first: usize,
    ) {
        let n = weights.len() / logs.len();
        let rows = weights.chunks_exact_mut(n).zip(slopes.chunks_exact_mut(n)).zip(logs);
        for (row, ((weights, slopes), &log)) in (first..).zip(rows) {
            let mean = sum2(grad.row(row), y.row(row), |g, y| g * y);
            for (weight, slope) in weights.iter_mut().zip(slopes) {
                *weight = exp(*weight - log);
                *slope = *weight * (*slope - mean);
            }
        }
    }
}

/// What the backward pass reads.
pub(in crate::tape) struct Saved<'a> {
    pub(in crate::tape) qkv: [Matrix<'a>; 3],
    pub(in crate::tape) y: &'a [f32],
    pub(in crate::tape) logs: &'a [f32],
}

/// With P the weights and D = Σ grad·y of a row: dV = Pᵀ·grad, dS = P·(grad·Vᵀ − D), dQ = scale·dS·K, dK = scale·dSᵀ·Q.
pub(in crate::tape) fn backward(
    [dq, dk, dv]: [&mut [f32]; 3],
    saved: &Saved<'_>,
    grad: &[f32],
    dims: Dims,
    min: usize,
) {
    let (m, n, width) = (dims.queries, dims.keys, dims.heads * dims.value);
    let (y, grad) = (Matrix::dense(saved.y, width), Matrix::dense(grad, width));
    let (dq, dk) = (dims.heads_mut(dq, dims.width, m), dims.heads_mut(dk, dims.width, n));
    let parts = dq.into_par_iter().zip(dk).zip(dims.heads_mut(dv, dims.value, n)).enumerate();
    parts.with_min_len(min).for_each_init(
        || (vec![0f32; TILE.min(m) * n], vec![0f32; TILE.min(m) * n]),
        |(weights, slopes), (i, ((mut dq, mut dk), mut dv))| {
            let [q, k, v] = dims.heads_of(&saved.qkv, i);
            let heads = dims.head(&grad, i, m);
            let (example, head) = (i / dims.heads, i % dims.heads);
            let columns = Columns { of: width, start: head * dims.value, width: dims.value };
            let [y, grad_head] = [y, grad].map(|x| Matrix { columns, ..x });
            for start in (0..m).step_by(TILE) {
                let rows = TILE.min(m - start);
                let (weights, slopes) = (&mut weights[..rows * n], &mut slopes[..rows * n]);
                let (q, grad_rows) = (q.subrows(start, rows), heads.subrows(start, rows));
                gemm(super::view_mut(weights, n), true, q, k.transpose(), dims.scale());
                gemm(super::view_mut(slopes, n), true, grad_rows, v.transpose(), 1.0);
                let first = example * m + start;
                let logs = &saved.logs[i * m + start..][..rows];
                slopes_of(weights, slopes, logs, y, grad_head, first);
                let weights = view(&Matrix::dense(weights, n), 0..rows);
                let slopes = view(&Matrix::dense(slopes, n), 0..rows);
                gemm(dv.rb_mut(), start == 0, weights.transpose(), grad_rows, 1.0);
                gemm(dq.rb_mut().subrows_mut(start, rows), true, slopes, k, dims.scale());
                gemm(dk.rb_mut(), start == 0, slopes.transpose(), q, dims.scale());
            }
        },
    );
}
