//! Adding a bias to every row; the gradient of the bias is the sum over rows.

use super::kernel::values;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// `x + b`, x (rows, out), b (out).
pub(super) struct BiasAdd;

impl CustomOp2 for BiasAdd {
    fn name(&self) -> &'static str {
        "bias-add"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, bias) = (values(s1, l1)?, values(s2, l2)?);
        let mut y = vec![0f32; x.len()];
        let width = bias.len();
        y.par_chunks_mut(width).zip(x.par_chunks(width)).with_min_len(64).for_each(|(y, x)| {
            for ((y, x), b) in y.iter_mut().zip(x).zip(bias) {
                *y = x + b;
            }
        });
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(
        &self,
        _x: &Tensor,
        _bias: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let sum = grad.apply_op1_no_bwd(&ColumnSum)?;
        Ok((Some(grad), Some(sum)))
    }
}

/// (rows, width) → (width).
struct ColumnSum;

impl CustomOp1 for ColumnSum {
    fn name(&self) -> &'static str {
        "column-sum"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let (_, width) = layout.shape().dims2()?;
        let mut sum = vec![0f32; width];
        for row in x.chunks_exact(width) {
            for (sum, x) in sum.iter_mut().zip(row) {
                *sum += x;
            }
        }
        Ok((CpuStorage::F32(sum), Shape::from(width)))
    }
}
