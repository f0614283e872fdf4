//! The variational autoencoder of pictures that latent diffusion works in (Rombach et al. 2021, arXiv:2112.10752), under
//! the names of diffusers' `AutoencoderKL`.
//!
//! Stable Diffusion has it for pictures; AudioLDM (Liu et al. 2023, arXiv:2301.12503), with one channel and three
//! resolutions, for mel spectrograms. [`Encoder`] makes the moments of a [`Gaussian`], [`Decoder`] takes a sample or the
//! mean. A diffusion model sees latents times [`VaeConfig::scaling_factor`].

mod config;
mod decoder;
mod encoder;
mod gaussian;
mod layers;
mod names;

pub use config::VaeConfig;
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use gaussian::Gaussian;
pub use names::modernise;
