//! From latents to pictures.

use super::VaeConfig;
use super::config::NAME;
use super::layers::{
    conv_parameters, middle, middle_parameters, norm_conv, residual, residual_parameters, square,
};
use crate::conv_ops::ConvOps;
use crate::network::{Network, NetworkError, Port, check_sizes};
use crate::parameters::{Parameter, norm};
use crate::window::Window;

/// Latents (C, h, w), not scaled → pictures (out, H, W).
#[derive(Clone, Debug)]
pub struct Decoder {
    config: VaeConfig,
    size: [usize; 2],
}

impl Decoder {
    /// For latents of `[h, w]`.
    ///
    /// # Errors
    /// [`NetworkError`] if it cannot be built.
    pub fn new(config: &VaeConfig, size: [usize; 2]) -> Result<Self, NetworkError> {
        config.check()?;
        check_sizes(NAME, [("height", size[0]), ("width", size[1])])?;
        Ok(Self { config: config.clone(), size })
    }
}

impl Network for Decoder {
    fn name(&self) -> &'static str {
        "vae-decoder"
    }

    fn inputs(&self) -> Vec<Port> {
        vec![("latents", vec![self.config.latent_channels, self.size[0], self.size[1]])]
    }

    fn outputs(&self) -> Vec<Port> {
        let [h, w] = self.size.map(|side| side * self.config.factor());
        vec![("pictures", vec![self.config.out_channels, h, w])]
    }

    fn is_part(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Parameter> {
        parameters(&self.config)
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        let config = &self.config;
        let widths = &config.block_out_channels;
        let mut width = widths[widths.len() - 1];
        ops.scope("decoder");
        let mut x = inputs[0].clone();
        if config.use_post_quant_conv {
            x = ops.conv(&x, "post_quant_conv", &Window::new(2))?;
        }
        x = ops.conv(&x, "decoder.conv_in", &square())?;
        ops.tap("dec.conv_in", &x);
        x = middle(ops, config, &x, "decoder.mid_block", width)?;
        ops.tap("dec.mid", &x);
        for (i, &wide) in widths.iter().rev().enumerate() {
            let block = format!("decoder.up_blocks.{i}");
            for j in 0..=config.layers_per_block {
                x = residual(ops, config, &x, &format!("{block}.resnets.{j}"), [width, wide])?;
                width = wide;
            }
            if i + 1 < widths.len() {
                ops.scope(&block);
                x = ops.repeat_places(&x, &[2, 2])?;
                x = ops.conv(&x, &format!("{block}.upsamplers.0.conv"), &square())?;
            }
            ops.tap(&format!("dec.up{i}"), &x);
        }
        ops.scope("decoder");
        let x = norm_conv(ops, config, &x, ["decoder.conv_norm_out", "decoder.conv_out"])?;
        Ok(vec![x])
    }
}

pub(super) fn parameters(config: &VaeConfig) -> Vec<Parameter> {
    let mut list = Vec::new();
    let widths = &config.block_out_channels;
    let mut width = widths[widths.len() - 1];
    if config.use_post_quant_conv {
        conv_parameters(&mut list, "post_quant_conv", [config.latent_channels; 2], 1);
    }
    conv_parameters(&mut list, "decoder.conv_in", [config.latent_channels, width], 3);
    middle_parameters(&mut list, config, "decoder.mid_block", width);
    for (i, &wide) in widths.iter().rev().enumerate() {
        let block = format!("decoder.up_blocks.{i}");
        for j in 0..=config.layers_per_block {
            residual_parameters(&mut list, &format!("{block}.resnets.{j}"), [width, wide]);
            width = wide;
        }
        if i + 1 < widths.len() {
            conv_parameters(&mut list, &format!("{block}.upsamplers.0.conv"), [width; 2], 3);
        }
    }
    norm(&mut list, "decoder.conv_norm_out", width);
    conv_parameters(&mut list, "decoder.conv_out", [width, config.out_channels], 3);
    list
}
