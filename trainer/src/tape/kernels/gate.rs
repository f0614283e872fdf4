//! `x + gate·y` with the gate kept once per cell.

use crate::tape::tensor::Matrix;
use rayon::prelude::*;

/// Tokens that one task works through.
const TOKENS: usize = 64;

/// The gate: a row for each cell, `rows[i]` that of token i of an example.
#[derive(Clone, Copy)]
pub(in crate::tape) struct Gate<'a> {
    pub(in crate::tape) values: Matrix<'a>,
    pub(in crate::tape) rows: &'a [usize],
    /// Cells of an example.
    pub(in crate::tape) count: usize,
}

/// x, y, out (B·tokens, d).
pub(in crate::tape) fn forward(out: &mut [f32], x: &[f32], y: &[f32], d: usize, gate: &Gate<'_>, min: usize) {
    let size = TOKENS * d;
    let parts = out.par_chunks_mut(size).zip(x.par_chunks(size)).zip(y.par_chunks(size)).enumerate();
    parts.with_min_len(min).for_each(|(i, ((out, x), y))| some_tokens(out, x, y, d, gate, i * TOKENS));
}

/// `dy = gate·grad`; `dgate += grad·y` (B·cells, d).
pub(in crate::tape) fn backward(
    dy: &mut [f32],
    dgate: &mut [f32],
    grad: &[f32],
    y: &[f32],
    d: usize,
    gate: &Gate<'_>,
    min: usize,
) {
    let (size, cells) = (gate.rows.len() * d, gate.count * d);
    let parts = dy.par_chunks_mut(size).zip(dgate.par_chunks_mut(cells));
    let parts = parts.zip(grad.par_chunks(size)).zip(y.par_chunks(size)).enumerate();
    parts.with_min_len(min).for_each(|(example, (((dy, dgate), grad), y))| {
        an_example(dy, dgate, grad, y, d, gate, example * gate.count);
    });
}

vectorised! {
    fn some_tokens<'a>(
        out: &'a mut [f32],
        x: &'a [f32],
        y: &'a [f32],
        d: usize,
        gate: &'a Gate<'a>,
        first: usize,
    ) {
        let tokens = out.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(y.chunks_exact(d));
        for (token, ((out, x), y)) in (first..).zip(tokens) {
            let row = token / gate.rows.len() * gate.count + gate.rows[token % gate.rows.len()];
            let gate = gate.values.row(row);
            for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                *out = x + gate * y;
            }
        }
    }

    /// The gates of an example begin at row `first`.
    fn an_example<'a>(
        dy: &'a mut [f32],
        dgate: &'a mut [f32],
        grad: &'a [f32],
        y: &'a [f32],
        d: usize,
        gate: &'a Gate<'a>,
        first: usize,
    ) {
        let tokens = dy.chunks_exact_mut(d).zip(grad.chunks_exact(d)).zip(y.chunks_exact(d));
        for (((dy, grad), y), &row) in tokens.zip(gate.rows) {
            let dgate = &mut dgate[row * d..(row + 1) * d];
            let gate = gate.values.row(first + row);
            for ((((dy, dgate), &g), &y), &gate) in dy.iter_mut().zip(dgate).zip(grad).zip(y).zip(gate) {
                *dgate += g * y;
                *dy = g * gate;
            }
        }
    }
}
