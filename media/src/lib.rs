//! Clips in and out, the latent codec, shards of latents, synthetic clips, measures of clips, the dataset audit.

pub mod atomic;
pub mod audit;
mod boxes;
pub mod clip;
pub mod codec;
pub mod decode;
pub mod draft;
pub mod encode;
pub mod error;
pub mod grid;
pub mod inspect;
pub mod mel;
mod metadata;
pub mod metrics;
pub mod picture;
pub mod prepare;
pub mod shard;
pub mod sheet;
pub mod spectrogram;
pub mod tensors;
pub mod wav;
pub mod world;
mod yuv;

pub use clip::{Audio, Clip, ClipGrid, Rational, Video};
pub use decode::{DecodeOptions, Decoded, Decoder, FrameSize, Preference, decode, decode_with};
pub use encode::{EncodeOptions, write_clip, write_gif};
pub use error::{Error, Result};
pub use grid::{FitPolicy, fit_to_grid};
pub use inspect::{Reject, Thresholds};
pub use metadata::read_recipe;
pub use sheet::write_sheet;
pub use wav::{read_wav, write_wav};
