//! Convolution over one to three dimensions as one matrix product: the values under the window become columns.
//!
//! Candle has no convolution over three dimensions, nor padding on one side alone, and its backward pass of one with a
//! stride is a transposed convolution without a fast form.

pub(super) mod transposed;

use super::kernel::values;
use avdit_nets::Window;
use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Result, Shape, Tensor};
use rayon::prelude::*;

/// A window over three dimensions, of which leading ones may be 1.
#[derive(Clone, Debug)]
struct Geometry {
    channels: usize,
    input: [usize; 3],
    kernel: [usize; 3],
    output: [usize; 3],
    stride: [usize; 3],
    dilation: [usize; 3],
    before: [usize; 3],
}

impl Geometry {
    /// Of a window from an input (channels, …) to the places of an output.
    fn new(window: &Window, input: &[usize], kernel: &[usize], output: &[usize]) -> Self {
        let lead = 3 - output.len();
        let three = |sizes: &[usize], fill: usize| {
            let mut all = [fill; 3];
            all[lead..].copy_from_slice(sizes);
            all
        };
        let before: Vec<usize> = window.padding.iter().map(|padding| padding.0).collect();
        Self {
            channels: input[0],
            input: three(&input[1..], 1),
            kernel: three(kernel, 1),
            output: three(output, 1),
            stride: three(&window.stride, 1),
            dilation: three(&window.dilation, 1),
            before: three(&before, 0),
        }
    }

    fn taps(&self) -> usize {
        self.kernel.iter().product()
    }

    fn places(&self) -> usize {
        self.output.iter().product()
    }

    fn inputs(&self) -> usize {
        self.input.iter().product()
    }

    /// Where an output place of dimension `d` reads under a tap, if not in the padding.
    fn source(&self, d: usize, place: usize, tap: usize) -> Option<usize> {
        let at = (place * self.stride[d] + tap * self.dilation[d]).checked_sub(self.before[d])?;
        (at < self.input[d]).then_some(at)
    }

    /// The places of the last dimension that read inside the input under a tap.
    fn inside(&self, tap: usize) -> std::ops::Range<usize> {
        let (offset, before, stride) = (tap * self.dilation[2], self.before[2], self.stride[2]);
        let first = before.saturating_sub(offset).div_ceil(stride);
        let end = (self.input[2] + before).saturating_sub(offset).div_ceil(stride).min(self.output[2]);
        first.min(end)..end
    }

    /// Calls `visit(places, first input, stride)` for each run of output places of a tap that read inside the input,
    /// within one channel.
    fn each_run(&self, tap: usize, mut visit: impl FnMut(std::ops::Range<usize>, usize)) {
        let [kd, kh, kw] = [
            tap / (self.kernel[1] * self.kernel[2]),
            tap / self.kernel[2] % self.kernel[1],
            tap % self.kernel[2],
        ];
        let inside = self.inside(kw);
        if inside.is_empty() {
            return;
        }
        let first = inside.start * self.stride[2] + kw * self.dilation[2] - self.before[2];
        for od in 0..self.output[0] {
            let Some(id) = self.source(0, od, kd) else { continue };
            for oh in 0..self.output[1] {
                let Some(ih) = self.source(1, oh, kh) else { continue };
                let row = (od * self.output[1] + oh) * self.output[2];
                let from = (id * self.input[1] + ih) * self.input[2] + first;
                visit(row + inside.start..row + inside.end, from);
            }
        }
    }
}

