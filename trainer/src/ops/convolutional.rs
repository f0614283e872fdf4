//! The operations of networks of convolutions, in Candle's own operations: all can be differentiated.

use super::conv::transposed;
use super::{CandleOps, CandleTensor, wide};
use avdit_nets::Window;
use avdit_nets::conv_ops::{Beyond, ConvOps, check_mirror, mirrored};
use candle_core::{D, Result, Tensor};

/// 1 / (1 + e⁻ˣ).
fn sigmoid(x: &Tensor) -> Result<Tensor> {
    ((x * 0.5)?.tanh()? * 0.5)? + 0.5
}

impl ConvOps for CandleOps<'_> {
    fn sub(&self, a: &CandleTensor, b: &CandleTensor) -> Result<CandleTensor> {
        self.binary(a, b, Tensor::broadcast_sub)
    }

    fn div(&self, a: &CandleTensor, b: &CandleTensor) -> Result<CandleTensor> {
        self.binary(a, b, Tensor::broadcast_div)
    }

    fn leaky_relu(&self, x: &CandleTensor, slope: f64) -> Result<CandleTensor> {
        let x = x.dense()?;
        Ok(CandleTensor::new((x.relu()? - (x.neg()?.relu()? * slope)?)?))
    }

    fn elu(&self, x: &CandleTensor) -> Result<CandleTensor> {
        Ok(CandleTensor::new(x.dense()?.elu(1.0)?))
    }

    fn tanh(&self, x: &CandleTensor) -> Result<CandleTensor> {
        Ok(CandleTensor::new(x.dense()?.tanh()?))
    }

    fn group_norm(&self, x: &CandleTensor, name: &str, groups: usize, eps: f64) -> Result<CandleTensor> {
        let x = wide(&x.dense()?)?;
        let dims = x.dims().to_vec();
        let (weight, bias) = (self.get(&format!("{name}.weight"))?, self.get(&format!("{name}.bias"))?);
        let channels = dims.get(1).copied().unwrap_or(0);
        if groups == 0 || !channels.is_multiple_of(groups) || weight.dims() != [channels] {
            let weight = weight.dims();
            candle_core::bail!("norm {name}: {dims:?} in {groups} groups, with a weight {weight:?}")
        }
        let grouped = x.contiguous()?.reshape((dims[0], groups, ()))?;
        let centred = grouped.broadcast_sub(&grouped.mean_keepdim(D::Minus1)?)?;
        let root = (centred.sqr()?.mean_keepdim(D::Minus1)? + eps)?.sqrt()?;
        let normed = centred.broadcast_div(&root)?.reshape((dims[0], channels, ()))?;
        let per_channel = |x: &Tensor| x.reshape((1, channels, 1));
        let y = normed.broadcast_mul(&per_channel(weight)?)?.broadcast_add(&per_channel(bias)?)?;
        Ok(CandleTensor::new(y.reshape(dims)?))
    }

    fn conv_transposed(&self, x: &CandleTensor, name: &str, window: &Window) -> Result<CandleTensor> {
        let (weight, bias) =
            (self.get(&format!("{name}.weight"))?, self.parameters.get(&format!("{name}.bias")));
        Ok(CandleTensor::new(transposed::conv(&x.dense()?, weight, bias, window, self.fused)?))
    }

    fn pad(&self, x: &CandleTensor, before: usize, after: usize, beyond: Beyond) -> Result<CandleTensor> {
        let x = x.dense()?;
        let y = match beyond {
            Beyond::Zeros => x.pad_with_zeros(D::Minus1, before, after)?,
            Beyond::Mirror => {
                let len = x.dim(D::Minus1)?;
                if let Err((expected, got)) = check_mirror(len, before, after) {
                    candle_core::bail!("pad: expected {expected}, got {got}")
                }
                let indices: Vec<u32> = mirrored(len, before, after).map(|i| i as u32).collect();
                x.contiguous()?.index_select(&Tensor::new(indices, x.device())?, D::Minus1)?
            }
        };
        Ok(CandleTensor::new(y))
    }

    fn repeat_places(&self, x: &CandleTensor, factors: &[usize]) -> Result<CandleTensor> {
        let mut x = x.dense()?.contiguous()?;
        for (d, &factor) in factors.iter().enumerate() {
            let mut dims = x.dims().to_vec();
            let Some(&size) = dims.get(d + 2) else {
                candle_core::bail!("repeat_places: {factors:?} for {dims:?}")
            };
            dims.insert(d + 3, factor);
            let repeated = x.unsqueeze(d + 3)?.broadcast_as(dims.as_slice())?;
            dims.remove(d + 3);
            dims[d + 2] = size * factor;
            x = repeated.contiguous()?.reshape(dims)?;
        }
        Ok(CandleTensor::new(x))
    }

    fn lstm(&self, x: &CandleTensor, name: &str, layer: usize) -> Result<CandleTensor> {
        let parameter = |what: &str| self.get(&format!("{name}.{what}_l{layer}"));
        let (w, r) = (parameter("weight_ih")?, parameter("weight_hh")?);
        let bias = (parameter("bias_ih")? + parameter("bias_hh")?)?;
        let x = wide(&x.dense()?)?.contiguous()?;
        let ((batch, time, inputs), (rows, cells)) = (x.dims3()?, r.dims2()?);
        if w.dims() != [rows, inputs] || rows != 4 * cells || time == 0 {
            let (x, w, r) = (x.dims(), w.dims(), r.dims());
            candle_core::bail!("lstm {name}: {x:?} with weights {w:?} and {r:?}")
        }
        let seen = x.reshape(((), inputs))?.matmul(&w.t()?)?.broadcast_add(&bias)?;
        let seen = seen.reshape((batch, time, rows))?;
        let r = r.t()?.contiguous()?;
        let mut states: Vec<Tensor> = Vec::with_capacity(time);
        let mut memory: Option<Tensor> = None;
        for at in 0..time {
            let mut gates = seen.narrow(1, at, 1)?.squeeze(1)?;
            if let Some(state) = states.last() {
                gates = (gates + state.matmul(&r)?)?;
            }
            let gate = |i: usize| gates.narrow(1, i * cells, cells);
            let candidate = (sigmoid(&gate(0)?)? * gate(2)?.tanh()?)?;
            let kept = match memory {
                Some(memory) => ((sigmoid(&gate(1)?)? * memory)? + candidate)?,
                None => candidate,
            };
            states.push((sigmoid(&gate(3)?)? * kept.tanh()?)?);
            memory = Some(kept);
        }
        Ok(CandleTensor::new(Tensor::stack(&states, 1)?))
    }
}
