//! The layers of encoder and decoder in order, from which both the networks and their parameters are read.

use super::config::{ConvNorm, EncodecConfig};
use crate::parameters::{Init, Parameter, conv, conv_transposed, norm};

/// A convolution over time.
#[derive(Clone, Debug)]
pub(super) struct Conv {
    pub(super) name: String,
    /// Channels in and out.
    pub(super) widths: [usize; 2],
    pub(super) taps: usize,
    pub(super) stride: usize,
    pub(super) dilation: usize,
}

impl Conv {
    fn new(name: String, widths: [usize; 2], taps: usize) -> Self {
        Self { name, widths, taps, stride: 1, dilation: 1 }
    }
}

/// A layer of the list.
#[derive(Clone, Debug)]
pub(super) enum Layer {
    Conv(Conv),
    /// A transposed convolution.
    Up(Conv),
    Elu,
    /// Two convolutions behind an ELU each, added to the shortcut.
    Residual {
        name: String,
        convs: [Conv; 2],
        shortcut: Option<Conv>,
    },
    /// Cells of this width, added to what they see.
    Lstm {
        name: String,
        width: usize,
    },
}

/// A list whose layers are named by their place in it.
struct List<'a> {
    config: &'a EncodecConfig,
    side: &'a str,
    layers: Vec<Layer>,
}

impl List<'_> {
    fn name(&self) -> String {
        format!("{}.layers.{}", self.side, self.layers.len())
    }

    fn conv(&mut self, widths: [usize; 2], taps: usize, stride: usize) {
        let conv = Conv { stride, ..Conv::new(self.name(), widths, taps) };
        self.layers.push(Layer::Conv(conv));
    }

    fn residuals(&mut self, width: usize) {
        let config = self.config;
        let mut dilation = 1;
        for _ in 0..config.num_residual_layers {
            let (name, inner) = (self.name(), width / config.compress);
            let first = Conv::new(format!("{name}.block.1"), [width, inner], config.residual_kernel_size);
            let convs = [Conv { dilation, ..first }, Conv::new(format!("{name}.block.3"), [inner, width], 1)];
            let shortcut = Conv::new(format!("{name}.shortcut"), [width; 2], 1);
            let shortcut = config.use_conv_shortcut.then_some(shortcut);
            self.layers.push(Layer::Residual { name, convs, shortcut });
            dilation *= config.dilation_growth_rate;
        }
    }

    fn lstm(&mut self, width: usize) {
        let name = self.name();
        self.layers.push(Layer::Lstm { name, width });
    }
}

/// From sound (channels, samples) to latents (hidden, frames).
pub(super) fn encoder(config: &EncodecConfig) -> Vec<Layer> {
    let mut list = List { config, side: "encoder", layers: Vec::new() };
    let mut width = config.num_filters;
    list.conv([config.audio_channels, width], config.kernel_size, 1);
    for &ratio in config.upsampling_ratios.iter().rev() {
        list.residuals(width);
        list.layers.push(Layer::Elu);
        list.conv([width, 2 * width], 2 * ratio, ratio);
        width *= 2;
    }
    list.lstm(width);
    list.layers.push(Layer::Elu);
    list.conv([width, config.hidden_size], config.last_kernel_size, 1);
    list.layers
}

/// From latents to sound.
pub(super) fn decoder(config: &EncodecConfig) -> Vec<Layer> {
    let mut list = List { config, side: "decoder", layers: Vec::new() };
    let mut width = config.num_filters << config.upsampling_ratios.len();
    list.conv([config.hidden_size, width], config.kernel_size, 1);
    list.lstm(width);
    for &ratio in &config.upsampling_ratios {
        list.layers.push(Layer::Elu);
        let up = Conv { stride: ratio, ..Conv::new(list.name(), [width, width / 2], 2 * ratio) };
        list.layers.push(Layer::Up(up));
        width /= 2;
        list.residuals(width);
    }
    list.layers.push(Layer::Elu);
    list.conv([width, config.audio_channels], config.last_kernel_size, 1);
    list.layers
}

/// The learned tensors of layers, in order.
pub(super) fn parameters(config: &EncodecConfig, layers: &[Layer]) -> Vec<Parameter> {
    let mut list = Vec::new();
    let normed = config.norm_type == ConvNorm::TimeGroupNorm;
    let add = |list: &mut Vec<Parameter>, layer: &Conv, transposed: bool| {
        let (name, [from, to]) = (format!("{}.conv", layer.name), layer.widths);
        if transposed {
            conv_transposed(list, &name, [from, to, layer.taps], layer.stride);
        } else {
            conv(list, &name, &[to, from, layer.taps], 1.0);
        }
        if normed {
            norm(list, &format!("{}.norm", layer.name), to);
        }
    };
    for layer in layers {
        match layer {
            Layer::Elu => {}
            Layer::Conv(conv) => add(&mut list, conv, false),
            Layer::Up(conv) => add(&mut list, conv, true),
            Layer::Residual { convs, shortcut, .. } => {
                convs.iter().chain(shortcut).for_each(|conv| add(&mut list, conv, false));
            }
            Layer::Lstm { name, width } => (0..config.num_lstm_layers).for_each(|layer| {
                let init = Init::Normal(1.0 / (*width as f64).sqrt());
                for side in ["ih", "hh"] {
                    let named = |what: &str| format!("{name}.lstm.{what}_{side}_l{layer}");
                    list.push(Parameter { name: named("weight"), shape: vec![4 * width, *width], init });
                    list.push(Parameter { name: named("bias"), shape: vec![4 * width], init: Init::Zeros });
                }
            }),
        }
    }
    list
}
