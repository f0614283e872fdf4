//! EnCodec (Défossez et al. 2022, arXiv:2210.13438): sound to latents and back, under transformers' names.
//!
//! The latents are continuous: what its quantizer would code. [`Quantizer`] is that quantizer, on numbers and not a
//! network. Weight norm is no part of the networks: [`fold_weight_norm`](crate::weight_norm::fold_weight_norm) takes it
//! out of a checkpoint.

mod config;
mod layers;
mod quantizer;
mod run;

pub use config::{ConvNorm, EncodecConfig, PadMode};
pub use quantizer::Quantizer;

use crate::conv_ops::ConvOps;
use crate::network::{Network, NetworkError, Port, check_sizes};
use crate::parameters::Parameter;

/// Sound (channels, samples), −1 to 1 → latents (hidden, frames), a frame for every begun hop.
#[derive(Clone, Debug)]
pub struct Encoder {
    config: EncodecConfig,
    samples: usize,
}

/// Latents (hidden, frames) → sound (channels, frames · hop).
#[derive(Clone, Debug)]
pub struct Decoder {
    config: EncodecConfig,
    frames: usize,
}

impl Encoder {
    /// For so many samples.
    ///
    /// # Errors
    /// [`NetworkError`] if it cannot be built.
    pub fn new(config: &EncodecConfig, samples: usize) -> Result<Self, NetworkError> {
        config.check()?;
        check_sizes(config::NAME, [("samples", samples)])?;
        Ok(Self { config: config.clone(), samples })
    }
}

impl Decoder {
    /// For so many frames.
    ///
    /// # Errors
    /// [`NetworkError`] if it cannot be built.
    pub fn new(config: &EncodecConfig, frames: usize) -> Result<Self, NetworkError> {
        config.check()?;
        check_sizes(config::NAME, [("frames", frames)])?;
        Ok(Self { config: config.clone(), frames })
    }
}

impl Network for Encoder {
    fn name(&self) -> &'static str {
        "encodec-encoder"
    }

    fn inputs(&self) -> Vec<Port> {
        vec![("sound", vec![self.config.audio_channels, self.samples])]
    }

    fn outputs(&self) -> Vec<Port> {
        // Each stage rounds up, which together rounds up once.
        vec![("latents", vec![self.config.hidden_size, self.samples.div_ceil(self.config.hop())])]
    }

    fn is_part(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Parameter> {
        layers::parameters(&self.config, &layers::encoder(&self.config))
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        run::run(ops, &self.config, &layers::encoder(&self.config), &inputs[0]).map(|y| vec![y])
    }
}

impl Network for Decoder {
    fn name(&self) -> &'static str {
        "encodec-decoder"
    }

    fn inputs(&self) -> Vec<Port> {
        vec![("latents", vec![self.config.hidden_size, self.frames])]
    }

    fn outputs(&self) -> Vec<Port> {
        vec![("sound", vec![self.config.audio_channels, self.frames * self.config.hop()])]
    }

    fn is_part(&self) -> bool {
        true
    }

    fn parameters(&self) -> Vec<Parameter> {
        layers::parameters(&self.config, &layers::decoder(&self.config))
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        run::run(ops, &self.config, &layers::decoder(&self.config), &inputs[0]).map(|y| vec![y])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoder_and_decoder_at_24_khz_have_their_sizes() {
        let config = EncodecConfig::default();
        let (encoder, decoder) = (Encoder::new(&config, 24_000).unwrap(), Decoder::new(&config, 75).unwrap());
        let outputs = [encoder.outputs(), decoder.outputs()].concat();
        assert_eq!(outputs, [("latents", vec![128, 75]), ("sound", vec![1, 24_000])]);
        let both = [encoder.parameters(), decoder.parameters()].concat();
        assert_eq!(both.iter().map(Parameter::len).sum::<usize>(), 14_846_817);
        assert!(
            both.iter().any(|p| p.name == "encoder.layers.13.lstm.weight_hh_l1" && p.shape == [2048, 512])
        );
        assert!(both.iter().any(|p| p.name == "decoder.layers.15.conv.weight" && p.shape == [1, 32, 7]));
    }
}
