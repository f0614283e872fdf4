//! Layers on an interpreter.

use super::config::{ConvNorm, EncodecConfig, PadMode};
use super::layers::{Conv, Layer};
use crate::conv_ops::{Beyond, ConvOps};
use crate::window::Window;

/// What is added to every variance.
const EPS: f64 = 1e-5;

/// x (channels, time) through layers in order.
pub(super) fn run<O: ConvOps>(
    ops: &O,
    config: &EncodecConfig,
    layers: &[Layer],
    x: &O::Tensor,
) -> Result<O::Tensor, O::Error> {
    let mut x = x.clone();
    for layer in layers {
        x = match layer {
            Layer::Elu => ops.elu(&x)?,
            Layer::Conv(conv) => {
                ops.scope(&conv.name);
                convolution(ops, config, &x, conv)?
            }
            Layer::Up(conv) => {
                ops.scope(&conv.name);
                transposed(ops, config, &x, conv)?
            }
            Layer::Residual { name, convs, shortcut } => {
                ops.scope(name);
                let mut y = x.clone();
                for conv in convs {
                    y = convolution(ops, config, &ops.elu(&y)?, conv)?;
                }
                let x = match shortcut {
                    Some(conv) => convolution(ops, config, &x, conv)?,
                    None => x,
                };
                ops.add(&x, &y)?
            }
            Layer::Lstm { name, .. } => {
                ops.scope(name);
                let rows = ops.permute(&x, &[1, 0])?;
                let mut y = rows.clone();
                for layer in 0..config.num_lstm_layers {
                    y = ops.lstm(&y, &format!("{name}.lstm"), layer)?;
                }
                ops.permute(&ops.add(&y, &rows)?, &[1, 0])?
            }
        };
    }
    Ok(x)
}

/// A convolution that makes a place of every `stride` places, the last of which may be fewer.
fn convolution<O: ConvOps>(
    ops: &O,
    config: &EncodecConfig,
    x: &O::Tensor,
    conv: &Conv,
) -> Result<O::Tensor, O::Error> {
    let len = ops.dims(x)[1];
    let reach = (conv.taps - 1) * conv.dilation + 1;
    let spare = reach.saturating_sub(conv.stride);
    let missing = len.next_multiple_of(conv.stride) - len;
    let after = if config.use_causal_conv { 0 } else { spare / 2 };
    let (before, after) = (spare - after, after + missing);
    let mut x = x.clone();
    if before + after > 0 {
        x = match config.pad_mode {
            PadMode::Constant => ops.pad(&x, before, after, Beyond::Zeros)?,
            PadMode::Reflect => {
                // A signal too short to be mirrored is made longer first, and cut again.
                let short = (before.max(after) + 1).saturating_sub(len);
                if short > 0 {
                    x = ops.pad(&x, 0, short, Beyond::Zeros)?;
                }
                let x = ops.pad(&x, before, after, Beyond::Mirror)?;
                if short > 0 { ops.narrow(&x, 1, 0, before + len + after)? } else { x }
            }
        };
    }
    let window = Window::new(1).stride(&[conv.stride]).dilation(&[conv.dilation]);
    let y = ops.conv(&x, &format!("{}.conv", conv.name), &window)?;
    normed(ops, config, y, conv)
}

/// A transposed convolution that makes `stride` places of every place.
fn transposed<O: ConvOps>(
    ops: &O,
    config: &EncodecConfig,
    x: &O::Tensor,
    conv: &Conv,
) -> Result<O::Tensor, O::Error> {
    let (len, spare) = (ops.dims(x)[1], conv.taps - conv.stride);
    let after = match config.use_causal_conv {
        true => (spare as f64 * config.trim_right_ratio).ceil() as usize,
        false => spare / 2,
    };
    let before = spare - after;
    let (name, window) = (format!("{}.conv", conv.name), Window::new(1).stride(&[conv.stride]));
    if config.norm_type == ConvNorm::WeightNorm {
        return ops.conv_transposed(x, &name, &window.padding(&[(before, after)]));
    }
    // The norm sees what is cut off.
    let y = ops.conv_transposed(x, &name, &window)?;
    let y = normed(ops, config, y, conv)?;
    ops.narrow(&y, 1, before, len * conv.stride)
}

fn normed<O: ConvOps>(
    ops: &O,
    config: &EncodecConfig,
    x: O::Tensor,
    conv: &Conv,
) -> Result<O::Tensor, O::Error> {
    match config.norm_type {
        ConvNorm::WeightNorm => Ok(x),
        ConvNorm::TimeGroupNorm => ops.group_norm(&x, &format!("{}.norm", conv.name), 1, EPS),
    }
}
