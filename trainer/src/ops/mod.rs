//! The interpreter that runs and differentiates networks on Candle.
//!
//! Where Candle composes many small operations, or has a fused one without a backward pass (its layer norm, softmax
//! and RMS norm silently cut gradients), this module has a differentiable operation of its own for the CPU. On other
//! devices the same operation runs in its decomposed form, which is also what the tests compare against.

mod activation;
mod attention;
mod bias;
mod conv;
mod convolutional;
mod gate;
mod kernel;
mod modulate;
mod rms;
mod silu;

use avdit_nets::{Ops, Window};
use candle_core::{DType, Device, Result, Tensor};
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;

/// A tensor of [`CandleOps`]: `(B, …)`, or one row per token that is still kept once per cell.
#[derive(Clone, Debug)]
pub struct CandleTensor {
    tensor: Tensor,
    /// Row of `tensor` (B, R, D) that each token takes; what reads it this way never builds (B, tokens, D).
    rows: Option<Arc<[usize]>>,
}

impl CandleTensor {
    /// A batch `(B, …)`.
    pub fn new(tensor: Tensor) -> Self {
        Self { tensor, rows: None }
    }

    /// The batch `(B, …)` as Candle knows it.
    ///
    /// # Errors
    /// If Candle cannot gather the rows.
    pub fn dense(&self) -> Result<Tensor> {
        match &self.rows {
            None => Ok(self.tensor.clone()),
            Some(rows) => {
                let indices: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
                self.tensor.contiguous()?.index_select(&Tensor::new(indices, self.tensor.device())?, 1)
            }
        }
    }
}

/// Runs a network on Candle with a set of named parameters.
pub struct CandleOps<'a> {
    parameters: &'a HashMap<String, Tensor>,
    device: Device,
    fused: bool,
    /// Of what matrices are multiplied in; norms, softmax and the sum along the blocks stay in float32.
    dtype: DType,
    taps: Option<RefCell<Vec<(String, Tensor)>>>,
}

impl<'a> CandleOps<'a> {
    /// Over parameters by their full names, on their device.
    pub fn new(parameters: &'a HashMap<String, Tensor>, device: &Device) -> Self {
        Self { parameters, device: device.clone(), fused: device.is_cpu(), dtype: DType::F32, taps: None }
    }

    /// With every composite operation in its decomposed form.
    pub fn decomposed(mut self) -> Self {
        self.fused = false;
        self
    }

    /// With matrices multiplied in another type than float32, which is what the parameters stay in: each is cast where
    /// it is used, and its gradient is cast back. Only the decomposed forms can.
    pub fn in_precision(mut self, dtype: DType) -> Self {
        self.fused &= dtype == DType::F32;
        self.dtype = dtype;
        self
    }

    /// Keeping what the network shows on its way.
    pub fn with_taps(mut self) -> Self {
        self.taps = Some(RefCell::default());
        self
    }

    /// What the network has shown, by name, in order.
    pub fn into_taps(self) -> Vec<(String, Tensor)> {
        self.taps.map(RefCell::into_inner).unwrap_or_default()
    }

    fn get(&self, name: &str) -> Result<&Tensor> {
        self.parameters.get(name).ok_or_else(|| candle_core::Error::Msg(format!("no parameter named {name}")))
    }

    /// `x·Wᵀ` on the last dimension; a weight (out, in…) is seen as a matrix.
    fn product(&self, x: &CandleTensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<CandleTensor> {
        let weight = if weight.rank() > 2 { weight.flatten_from(1)? } else { weight.clone() };
        let x = x.dense()?;
        let mut dims = x.dims().to_vec();
        let width = dims.pop().unwrap_or(0);
        let flat = x.to_dtype(self.dtype)?.contiguous()?.reshape(((), width))?;
        let mut y = flat.matmul(&weight.to_dtype(self.dtype)?.t()?)?;
        if let Some(bias) = bias {
            let bias = &bias.to_dtype(self.dtype)?;
            y = if self.fused { y.apply_op2(bias, bias::BiasAdd)? } else { y.broadcast_add(bias)? };
        }
        dims.push(weight.dim(0)?);
        Ok(CandleTensor::new(y.reshape(dims)?))
    }

    fn binary(
        &self,
        a: &CandleTensor,
        b: &CandleTensor,
        f: fn(&Tensor, &Tensor) -> Result<Tensor>,
    ) -> Result<CandleTensor> {
        Ok(CandleTensor::new(f(&wide(&a.dense()?)?, &wide(&b.dense()?)?)?))
    }
}

/// In float32.
fn wide(x: &Tensor) -> Result<Tensor> {
    x.to_dtype(DType::F32)
}

/// A convolution as [`CandleOps`] runs it on the CPU, of tensors that are no parameters of a network.
pub(crate) fn convolve(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
) -> Result<Tensor> {
    conv::conv(x, weight, bias, window, true)
}

impl Ops for CandleOps<'_> {
    type Tensor = CandleTensor;
    type Error = candle_core::Error;