/// x (B, in, …) under `weight` (out, in / groups, kernel…) and `bias` (out): (B, out, …).
pub(super) fn conv(
    x: &Tensor,
    weight: &Tensor,
    bias: Option<&Tensor>,
    window: &Window,
    fused: bool,
) -> Result<Tensor> {
    let checked = window.check(weight.dims(), x.dims().get(1..).unwrap_or_default());
    let output = match checked {
        Ok(output) if output.len() <= 4 => output,
        Ok(output) => {
            candle_core::bail!("a convolution over {} dimensions, at most 3 are known", output.len() - 1)
        }
        Err((expected, got)) => candle_core::bail!("convolution: expected {expected}, got {got}"),
    };
    let batch = x.dim(0)?;
    let y =
        if fused { by_columns(x, weight, window, &output)? } else { by_taps(x, weight, window, &output)? };
    let y = match bias {
        None => y,
        Some(bias) if fused => y.apply_op2(bias, ChannelBias)?,
        Some(bias) => y.broadcast_add(&bias.reshape((1, output[0], 1))?)?,
    };
    y.reshape([&[batch], output.as_slice()].concat())
}

/// The product of the weight (out, in / groups · taps) and the columns, (B, out, places).
fn by_columns(x: &Tensor, weight: &Tensor, window: &Window, output: &[usize]) -> Result<Tensor> {
    let (batch, channels) = (x.dim(0)?, x.dim(1)?);
    let geometry = Geometry::new(window, &x.dims()[1..], &weight.dims()[2..], &output[1..]);
    let (taps, places) = (geometry.taps(), geometry.places());
    let x = x.contiguous()?.reshape((batch, channels, geometry.inputs()))?;
    let is_point = taps == 1 && geometry.inputs() == places && geometry.before == [0; 3];
    let columns = if is_point && geometry.stride == [1; 3] { x } else { x.apply_op1(Columns(geometry))? };
    if batch == 1 && window.groups == 1 {
        let weight = weight.reshape((output[0], channels * taps))?;
        return weight.matmul(&columns.squeeze(0)?)?.unsqueeze(0);
    }
    let (g, rows) = (window.groups, channels * taps / window.groups);
    let weight = weight.reshape((1, g, output[0] / g, rows))?;
    let y = weight.broadcast_matmul(&columns.reshape((batch, g, rows, places))?)?;
    y.reshape((batch, output[0], places))
}

/// The same as a sum of products over the taps, in Candle's own operations.
fn by_taps(x: &Tensor, weight: &Tensor, window: &Window, output: &[usize]) -> Result<Tensor> {
    let (batch, channels, rank) = (x.dim(0)?, x.dim(1)?, x.rank() - 2);
    let (g, kernel) = (window.groups, &weight.dims()[2..]);
    let mut padded = x.contiguous()?;
    for (d, &(before, after)) in window.padding.iter().enumerate() {
        padded = padded.pad_with_zeros(d + 2, before, after)?;
    }
    let taps: usize = kernel.iter().product();
    let places: usize = output[1..].iter().product();
    let weight = weight.reshape((g, output[0] / g, channels / g, taps))?;
    let mut sum: Option<Tensor> = None;
    for tap in 0..taps {
        let (mut rest, mut under) = (tap, padded.clone());
        for d in (0..rank).rev() {
            let at = rest % kernel[d] * window.dilation[d];
            rest /= kernel[d];
            let indices: Vec<u32> =
                (0..output[d + 1]).map(|place| (place * window.stride[d] + at) as u32).collect();
            under = under.index_select(&Tensor::new(indices, x.device())?, d + 2)?;
        }
        let under = under.contiguous()?.reshape((batch, g, channels / g, places))?;
        let tap = weight.narrow(3, tap, 1)?.squeeze(3)?.unsqueeze(0)?.contiguous()?;
        let product = tap.broadcast_matmul(&under)?;
        sum = Some(match sum {
            Some(sum) => (sum + product)?,
            None => product,
        });
    }
    let sum = sum.ok_or_else(|| candle_core::Error::Msg("a kernel without taps".to_owned()))?;
    sum.reshape((batch, output[0], places))
}

/// x (B, C, inputs) → (B, C · taps, places): under each tap, what each place of the output reads.
struct Columns(Geometry);

