//! The generator of HiFi-GAN (Kong et al. 2020, arXiv:2010.05646): from a mel spectrogram to sound, under the names of
//! transformers' `SpeechT5HifiGan`, which AudioLDM's vocoder is published in.
//!
//! Weight norm is no part of the network: [`fold_weight_norm`](crate::weight_norm::fold_weight_norm) takes it out of a
//! checkpoint that has it.

mod config;

pub use config::HifiganConfig;

use crate::conv_ops::ConvOps;
use crate::network::{Network, NetworkError, Port, check_sizes};
use crate::parameters::{Init, Parameter, conv, conv_transposed};
use crate::window::Window;

/// Taps of the first and the last convolution.
const OUTER_TAPS: usize = 7;

/// Slope of what is negative before the last convolution.
const LAST_SLOPE: f64 = 0.01;

/// As many places as before.
fn same(taps: usize, dilation: usize) -> Window {
    let side = (taps - 1) * dilation / 2;
    Window::new(1).dilation(&[dilation]).padding(&[(side, side)])
}

/// A log-mel spectrogram (frames, bands) → sound (samples), −1 to 1.
#[derive(Clone, Debug)]
pub struct Generator {
    config: HifiganConfig,
    frames: usize,
    samples: usize,
}

impl Generator {
    /// For spectrograms of so many frames.
    ///
    /// # Errors
    /// [`NetworkError`] if it cannot be built.
    pub fn new(config: &HifiganConfig, frames: usize) -> Result<Self, NetworkError> {
        config.check()?;
        check_sizes(config::NAME, [("frames", frames)])?;
        Ok(Self { config: config.clone(), frames, samples: config.samples(frames)? })
    }
}

impl Network for Generator {
    fn name(&self) -> &'static str {
        "hifigan"
    }

    fn inputs(&self) -> Vec<Port> {
        vec![("mel", vec![self.frames, self.config.model_in_dim])]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![("sound", vec![self.samples])]
    }

    fn parameters(&self) -> Vec<Parameter> {
        parameters(&self.config)
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        let config = &self.config;
        ops.scope("");
        let mut x = inputs[0].clone();
        if config.normalize_before {
            x = ops.sub(&x, &ops.parameter("mean")?)?;
            x = ops.div(&x, &ops.parameter("scale")?)?;
        }
        let x = ops.permute(&x, &[1, 0])?; // (bands, frames)
        let mut x = ops.conv(&x, "conv_pre", &same(OUTER_TAPS, 1))?;
        ops.tap("conv_pre", &x);
        let blocks = config.resblock_kernel_sizes.len();
        for stage in 0..config.upsample_rates.len() {
            ops.scope(&format!("upsampler.{stage}"));
            x = ops.leaky_relu(&x, config.leaky_relu_slope)?;
            x = ops.conv_transposed(&x, &format!("upsampler.{stage}"), &config.window(stage))?;
            ops.tap(&format!("upsampler{stage}"), &x);
            let mut sum: Option<O::Tensor> = None;
            for block in 0..blocks {
                let y = residual(ops, config, &x, stage * blocks + block)?;
                sum = Some(match sum {
                    Some(sum) => ops.add(&sum, &y)?,
                    None => y,
                });
            }
            ops.scope(&format!("upsampler.{stage}"));
            let count = ops.constant("blocks", &[1, 1], vec![blocks as f32])?;
            x = ops.div(&sum.unwrap_or(x), &count)?;
        }
        ops.scope("");
        let x = ops.leaky_relu(&x, LAST_SLOPE)?;
        let x = ops.conv(&x, "conv_post", &same(OUTER_TAPS, 1))?;
        Ok(vec![ops.reshape(&ops.tanh(&x)?, &[self.samples])?])
    }
}

/// Block `index` of all residual blocks: each unit adds two convolutions, the first of which is dilated.
fn residual<O: ConvOps>(
    ops: &O,
    config: &HifiganConfig,
    x: &O::Tensor,
    index: usize,
) -> Result<O::Tensor, O::Error> {
    let name = format!("resblocks.{index}");
    ops.scope(&name);
    let kind = index % config.resblock_kernel_sizes.len();
    let (taps, slope) = (config.resblock_kernel_sizes[kind], config.leaky_relu_slope);
    let mut x = x.clone();
    for (unit, &dilation) in config.resblock_dilation_sizes[kind].iter().enumerate() {
        let y = ops.leaky_relu(&x, slope)?;
        let y = ops.conv(&y, &format!("{name}.convs1.{unit}"), &same(taps, dilation))?;
        let y = ops.leaky_relu(&y, slope)?;
        let y = ops.conv(&y, &format!("{name}.convs2.{unit}"), &same(taps, 1))?;
        x = ops.add(&y, &x)?;
    }
    Ok(x)
}

/// Every tensor of a checkpoint whose weight norm is folded; mean and scale of the bands are there whether they are used
/// or not.
pub fn parameters(config: &HifiganConfig) -> Vec<Parameter> {
    let mut list = Vec::new();
    let bands = vec![config.model_in_dim];
    list.push(Parameter { name: "mean".to_owned(), shape: bands.clone(), init: Init::Zeros });
    list.push(Parameter { name: "scale".to_owned(), shape: bands, init: Init::Ones });
    conv(&mut list, "conv_pre", &[config.upsample_initial_channel, config.model_in_dim, OUTER_TAPS], 1.0);
    let stages = config.upsample_rates.len();
    for stage in 0..stages {
        let (width, taps) = (config.width(stage), config.upsample_kernel_sizes[stage]);
        let shape = [2 * width, width, taps];
        conv_transposed(&mut list, &format!("upsampler.{stage}"), shape, config.upsample_rates[stage]);
    }
    let blocks = config.resblock_kernel_sizes.len();
    for index in 0..stages * blocks {
        let (width, taps) = (config.width(index / blocks), config.resblock_kernel_sizes[index % blocks]);
        for unit in 0..config.resblock_dilation_sizes[index % blocks].len() {
            for convs in ["convs1", "convs2"] {
                let name = format!("resblocks.{index}.{convs}.{unit}");
                conv(&mut list, &name, &[width, width, taps], 1.0);
            }
        }
    }
    conv(&mut list, "conv_post", &[1, config.width(stages - 1), OUTER_TAPS], 1.0);
    list
}