    fn dims(&self, x: &CandleTensor) -> Vec<usize> {
        let mut dims = x.tensor.dims()[1..].to_vec();
        if let Some(rows) = &x.rows {
            dims[0] = rows.len();
        }
        dims
    }

    fn constant(&self, _name: &str, dims: &[usize], data: Vec<f32>) -> Result<CandleTensor> {
        let tensor = Tensor::from_vec(data, [&[1], dims].concat(), &self.device)?;
        Ok(CandleTensor::new(tensor))
    }

    fn parameter(&self, name: &str) -> Result<CandleTensor> {
        Ok(CandleTensor::new(self.get(name)?.unsqueeze(0)?))
    }

    fn linear(&self, x: &CandleTensor, name: &str) -> Result<CandleTensor> {
        let weight = self.get(&format!("{name}.weight"))?;
        self.product(x, weight, self.parameters.get(&format!("{name}.bias")))
    }

    fn linear_split(&self, x: &CandleTensor, name: &str, parts: usize) -> Result<Vec<CandleTensor>> {
        let y = self.linear(x, name)?.tensor;
        let (last, width) = (y.rank() - 1, y.dim(y.rank() - 1)? / parts);
        (0..parts).map(|i| Ok(CandleTensor::new(y.narrow(last, i * width, width)?))).collect()
    }

    fn matmul(&self, x: &CandleTensor, name: &str) -> Result<CandleTensor> {
        self.product(x, self.get(name)?, None)
    }

    fn embedding(&self, labels: &CandleTensor, name: &str) -> Result<CandleTensor> {
        let table = self.get(&format!("{name}.weight"))?;
        let (batch, n) = labels.dense()?.dims2()?;
        let (rows, width) = table.dims2()?;
        let label = |x: f32| match x {
            x if x.fract() == 0.0 && x >= 0.0 && x < rows as f32 => Ok(x as u32),
            x => {
                Err(candle_core::Error::Msg(format!("{name} has rows 0 to {}, got the label {x}", rows - 1)))
            }
        };
        let labels: Vec<f32> = labels.dense()?.flatten_all()?.to_vec1()?;
        let labels = labels.into_iter().map(label).collect::<Result<Vec<u32>>>()?;
        let rows = table.index_select(&Tensor::new(labels, &self.device)?, 0)?;
        Ok(CandleTensor::new(rows.reshape((batch, n, width))?))
    }

    fn conv(&self, x: &CandleTensor, name: &str, window: &Window) -> Result<CandleTensor> {
        let (weight, bias) =
            (self.get(&format!("{name}.weight"))?, self.parameters.get(&format!("{name}.bias")));
        Ok(CandleTensor::new(conv::conv(&x.dense()?, weight, bias, window, self.fused)?))
    }

    fn reshape(&self, x: &CandleTensor, dims: &[usize]) -> Result<CandleTensor> {
        let x = x.dense()?;
        Ok(CandleTensor::new(x.reshape([&[x.dim(0)?], dims].concat())?))
    }

    fn permute(&self, x: &CandleTensor, order: &[usize]) -> Result<CandleTensor> {
        let order: Vec<usize> = std::iter::once(0).chain(order.iter().map(|i| i + 1)).collect();
        Ok(CandleTensor::new(x.dense()?.permute(order)?))
    }

    fn concat(&self, xs: &[&CandleTensor], dim: usize) -> Result<CandleTensor> {
        let xs = xs.iter().map(|x| wide(&x.dense()?)).collect::<Result<Vec<_>>>()?;
        Ok(CandleTensor::new(Tensor::cat(&xs, dim + 1)?))
    }

    fn narrow(&self, x: &CandleTensor, dim: usize, start: usize, len: usize) -> Result<CandleTensor> {
        match &x.rows {
            Some(_) if dim > 0 => {
                Ok(CandleTensor { tensor: x.tensor.narrow(dim + 1, start, len)?, rows: x.rows.clone() })
            }
            _ => Ok(CandleTensor::new(x.dense()?.narrow(dim + 1, start, len)?)),
        }
    }

    fn gather_rows(&self, x: &CandleTensor, indices: &[usize]) -> Result<CandleTensor> {
        Ok(CandleTensor { tensor: x.dense()?, rows: Some(indices.into()) })
    }

    fn add(&self, a: &CandleTensor, b: &CandleTensor) -> Result<CandleTensor> {
        self.binary(a, b, Tensor::broadcast_add)
    }

    fn mul(&self, a: &CandleTensor, b: &CandleTensor) -> Result<CandleTensor> {
        self.binary(a, b, Tensor::broadcast_mul)
    }

