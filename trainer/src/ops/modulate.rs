//! `layer_norm(x)·(1 + scale) + shift` with shift and scale kept once per cell.

use super::kernel::values;
use candle_core::{CpuStorage, CustomOp3, D, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

/// x (B, tokens, D); shift, scale (B, R, D), token i takes row `rows[i]`.
pub(super) struct Modulate {
    pub(super) rows: Arc<[usize]>,
    pub(super) eps: f32,
}

/// Mean and reciprocal standard deviation.
fn statistics(x: &[f32], eps: f32) -> (f32, f32) {
    let n = x.len() as f32;
    let mean = x.iter().sum::<f32>() / n;
    let variance = x.iter().map(|x| (x - mean) * (x - mean)).sum::<f32>() / n;
    (mean, 1.0 / (variance + eps).sqrt())
}

impl CustomOp3 for Modulate {
    fn name(&self) -> &'static str {
        "modulate"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, shift, scale) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let ((_, tokens, d), (_, r, _)) = (l1.shape().dims3()?, l2.shape().dims3()?);
        let mut out = vec![0f32; x.len()];
        out.par_chunks_mut(tokens * d)
            .zip(x.par_chunks(tokens * d))
            .zip(shift.par_chunks(r * d))
            .zip(scale.par_chunks(r * d))
            .for_each(|(((out, x), shift), scale)| {
                for ((out, x), &row) in out.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(self.rows.iter()) {
                    let (mean, rstd) = statistics(x, self.eps);
                    let (shift, scale) = (&shift[row * d..(row + 1) * d], &scale[row * d..(row + 1) * d]);
                    for i in 0..d {
                        out[i] = (x[i] - mean) * rstd * (1.0 + scale[i]) + shift[i];
                    }
                }
            });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        shift: &Tensor,
        scale: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let backward = ModulateBackward { rows: self.rows.clone(), eps: self.eps };
        let all = x.apply_op3_no_bwd(scale, &grad.contiguous()?, &backward)?; // [dx | dshift | dscale]
        let (nx, nr) = (x.elem_count(), shift.elem_count());
        let dx = all.narrow(0, 0, nx)?.reshape(x.shape())?;
        let dshift = all.narrow(0, nx, nr)?.reshape(shift.shape())?;
        let dscale = all.narrow(0, nx + nr, nr)?.reshape(shift.shape())?;
        Ok((Some(dx), Some(dshift), Some(dscale)))
    }
}

struct ModulateBackward {
    rows: Arc<[usize]>,
    eps: f32,
}

impl ModulateBackward {
    /// One token: ĝ = grad·(1 + scale), dx = rstd·(ĝ − mean(ĝ) − x̂·mean(ĝ·x̂)).
    fn token(
        &self,
        dx: &mut [f32],
        dshift: &mut [f32],
        dscale: &mut [f32],
        x: &[f32],
        scale: &[f32],
        grad: &[f32],
    ) {
        let (mean, rstd) = statistics(x, self.eps);
        let (mut sum, mut sum_x) = (0f32, 0f32);
        for i in 0..x.len() {
            let normed = (x[i] - mean) * rstd;
            let scaled = grad[i] * (1.0 + scale[i]);
            dshift[i] += grad[i];
            dscale[i] += grad[i] * normed;
            sum += scaled;
            sum_x += scaled * normed;
        }
        let n = x.len() as f32;
        for i in 0..x.len() {
            let normed = (x[i] - mean) * rstd;
            dx[i] = rstd * (grad[i] * (1.0 + scale[i]) - sum / n - normed * sum_x / n);
        }
    }
}

impl CustomOp3 for ModulateBackward {
    fn name(&self) -> &'static str {
        "modulate-backward"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
        s3: &CpuStorage,
        l3: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, scale, grad) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let ((_, tokens, d), (_, r, _)) = (l1.shape().dims3()?, l2.shape().dims3()?);
        let mut out = vec![0f32; x.len() + 2 * scale.len()];
        let (dx, rest) = out.split_at_mut(x.len());
        let (dshift, dscale) = rest.split_at_mut(scale.len());
        dx.par_chunks_mut(tokens * d)
            .zip(dshift.par_chunks_mut(r * d))
            .zip(dscale.par_chunks_mut(r * d))
            .zip(x.par_chunks(tokens * d))
            .zip(scale.par_chunks(r * d))
            .zip(grad.par_chunks(tokens * d))
            .for_each(|(((((dx, dshift), dscale), x), scale), grad)| {
                let tokens = dx.chunks_exact_mut(d).zip(x.chunks_exact(d)).zip(grad.chunks_exact(d));
                for (((dx, x), grad), &row) in tokens.zip(self.rows.iter()) {
                    let cell = row * d..(row + 1) * d;
                    self.token(
                        dx,
                        &mut dshift[cell.clone()],
                        &mut dscale[cell.clone()],
                        x,
                        &scale[cell],
                        grad,
                    );
                }
            });
        let len = out.len();
        Ok((CpuStorage::F32(out), Shape::from(len)))
    }
}

/// The same from Candle's own differentiable operations; all three (B, tokens, D).
pub(super) fn decomposed(x: &Tensor, shift: &Tensor, scale: &Tensor, eps: f64) -> Result<Tensor> {
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    (normed * (scale + 1.0)?)? + shift
}
