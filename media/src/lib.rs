//! Clips in and out, the latent codec, shards of latents, synthetic clips, the dataset audit.

pub mod clip;
pub mod error;

pub use clip::{Audio, Clip, ClipGrid, Rational, Video};
pub use error::{Error, Result};
