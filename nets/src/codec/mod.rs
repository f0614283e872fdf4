//! Autoencoders of clips: causal in time, so that the latents of a segment know nothing of what comes after it.
//!
//! [`video`] does what the tokenizer of MAGVIT-v2 does without its quantizer (Yu et al. 2023, arXiv:2310.05737):
//! convolutions that are causal in time, the first frame on its own, four times fewer frames and eight times fewer rows
//! and columns. [`audio`] does what SoundStream does without its quantizer (Zeghidour et al. 2021, arXiv:2107.03312):
//! causal convolutions of growing stride, residual units with growing dilation. Widths and depths are this project's,
//! chosen so that the demo's clips are learnt in minutes on a CPU. There are no norms: one over time would see the future, and
//! one over the channels of a place takes away how bright or loud it is; behind such norms sound was not learnt at all.

pub mod audio;
mod config;
pub mod video;

pub use config::{AudioAutoencoder, AutoencoderConfig, ConfigError, VideoAutoencoder};

use crate::ops::Ops;
use crate::window::Window;

/// Deviation of a convolution's first parameters over that which keeps the scale of what it sees: GELU takes some away.
const GAIN: f64 = 1.3;

/// `x + second(gelu(first(gelu(x))))`.
pub(crate) fn residual<O: Ops>(
    ops: &O,
    x: &O::Tensor,
    name: &str,
    first: &Window,
    second: &Window,
) -> Result<O::Tensor, O::Error> {
    let y = ops.conv(&ops.gelu(x)?, &format!("{name}.conv1"), first)?;
    let y = ops.conv(&ops.gelu(&y)?, &format!("{name}.conv2"), second)?;
    ops.add(x, &y)
}

/// A part of an autoencoder that is a graph of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// Pictures (F, 3, H, W), −1 to 1 → latents (F', C, H', W').
    VideoEncoder,
    /// Latents → pictures.
    VideoDecoder,
    /// Sound (samples), −1 to 1 → latents (A, Ca).
    AudioEncoder,
    /// Latents → sound.
    AudioDecoder,
}

impl Part {
    /// Every part.
    pub const ALL: [Part; 4] =
        [Part::VideoEncoder, Part::VideoDecoder, Part::AudioEncoder, Part::AudioDecoder];

    /// `video-encoder`, …: the name of its graph.
    pub fn name(self) -> &'static str {
        match self {
            Part::VideoEncoder => "video-encoder",
            Part::VideoDecoder => "video-decoder",
            Part::AudioEncoder => "audio-encoder",
            Part::AudioDecoder => "audio-decoder",
        }
    }

    /// How the names of its parameters begin.
    pub fn prefix(self) -> &'static str {
        match self {
            Part::VideoEncoder => "video.encoder.",
            Part::VideoDecoder => "video.decoder.",
            Part::AudioEncoder => "audio.encoder.",
            Part::AudioDecoder => "audio.decoder.",
        }
    }

    /// The names of what goes in and what comes out.
    pub fn ports(self) -> (&'static str, &'static str) {
        match self {
            Part::VideoEncoder => ("pictures", "latents"),
            Part::VideoDecoder => ("latents", "pictures"),
            Part::AudioEncoder => ("sound", "latents"),
            Part::AudioDecoder => ("latents", "sound"),
        }
    }

    /// The shape of what goes in, without the batch.
    pub fn input(self, config: &AutoencoderConfig) -> Vec<usize> {
        match self {
            Part::VideoEncoder => config.video.pictures(),
            Part::VideoDecoder => config.video.latents(),
            Part::AudioEncoder => vec![config.audio.samples],
            Part::AudioDecoder => config.audio.latents(),
        }
    }

    /// The shape of what comes out, without the batch.
    pub fn output(self, config: &AutoencoderConfig) -> Vec<usize> {
        let other = match self {
            Part::VideoEncoder => Part::VideoDecoder,
            Part::VideoDecoder => Part::VideoEncoder,
            Part::AudioEncoder => Part::AudioDecoder,
            Part::AudioDecoder => Part::AudioEncoder,
        };
        other.input(config)
    }

    /// The network.
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    pub fn run<O: Ops>(
        self,
        ops: &O,
        config: &AutoencoderConfig,
        x: &O::Tensor,
    ) -> Result<O::Tensor, O::Error> {
        match self {
            Part::VideoEncoder => video::encode(ops, &config.video, x),
            Part::VideoDecoder => video::decode(ops, &config.video, x),
            Part::AudioEncoder => audio::encode(ops, &config.audio, x),
            Part::AudioDecoder => audio::decode(ops, &config.audio, x),
        }
    }
}