    fn mean(&self, x: &CandleTensor, dim: usize) -> Result<CandleTensor> {
        Ok(CandleTensor::new(wide(&x.dense()?)?.mean(dim + 1)?))
    }

    fn cos(&self, x: &CandleTensor) -> Result<CandleTensor> {
        Ok(CandleTensor::new(x.dense()?.cos()?))
    }

    fn sin(&self, x: &CandleTensor) -> Result<CandleTensor> {
        Ok(CandleTensor::new(x.dense()?.sin()?))
    }

    fn relu(&self, x: &CandleTensor) -> Result<CandleTensor> {
        Ok(CandleTensor::new(x.dense()?.relu()?))
    }

    fn silu(&self, x: &CandleTensor) -> Result<CandleTensor> {
        let x = x.dense()?;
        let y = if self.fused { x.contiguous()?.apply_op1(silu::Silu)? } else { x.silu()? };
        Ok(CandleTensor::new(y))
    }

    fn gelu(&self, x: &CandleTensor) -> Result<CandleTensor> {
        let x = x.dense()?;
        let y = if self.fused { x.contiguous()?.apply_op1(activation::Gelu)? } else { x.gelu()? };
        Ok(CandleTensor::new(y))
    }

    fn layer_norm(&self, x: &CandleTensor, eps: f64) -> Result<CandleTensor> {
        let (batch, tokens, d) = x.dense()?.dims3()?;
        let tensor = Tensor::zeros((batch, 1, d), DType::F32, &self.device)?;
        let nothing = CandleTensor { tensor, rows: Some(vec![0; tokens].into()) };
        self.modulate(x, &nothing, &nothing, eps)
    }

    fn modulate(
        &self,
        x: &CandleTensor,
        shift: &CandleTensor,
        scale: &CandleTensor,
        eps: f64,
    ) -> Result<CandleTensor> {
        let y = match (&shift.rows, self.fused) {
            (Some(rows), true) if scale.rows.as_ref() == Some(rows) => {
                let op = modulate::Modulate { rows: rows.clone(), eps: eps as f32 };
                let (shift, scale) = (shift.tensor.contiguous()?, scale.tensor.contiguous()?);
                x.dense()?.contiguous()?.apply_op3(&shift, &scale, op)?
            }
            _ => {
                let (x, shift, scale) = (wide(&x.dense()?)?, wide(&shift.dense()?)?, wide(&scale.dense()?)?);
                modulate::decomposed(&x, &shift, &scale, eps)?
            }
        };
        Ok(CandleTensor::new(y))
    }

    fn gate_add(&self, x: &CandleTensor, gate: &CandleTensor, y: &CandleTensor) -> Result<CandleTensor> {
        let (x, y) = (wide(&x.dense()?)?, wide(&y.dense()?)?);
        let sum = match (&gate.rows, self.fused) {
            (Some(rows), true) => {
                let op = gate::GateAdd { rows: rows.clone() };
                x.contiguous()?.apply_op3(&gate.tensor.contiguous()?, &y.contiguous()?, op)?
            }
            _ => (x + (wide(&gate.dense()?)? * y)?)?,
        };
        Ok(CandleTensor::new(sum))
    }

    fn rms_norm(&self, x: &CandleTensor, name: &str, eps: f64) -> Result<CandleTensor> {
        let weight = self.get(&format!("{name}.weight"))?;
        let x = wide(&x.dense()?)?;
        let y = if self.fused {
            x.contiguous()?.apply_op2(weight, rms::RmsNorm { eps: eps as f32 })?
        } else {
            rms::decomposed(&x, weight, eps)?
        };
        Ok(CandleTensor::new(y))
    }

    fn attention(&self, q: &CandleTensor, k: &CandleTensor, v: &CandleTensor) -> Result<CandleTensor> {
        let groups = match q.tensor.dims()[1..] {
            [groups, _, _, _] => Some(groups),
            _ => None,
        };
        // Groups that do not see each other are examples of their own.
        let cast = |x: &CandleTensor| -> Result<Tensor> {
            let x = x.dense()?.to_dtype(self.dtype)?;
            if groups.is_some() { x.flatten(0, 1) } else { Ok(x) }
        };
        let y = attention::attention(&cast(q)?, &cast(k)?, &cast(v)?, self.fused)?;
        Ok(CandleTensor::new(match groups {
            Some(groups) => {
                let (batch, tokens, width) = y.dims3()?;
                y.reshape((batch / groups, groups, tokens, width))?
            }
            None => y,
        }))
    }

    fn scope(&self, _name: &str) {}

    fn tap(&self, name: &str, x: &CandleTensor) {
        if let (Some(taps), Ok(x)) = (&self.taps, x.dense()) {
            taps.borrow_mut().push((name.to_owned(), x));
        }
    }
}

#[cfg(test)]
mod tests;
