//! RMS norm over the last dimension with a learned weight.

use super::kernel::values;
use candle_core::{CpuStorage, CustomOp2, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// `x/√(mean(x²) + eps)·weight`, x (…, d), weight (d).
pub(super) struct RmsNorm {
    pub(super) eps: f32,
}

fn reciprocal_rms(x: &[f32], eps: f32) -> f32 {
    1.0 / (x.iter().map(|x| x * x).sum::<f32>() / x.len() as f32 + eps).sqrt()
}

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight) = (values(s1, l1)?, values(s2, l2)?);
        let d = weight.len();
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(d).zip(x.par_chunks(d)).with_min_len(256).for_each(|(y, x)| {
            let r = reciprocal_rms(x, self.eps);
            for ((y, x), w) in y.iter_mut().zip(x).zip(weight) {
                *y = x * r * w;
            }
        });
        Ok((CpuStorage::F32(y), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _y: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let all = x.apply_op3_no_bwd(weight, &grad.contiguous()?, &RmsBackward { eps: self.eps })?; // [dx | dweight]
        let dx = all.narrow(0, 0, x.elem_count())?.reshape(x.shape())?;
        let dweight = all.narrow(0, x.elem_count(), weight.elem_count())?;
        Ok((Some(dx), Some(dweight)))
    }
}

struct RmsBackward {
    eps: f32,
}

impl CustomOp3 for RmsBackward {
    fn name(&self) -> &'static str {
        "rms-norm-backward"
    }

    /// With x̂ = x·r and ĝ = grad·weight: dx = r·(ĝ − x̂·mean(ĝ·x̂)), dweight = Σ grad·x̂.
    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, weight, grad) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let d = weight.len();
        let mut out = vec![0f32; x.len() + d];
        let (dx, dweight) = out.split_at_mut(x.len());
        for ((dx, x), grad) in dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(grad.chunks_exact(d)) {
            let r = reciprocal_rms(x, self.eps);
            let mut mean = 0f32;
            for i in 0..d {
                dweight[i] += grad[i] * x[i] * r;
                mean += grad[i] * weight[i] * x[i] * r;
            }
            mean /= d as f32;
            for i in 0..d {
                dx[i] = r * (grad[i] * weight[i] - x[i] * r * mean);
            }
        }
        let len = out.len();
        Ok((CpuStorage::F32(out), Shape::from(len)))
    }
}

/// The same from Candle's own differentiable operations.
pub(super) fn decomposed(x: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let mean = x.sqr()?.mean_keepdim(D::Minus1)?;
    x.broadcast_div(&(mean + eps)?.sqrt()?)?.broadcast_mul(weight)
}
