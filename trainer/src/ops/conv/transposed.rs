//! Transposed convolution: one matrix product whose columns are added where a plain convolution would have read them.

use super::{ChannelBias, ColumnsBackward, Geometry, by_taps};
use avdit_nets::Window;
use candle_core::{Result, Tensor};

/// x (B, in, …) under `weight` (in, out / groups, kernel…) and `bias` (out): (B, out, …).
pub(in crate::ops) fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    fused: bool,
) -> Result<Tensor> {
    let checked = window.check_transposed(weight.dims(), x.dims().get(1..).unwrap_or_default());
    let output = match checked {
        Ok(output) if output.len() <= 4 => output,
        Ok(output) => {
            candle_core::bail!("a convolution over {} dimensions, at most 3 are known", output.len() - 1)
        }
        Err((expected, got)) => candle_core::bail!("convolution: expected {expected}, got {got}"),
    };
    let batch = x.dim(0)?;
    let y =
        if fused { by_columns(x, weight, window, &output)? } else { by_zeros(x, weight, window, &output)? };
    let y = match bias {
        None => y,
        Some(bias) if fused => y.apply_op2(bias, ChannelBias)?,
        Some(bias) => y.broadcast_add(&bias.reshape((1, output[0], 1))?)?,
    };
    y.reshape([&[batch], output.as_slice()].concat())
}

/// The columns of a plain convolution from the output back to x, made by the weight and added up: (B, out, places).
fn by_columns(x: &Tensor, weight: &Tensor, window: &Window, output: &[usize]) -> Result<Tensor> {
    let (batch, channels, g) = (x.dim(0)?, x.dim(1)?, window.groups);
    let geometry = Geometry::new(window, output, &weight.dims()[2..], &x.dims()[2..]);
    let (rows, places) = (output[0] / g * geometry.taps(), geometry.places());
    let weight = weight.reshape((g, channels / g, rows))?.transpose(1, 2)?.contiguous()?;
    let x = x.contiguous()?.reshape((batch, g, channels / g, places))?;
    let columns = weight.unsqueeze(0)?.broadcast_matmul(&x)?; // (B, g, out / g · taps, places)
    columns.reshape((batch, g * rows, places))?.apply_op1(ColumnsBackward(geometry))
}

/// A plain convolution, with a mirrored kernel, of x with zeros between its places.
fn by_zeros(x: &Tensor, weight: &Tensor, window: &Window, output: &[usize]) -> Result<Tensor> {
    let (batch, rank, g) = (x.dim(0)?, x.rank() - 2, window.groups);
    let (mut x, mut weight) = (x.contiguous()?, weight.clone());
    let mut padding = Vec::new();
    for d in 0..rank {
        let (at, size, stride) = (d + 2, x.dim(d + 2)?, window.stride[d]);
        let mut dims = x.dims().to_vec();
        dims[at] *= stride;
        let spread = x.unsqueeze(at + 1)?.pad_with_zeros(at + 1, 0, stride - 1)?;
        x = spread.contiguous()?.reshape(dims)?.narrow(at, 0, (size - 1) * stride + 1)?.contiguous()?;
        let taps = weight.dim(at)?;
        let mirrored: Vec<u32> = (0..taps as u32).rev().collect();
        weight = weight.contiguous()?.index_select(&Tensor::new(mirrored, x.device())?, at)?;
        padding.push(((taps - 1) * window.dilation[d], (taps - 1) * window.dilation[d]));
    }
    let dims = weight.dims().to_vec(); // (in, out / g, kernel…)
    let grouped = weight.reshape([&[g, dims[0] / g], &dims[1..]].concat())?.transpose(1, 2)?.contiguous()?;
    let weight = grouped.reshape([&[output[0], dims[0] / g], &dims[2..]].concat())?;
    let plain = Window::new(rank).dilation(&window.dilation).padding(&padding).groups(g);
    let whole: Vec<usize> =
        (0..rank).map(|d| output[d + 1] + window.padding[d].0 + window.padding[d].1).collect();
    let whole = [&[output[0]], whole.as_slice()].concat();
    let mut y = by_taps(&x, &weight, &plain, &whole)?.reshape([&[batch], whole.as_slice()].concat())?;
    for d in 0..rank {
        y = y.narrow(d + 2, window.padding[d].0, output[d + 1])?;
    }
    y.contiguous()?.reshape((batch, output[0], ()))
}
