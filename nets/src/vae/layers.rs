//! What encoder and decoder are built of: residual blocks, and places that attend to one another.

use super::VaeConfig;
use crate::conv_ops::ConvOps;
use crate::parameters::{Init, Parameter, conv, linear, norm};
use crate::window::Window;

/// What is added to every variance.
const EPS: f64 = 1e-6;

/// 3 × 3 places, as many out as in.
pub(super) fn square() -> Window {
    Window::new(2).padding(&[(1, 1), (1, 1)])
}

/// `{name}.weight` and `{name}.bias` of a convolution over `side` × `side` places.
pub(super) fn conv_parameters(list: &mut Vec<Parameter>, name: &str, widths: [usize; 2], side: usize) {
    conv(list, name, &[widths[1], widths[0], side, side], 1.0);
}

/// `conv(silu(norm(x)))`.
pub(super) fn norm_conv<O: ConvOps>(
    ops: &O,
    config: &VaeConfig,
    x: &O::Tensor,
    [norm, conv]: [&str; 2],
) -> Result<O::Tensor, O::Error> {
    let x = ops.group_norm(x, norm, config.norm_num_groups, EPS)?;
    ops.conv(&ops.silu(&x)?, conv, &square())
}

/// A residual block (`widths[0]`, H, W) → (`widths[1]`, H, W), whose shortcut is a convolution where the widths differ.
pub(super) fn residual<O: ConvOps>(
    ops: &O,
    config: &VaeConfig,
    x: &O::Tensor,
    name: &str,
    widths: [usize; 2],
) -> Result<O::Tensor, O::Error> {
    ops.scope(name);
    let [norm1, conv1, norm2, conv2, shortcut] =
        ["norm1", "conv1", "norm2", "conv2", "conv_shortcut"].map(|layer| format!("{name}.{layer}"));
    let y = norm_conv(ops, config, x, [&norm1, &conv1])?;
    let y = norm_conv(ops, config, &y, [&norm2, &conv2])?;
    if widths[0] == widths[1] {
        return ops.add(x, &y);
    }
    ops.add(&ops.conv(x, &shortcut, &Window::new(2))?, &y)
}

pub(super) fn residual_parameters(list: &mut Vec<Parameter>, name: &str, [from, to]: [usize; 2]) {
    norm(list, &format!("{name}.norm1"), from);
    conv_parameters(list, &format!("{name}.conv1"), [from, to], 3);
    norm(list, &format!("{name}.norm2"), to);
    conv_parameters(list, &format!("{name}.conv2"), [to, to], 3);
    if from != to {
        conv_parameters(list, &format!("{name}.conv_shortcut"), [from, to], 1);
    }
}

/// x (C, H, W) plus what its places, normed, learn of one another: one head of width C.
fn attention<O: ConvOps>(
    ops: &O,
    config: &VaeConfig,
    x: &O::Tensor,
    name: &str,
) -> Result<O::Tensor, O::Error> {
    ops.scope(name);
    let dims = ops.dims(x);
    let (width, places) = (dims[0], dims[1] * dims[2]);
    let y = ops.group_norm(x, &format!("{name}.group_norm"), config.norm_num_groups, EPS)?;
    let y = ops.permute(&ops.reshape(&y, &[width, places])?, &[1, 0])?;
    let head = |layer: &str| {
        let y = ops.linear(&y, &format!("{name}.{layer}"))?;
        ops.reshape(&y, &[places, 1, width])
    };
    let y = ops.attention(&head("to_q")?, &head("to_k")?, &head("to_v")?)?;
    let y = ops.linear(&y, &format!("{name}.to_out.0"))?;
    let y = ops.reshape(&ops.permute(&y, &[1, 0])?, &dims)?;
    ops.add(x, &y)
}

/// Two residual blocks at the coarsest resolution, places attending to one another between them.
pub(super) fn middle<O: ConvOps>(
    ops: &O,
    config: &VaeConfig,
    x: &O::Tensor,
    name: &str,
    width: usize,
) -> Result<O::Tensor, O::Error> {
    let mut x = residual(ops, config, x, &format!("{name}.resnets.0"), [width; 2])?;
    if config.mid_block_add_attention {
        x = attention(ops, config, &x, &format!("{name}.attentions.0"))?;
    }
    residual(ops, config, &x, &format!("{name}.resnets.1"), [width; 2])
}

pub(super) fn middle_parameters(list: &mut Vec<Parameter>, config: &VaeConfig, name: &str, width: usize) {
    if config.mid_block_add_attention {
        let name = format!("{name}.attentions.0");
        norm(list, &format!("{name}.group_norm"), width);
        for layer in ["to_q", "to_k", "to_v", "to_out.0"] {
            linear(list, &format!("{name}.{layer}"), width, width, Init::XavierUniform);
        }
    }
    for block in 0..2 {
        residual_parameters(list, &format!("{name}.resnets.{block}"), [width; 2]);
    }
}
