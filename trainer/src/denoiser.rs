//! A trained network as a [`Denoiser`], to check other engines against.

use crate::error::{Error, Result};
use crate::model::{Model, Weights};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels};
use avdit_nets::avdit::AvditConfig;
use candle_core::{Device, Tensor};

/// An AVDiT on Candle's CPU device.
pub struct CandleDenoiser {
    spec: DenoiserSpec,
    model: Model,
}

impl CandleDenoiser {
    /// With the given parameters.
    ///
    /// # Errors
    /// As [`Model::with_weights`].
    pub fn new(config: &AvditConfig, weights: &Weights, spec: DenoiserSpec) -> Result<Self> {
        Ok(Self { model: Model::with_weights(config, weights, &Device::Cpu)?, spec })
    }

    fn run(&self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        let (video, audio) = self.model.forward(noisy, levels)?;
        let copy = |from: Tensor, into: &mut Vec<f32>| -> Result<()> {
            *into = from.flatten_all()?.to_vec1()?;
            Ok(())
        };
        copy(video, &mut out.video)?;
        copy(audio, &mut out.audio)?;
        out.batch = noisy.batch;
        Ok(())
    }
}

impl Denoiser for CandleDenoiser {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        self.run(noisy, levels, out).map_err(|error| match error {
            Error::Core(error) => error,
            other => avdit_core::Error::Engine { engine: "candle", source: Box::new(other) },
        })
    }
}
