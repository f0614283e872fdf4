//! Autoencoders of clips: causal in time, so that the latents of a segment know nothing of what comes after it.
//!
//! [`video`] does what the tokenizer of MAGVIT-v2 does without its quantizer (Yu et al. 2023, arXiv:2310.05737):
//! convolutions that are causal in time, the first frame on its own, four times fewer frames and eight times fewer rows
//! and columns. [`audio`] does what SoundStream does without its quantizer (Zeghidour et al. 2021, arXiv:2107.03312):
//! causal convolutions of growing stride, residual units with growing dilation. Widths and depths are this project's,
//! chosen so that the demo's clips are learnt in minutes on a CPU. Norms are over the channels of a place: one over time
//! would see the future.

pub mod audio;
mod config;
pub mod video;

pub use config::{AudioAutoencoder, AutoencoderConfig, ConfigError, VideoAutoencoder};

use crate::ops::Ops;
use crate::window::Window;

/// Added to the mean square under the root of a norm: what is far below its own root stays as small as it is.
const EPS: f64 = 1e-3;

/// `silu(x / √(mean(x²) + ε) · weight)`, the mean over the channels of each place, with `{name}.weight`: what is seen
/// before each convolution has one scale, without which long steps leave the valley.
pub(crate) fn activate<O: Ops>(ops: &O, x: &O::Tensor, name: &str) -> Result<O::Tensor, O::Error> {
    let rank = ops.dims(x).len();
    let last: Vec<usize> = (1..rank).chain([0]).collect();
    let first: Vec<usize> = [rank - 1].into_iter().chain(0..rank - 1).collect();
    let y = ops.rms_norm(&ops.permute(x, &last)?, name, EPS)?;
    ops.silu(&ops.permute(&y, &first)?)
}

/// `x + second(activate(first(activate(x))))`.
pub(crate) fn residual<O: Ops>(
    ops: &O,
    x: &O::Tensor,
    name: &str,
    first: &Window,
    second: &Window,
) -> Result<O::Tensor, O::Error> {
    let y = ops.conv(&activate(ops, x, &format!("{name}.norm1"))?, &format!("{name}.conv1"), first)?;
    let y = ops.conv(&activate(ops, &y, &format!("{name}.norm2"))?, &format!("{name}.conv2"), second)?;
    ops.add(x, &y)
}

/// The norm of what a convolution sees, by the convolution's name; none before the first of an encoder or decoder.
pub(crate) fn norm_of(layer: &str) -> Option<String> {
    match layer.rsplit_once('.') {
        Some((_, "conv_in")) => None,
        Some((block, "conv1")) => Some(format!("{block}.norm1")),
        Some((block, "conv2")) => Some(format!("{block}.norm2")),
        _ => Some(format!("{layer}.norm")),
    }
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