impl CustomOp1 for Columns {
    fn name(&self) -> &'static str {
        "columns"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (x, g) = (values(storage, layout)?, &self.0);
        let (batch, taps, places, stride) = (layout.shape().dims3()?.0, g.taps(), g.places(), g.stride[2]);
        let mut columns = vec![0f32; batch * g.channels * taps * places];
        columns.par_chunks_mut(places).enumerate().with_min_len(8).for_each(|(row, column)| {
            let x = &x[row / taps * g.inputs()..(row / taps + 1) * g.inputs()];
            g.each_run(row % taps, |to, from| {
                let to = &mut column[to];
                if stride == 1 {
                    to.copy_from_slice(&x[from..from + to.len()]);
                } else {
                    to.iter_mut().zip(x[from..].iter().step_by(stride)).for_each(|(to, from)| *to = *from);
                }
            });
        });
        Ok((CpuStorage::F32(columns), Shape::from((batch, g.channels * taps, places))))
    }

    fn bwd(&self, _x: &Tensor, _columns: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&ColumnsBackward(self.0.clone()))?))
    }
}

/// Adds each column to the places that it was read from.
struct ColumnsBackward(Geometry);

impl CustomOp1 for ColumnsBackward {
    fn name(&self) -> &'static str {
        "columns-backward"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (columns, g) = (values(storage, layout)?, &self.0);
        let (batch, taps, places, stride) = (layout.shape().dims3()?.0, g.taps(), g.places(), g.stride[2]);
        let mut x = vec![0f32; batch * g.channels * g.inputs()];
        x.par_chunks_mut(g.inputs()).zip(columns.par_chunks(taps * places)).for_each(|(x, columns)| {
            for (tap, column) in columns.chunks_exact(places).enumerate() {
                g.each_run(tap, |from, to| {
                    let from = &column[from];
                    if stride == 1 {
                        x[to..to + from.len()].iter_mut().zip(from).for_each(|(x, g)| *x += g);
                    } else {
                        x[to..].iter_mut().step_by(stride).zip(from).for_each(|(x, g)| *x += g);
                    }
                });
            }
        });
        Ok((CpuStorage::F32(x), Shape::from((batch, g.channels, g.inputs()))))
    }

    fn bwd(&self, _columns: &Tensor, _x: &Tensor, grad: &Tensor) -> Result<Option<Tensor>> {
        Ok(Some(grad.contiguous()?.apply_op1_no_bwd(&Columns(self.0.clone()))?))
    }
}

/// x (B, C, places) + b (C).
struct ChannelBias;

impl CustomOp2 for ChannelBias {
    fn name(&self) -> &'static str {
        "channel-bias"
    }

    fn cpu_fwd(
        &self,
        s1: &CpuStorage,
        l1: &Layout,
        s2: &CpuStorage,
        l2: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (x, bias) = (values(s1, l1)?, values(s2, l2)?);
        let places = l1.shape().dims3()?.2;
        let mut y = vec![0f32; x.len()];
        y.par_chunks_mut(places).zip(x.par_chunks(places)).enumerate().with_min_len(8).for_each(
            |(row, (y, x))| {
                let bias = bias[row % bias.len()];
                y.iter_mut().zip(x).for_each(|(y, x)| *y = x + bias);
            },
        );
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
        let sum = grad.apply_op1_no_bwd(&ChannelSum)?;
        Ok((Some(grad), Some(sum)))
    }
}

/// (B, C, places) → (C).
struct ChannelSum;

impl CustomOp1 for ChannelSum {
    fn name(&self) -> &'static str {
        "channel-sum"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let x = values(storage, layout)?;
        let (_, channels, places) = layout.shape().dims3()?;
        let mut sum = vec![0f32; channels];
        for (row, x) in x.chunks_exact(places).enumerate() {
            let (wide, rest) = x.as_chunks::<8>();
            let mut lanes = [0f32; 8];
            wide.iter().for_each(|x| (0..8).for_each(|i| lanes[i] += x[i]));
            sum[row % channels] += lanes.iter().chain(rest).sum::<f32>();
        }
        Ok((CpuStorage::F32(sum), Shape::from(channels)))
    }
}

#[cfg(test)]
mod tests;
