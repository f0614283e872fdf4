//! `y = x·Wᵀ + b` and its gradients.

use super::{gemm, view, view_mut};
use crate::tape::tensor::{Columns, Matrix};
use rayon::prelude::*;

/// Rows of x that one task multiplies.
const ROWS: usize = 256;
/// Rows of the weight's gradient that one task sums.
const OUTPUTS: usize = 128;

fn weight_view(weight: &[f32], inputs: usize) -> Matrix<'_> {
    Matrix::dense(weight, inputs)
}

/// x (rows, in), weight (out, in), y (rows, out).
pub(in crate::tape) fn forward(
    y: &mut [f32],
    x: Matrix<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    min: usize,
) {
    let inputs = x.columns.width;
    let outputs = weight.len() / inputs;
    let weight = weight_view(weight, inputs);
    y.par_chunks_mut(ROWS * outputs).enumerate().with_min_len(min).for_each(|(i, y)| {
        let rows = i * ROWS..i * ROWS + y.len() / outputs;
        if let Some(bias) = bias {
            y.chunks_exact_mut(outputs).for_each(|y| y.copy_from_slice(bias));
        }
        let (y, x) = (view_mut(y, outputs), view(&x, rows));
        gemm(y, bias.is_none(), x, view(&weight, 0..outputs).transpose(), 1.0);
    });
}

/// `dx = grad·W`, in place of what is there or on top of it.
pub(in crate::tape) fn input(
    dx: &mut [f32],
    replace: bool,
    grad: &[f32],
    weight: &[f32],
    inputs: usize,
    min: usize,
) {
    let outputs = weight.len() / inputs;
    let (grad, weight) = (Matrix::dense(grad, outputs), weight_view(weight, inputs));
    dx.par_chunks_mut(ROWS * inputs).enumerate().with_min_len(min).for_each(|(i, dx)| {
        let rows = i * ROWS..i * ROWS + dx.len() / inputs;
        gemm(view_mut(dx, inputs), replace, view(&grad, rows), view(&weight, 0..outputs), 1.0);
    });
}

/// `dW = gradᵀ·x`, in place of what is there or on top of it.
pub(in crate::tape) fn weight(dw: &mut [f32], replace: bool, grad: &[f32], x: Matrix<'_>, min: usize) {
    let inputs = x.columns.width;
    let outputs = dw.len() / inputs;
    dw.par_chunks_mut(OUTPUTS * inputs).enumerate().with_min_len(min).for_each(|(i, dw)| {
        let columns = Columns { of: outputs, start: i * OUTPUTS, width: dw.len() / inputs };
        let grad = Matrix { values: grad, rows: x.rows, columns };
        gemm(view_mut(dw, inputs), replace, view(&grad, 0..x.rows).transpose(), view(&x, 0..x.rows), 1.0);
    });
}

/// `db = Σ grad` over the rows, in place of what is there or on top of it.
pub(in crate::tape) fn bias(db: &mut [f32], replace: bool, grad: &[f32], min: usize) {
    let outputs = db.len();
    db.par_chunks_mut(OUTPUTS).enumerate().with_min_len(min).for_each(|(i, db)| {
        if replace {
            db.fill(0.0);
        }
        add_rows(db, grad, outputs, i * OUTPUTS);
    });
}

vectorised! {
    /// `sum += Σ row` over some columns of the rows.
    fn add_rows<'a>(sum: &'a mut [f32], rows: &'a [f32], of: usize, start: usize) {
        for row in rows.chunks_exact(of) {
            sum.iter_mut().zip(&row[start..]).for_each(|(sum, x)| *sum += x);
        }
    }
}
