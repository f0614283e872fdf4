//! Low-rank adaptation of a layer (Hu et al. 2022): `W + scale·B·A` with A (r, in) and B (out, r).

use crate::ops::Ops;
use crate::parameters::{Init, Parameter};

/// Why factors do not fit a weight.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "low-rank factors: {a} values of A and {b} of B at rank {rank} do not make the {weight} of the weight"
)]
pub struct LoraError {
    /// Values of the weight.
    pub weight: usize,
    /// Values of A.
    pub a: usize,
    /// Values of B.
    pub b: usize,
    /// The rank that was asked for.
    pub rank: usize,
}

/// `scale·B(A·x)` with the learned matrices `{name}.A` (r, in) and `{name}.B` (out, r); x (rows, in) → (rows, out).
///
/// # Errors
/// Whatever the interpreter reports.
pub fn lora<O: Ops>(ops: &O, x: &O::Tensor, name: &str, scale: f64) -> Result<O::Tensor, O::Error> {
    let y = ops.matmul(&ops.matmul(x, &format!("{name}.A"))?, &format!("{name}.B"))?;
    if scale == 1.0 {
        return Ok(y);
    }
    ops.mul(&y, &ops.constant("lora_scale", &[], vec![scale as f32])?)
}

/// `W + scale·B·A`, rounded nowhere: the layer that computes `W·x + scale·B(A·x)` for every x. W is (out, in…), A (rank,
/// in…), B (out, rank); a convolution's kernel counts as inputs. A scale of the other sign takes a merged one apart.
///
/// # Errors
/// [`LoraError`] if the three do not belong together.
pub fn merge<T: Copy + Into<f64>>(
    weight: &[T],
    [a, b]: [&[T]; 2],
    rank: usize,
    scale: f64,
) -> Result<Vec<f64>, LoraError> {
    let fail = LoraError { weight: weight.len(), a: a.len(), b: b.len(), rank };
    let whole = |x: &[T]| !x.is_empty() && x.len().is_multiple_of(rank);
    if rank == 0
        || !whole(a)
        || !whole(b)
        || (a.len() / rank).checked_mul(b.len() / rank) != Some(weight.len())
    {
        return Err(fail);
    }
    let inputs = a.len() / rank;
    let mut merged: Vec<f64> = weight.iter().map(|&x| x.into()).collect();
    for (row, b) in merged.chunks_exact_mut(inputs).zip(b.chunks_exact(rank)) {
        for (a, &b) in a.chunks_exact(inputs).zip(b) {
            let factor = scale * b.into();
            row.iter_mut().zip(a).for_each(|(w, &a)| *w += factor * a.into());
        }
    }
    Ok(merged)
}

/// `{name}.A` (rank, in), normal of deviation 1/rank, and `{name}.B` (out, rank), zero: at the start nothing is added.
pub(crate) fn parameters(list: &mut Vec<Parameter>, name: &str, [inputs, outputs]: [usize; 2], rank: usize) {
    let init = Init::Normal(1.0 / rank as f64);
    list.push(Parameter { name: format!("{name}.A"), shape: vec![rank, inputs], init });
    list.push(Parameter { name: format!("{name}.B"), shape: vec![outputs, rank], init: Init::Zeros });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_merged_weight_is_taken_apart_by_the_other_sign() {
        let (weight, a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, -1.0], [2.0, 3.0]);
        let merged = merge(&weight, [&a, &b], 1, 0.5).unwrap();
        assert_eq!(merged, [2.0, 2.0, 2.0, 5.5, 5.0, 4.5]);
        assert_eq!(merge(&merged, [&a, &b], 1, -0.5).unwrap(), weight);
    }

    #[test]
    fn factors_that_do_not_make_the_weight_are_refused_with_their_sizes() {
        for (a, b, rank) in [(3, 2, 2), (3, 2, 0), (4, 2, 1), (0, 2, 1)] {
            let error = merge(&[0f32; 6], [&vec![0.0; a], &vec![0.0; b]], rank, 1.0).unwrap_err();
            assert_eq!(error, LoraError { weight: 6, a, b, rank });
        }
    }
}
