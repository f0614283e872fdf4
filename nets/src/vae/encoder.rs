//! From pictures to the moments of their latents.

use super::VaeConfig;
use super::config::NAME;
use super::layers::{
    conv_parameters, middle, middle_parameters, norm_conv, residual, residual_parameters, square,
};
use crate::conv_ops::ConvOps;
use crate::network::{Network, NetworkError, Port, check_sizes};
use crate::parameters::{Parameter, norm};
use crate::window::Window;

/// 3 × 3 places, every second one, with zeros after the last row and column alone.
fn halve() -> Window {
    Window::new(2).stride(&[2, 2]).padding(&[(0, 1), (0, 1)])
}

/// Pictures (in, H, W), −1 to 1 → moments (2C, h, w): mean, then logarithm of the variance, of every latent; see
/// [`Gaussian`](super::Gaussian).
#[derive(Clone, Debug)]
pub struct Encoder {
    config: VaeConfig,
    size: [usize; 2],
}

impl Encoder {
    /// For pictures of `[H, W]`.
    ///
    /// # Errors
    /// [`NetworkError`] if it cannot be built, or nothing is left of such pictures.
    pub fn new(config: &VaeConfig, size: [usize; 2]) -> Result<Self, NetworkError> {
        config.check()?;
        check_sizes(NAME, [("height", size[0]), ("width", size[1])])?;
        let factor = config.factor();
        if size.iter().any(|&side| side < factor) {
            let what = format!("pictures of {}x{}, each side at least {factor} expected", size[0], size[1]);
            return Err(NetworkError::new(NAME, what));
        }
        Ok(Self { config: config.clone(), size })
    }
}

impl Network for Encoder {
    fn name(&self) -> &'static str {
        "vae-encoder"
    }

    fn inputs(&self) -> Vec<Port> {
        vec![("pictures", vec![self.config.in_channels, self.size[0], self.size[1]])]
    }

    fn outputs(&self) -> Vec<Port> {
        let [h, w] = self.size.map(|side| side / self.config.factor());
        vec![("moments", vec![2 * self.config.latent_channels, h, w])]
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
        ops.scope("encoder");
        let mut x = ops.conv(&inputs[0], "encoder.conv_in", &square())?;
        ops.tap("enc.conv_in", &x);
        let mut width = widths[0];
        for (i, &wide) in widths.iter().enumerate() {
            let block = format!("encoder.down_blocks.{i}");
            for j in 0..config.layers_per_block {
                x = residual(ops, config, &x, &format!("{block}.resnets.{j}"), [width, wide])?;
                width = wide;
            }
            if i + 1 < widths.len() {
                ops.scope(&block);
                x = ops.conv(&x, &format!("{block}.downsamplers.0.conv"), &halve())?;
            }
            ops.tap(&format!("enc.down{i}"), &x);
        }
        x = middle(ops, config, &x, "encoder.mid_block", width)?;
        ops.tap("enc.mid", &x);
        ops.scope("encoder");
        x = norm_conv(ops, config, &x, ["encoder.conv_norm_out", "encoder.conv_out"])?;
        ops.tap("enc.conv_out", &x);
        if config.use_quant_conv {
            x = ops.conv(&x, "quant_conv", &Window::new(2))?;
        }
        Ok(vec![x])
    }
}

pub(super) fn parameters(config: &VaeConfig) -> Vec<Parameter> {
    let mut list = Vec::new();
    let widths = &config.block_out_channels;
    conv_parameters(&mut list, "encoder.conv_in", [config.in_channels, widths[0]], 3);
    let mut width = widths[0];
    for (i, &wide) in widths.iter().enumerate() {
        let block = format!("encoder.down_blocks.{i}");
        for j in 0..config.layers_per_block {
            residual_parameters(&mut list, &format!("{block}.resnets.{j}"), [width, wide]);
            width = wide;
        }
        if i + 1 < widths.len() {
            conv_parameters(&mut list, &format!("{block}.downsamplers.0.conv"), [width; 2], 3);
        }
    }
    middle_parameters(&mut list, config, "encoder.mid_block", width);
    norm(&mut list, "encoder.conv_norm_out", width);
    let moments = 2 * config.latent_channels;
    conv_parameters(&mut list, "encoder.conv_out", [width, moments], 3);
    if config.use_quant_conv {
        conv_parameters(&mut list, "quant_conv", [moments; 2], 1);
    }
    list
}
