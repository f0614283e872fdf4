//! Attention over all tokens, with a differentiable softmax.

use super::kernel::{exp, values};
use candle_core::{CpuStorage, CustomOp1, CustomOp2, D, DType, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// q (B, tokens, heads, d), k (B, others, heads, d), v (B, others, heads, e) → (B, tokens, heads·e).
pub(super) fn attention(q: &Tensor, k: &Tensor, v: &Tensor, fused: bool) -> Result<Tensor> {
    let ((batch, tokens, heads, d), (_, _, _, e)) = (q.dims4()?, v.dims4()?);
    let by_head = |x: &Tensor| x.transpose(1, 2)?.contiguous(); // (B, heads, tokens, d)
    let (q, k, v) = (by_head(q)?, by_head(k)?, by_head(v)?);
    let scale = (d as f64).powf(-0.5);
    let scores = q.matmul(&k.t()?)?; // (B, heads, tokens, others)
    let weights = if fused {
        scores.apply_op1(ScaledSoftmax { scale: scale as f32 })?
    } else {
        let scores = (scores.to_dtype(DType::F32)? * scale)?;
        let shifted = scores.broadcast_sub(&scores.max_keepdim(D::Minus1)?.detach())?.exp()?;
        shifted.broadcast_div(&shifted.sum_keepdim(D::Minus1)?)?.to_dtype(v.dtype())?
    };
    weights.matmul(&v)?.transpose(1, 2)?.reshape((batch, tokens, heads * e))
}

/// softmax(scale·x) over the last dimension.
struct ScaledSoftmax {
    scale: f32,
}

impl CustomOp1 for ScaledSoftmax {
    fn name(&self) -> &'static str {
        "scaled-softmax"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let n = layout.shape().dims().last().copied().unwrap_or(1);
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(n).zip(x.par_chunks(n)).with_min_len(64).for_each(|(y, x)| {
            let max = x.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x));
            for (y, &x) in y.iter_mut().zip(x) {
                *y = exp(self.scale * (x - max));
            }
            let norm = 1.0 / y.iter().sum::<f32>();
            y.iter_mut().for_each(|y| *y *= norm);
        });
        Ok((CpuStorage::F32(y), layout.shape().clone()))
    }

    fn bwd(&self, _x: &Tensor, y: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(y.apply_op2_no_bwd(&grad.contiguous()?, &SoftmaxBackward { scale: self.scale })?))
    }
}

/// dx = scale·y·(grad − Σ grad·y).
struct SoftmaxBackward {
    scale: f32,
}

impl CustomOp2 for SoftmaxBackward {
    fn name(&self) -> &'static str {
        "scaled-softmax-backward"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (y, grad) = (values(s1, l1)?, values(s2, l2)?);
        let n = l1.shape().dims().last().copied().unwrap_or(1);
        let mut dx = vec![0f32; y.len()];
        dx.par_chunks_mut(n).zip(y.par_chunks(n)).zip(grad.par_chunks(n)).with_min_len(64).for_each(
            |((dx, y), grad)| {
                let dot: f32 = y.iter().zip(grad).map(|(y, g)| y * g).sum();
                for ((dx, y), g) in dx.iter_mut().zip(y).zip(grad) {
                    *dx = self.scale * y * (g - dot);
                }
            },
        );
        Ok((CpuStorage::F32(dx), l1.shape().clone()))
    }
}
