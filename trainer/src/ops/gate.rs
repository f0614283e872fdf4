//! `x + gate·y` with the gate kept once per cell.

use super::kernel::values;
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use rayon::prelude::*;
use std::sync::Arc;

/// x, y (B, tokens, D); gate (B, R, D), token i takes row `rows[i]`.
pub(super) struct GateAdd {
    pub(super) rows: Arc<[usize]>,
}

impl CustomOp3 for GateAdd {
    fn name(&self) -> &'static str {
        "gate-add"
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
        let (x, gate, y) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let ((_, tokens, d), (_, r, _)) = (l1.shape().dims3()?, l2.shape().dims3()?);
        let mut out = vec![0f32; x.len()];
        let (tokens_len, rows_len) = (tokens * d, r * d);
        out.par_chunks_mut(tokens_len)
            .zip(x.par_chunks(tokens_len))
            .zip(y.par_chunks(tokens_len))
            .zip(gate.par_chunks(rows_len))
            .for_each(|(((out, x), y), gate)| {
                let tokens = out
                    .chunks_exact_mut(d)
                    .zip(x.chunks_exact(d))
                    .zip(y.chunks_exact(d))
                    .zip(self.rows.iter());
                for (((out, x), y), &row) in tokens {
                    let gate = &gate[row * d..(row + 1) * d];
                    for (((out, x), y), gate) in out.iter_mut().zip(x).zip(y).zip(gate) {
                        *out = x + gate * y;
                    }
                }
            });
        Ok((CpuStorage::F32(out), l1.shape().clone()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        gate: &Tensor,
        y: &Tensor,
        _out: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let grad = grad.contiguous()?;
        let backward = GateBackward { rows: self.rows.clone() };
        let both = gate.apply_op3_no_bwd(y, &grad, &backward)?; // [dgate | dy]
        let dgate = both.narrow(0, 0, gate.elem_count())?.reshape(gate.shape())?;
        let dy = both.narrow(0, gate.elem_count(), x.elem_count())?.reshape(x.shape())?;
        Ok((Some(grad), Some(dgate), Some(dy)))
    }
}

struct GateBackward {
    rows: Arc<[usize]>,
}

impl CustomOp3 for GateBackward {
    fn name(&self) -> &'static str {
        "gate-add-backward"
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
        let (gate, y, grad) = (values(s1, l1)?, values(s2, l2)?, values(s3, l3)?);
        let ((_, r, d), (_, tokens, _)) = (l1.shape().dims3()?, l2.shape().dims3()?);
        let mut out = vec![0f32; gate.len() + y.len()];
        let (dgate, dy) = out.split_at_mut(gate.len());
        let (tokens_len, rows_len) = (tokens * d, r * d);
        dgate
            .par_chunks_mut(rows_len)
            .zip(dy.par_chunks_mut(tokens_len))
            .zip(gate.par_chunks(rows_len))
            .zip(y.par_chunks(tokens_len))
            .zip(grad.par_chunks(tokens_len))
            .for_each(|((((dgate, dy), gate), y), grad)| {
                let tokens = dy
                    .chunks_exact_mut(d)
                    .zip(y.chunks_exact(d))
                    .zip(grad.chunks_exact(d))
                    .zip(self.rows.iter());
                for (((dy, y), grad), &row) in tokens {
                    let gate = &gate[row * d..(row + 1) * d];
                    let dgate = &mut dgate[row * d..(row + 1) * d];
                    for i in 0..d {
                        dgate[i] += grad[i] * y[i];
                        dy[i] = grad[i] * gate[i];
                    }
                }
            });
        let len = out.len();
        Ok((CpuStorage::F32(out), Shape::from(len)))
    }
}
