//! Clips in and out, the latent codec, shards of latents, synthetic clips, the dataset audit.

pub mod clip;
pub mod codec;
pub mod error;
pub mod tensors;
pub mod world;

pub use clip::{Audio, Clip, ClipGrid, Rational, Video};
pub use error::{Error, Result};
