//! A trained network as a [`Denoiser`], to check other engines against.

use crate::base::Base;
use crate::error::{Error, Result};
use crate::model::Weights;
use crate::network::Network;
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, no_variance};
use avdit_nets::NetworkConfig;
use avdit_nets::Parameter;
use candle_core::{Device, Tensor};

/// A network on Candle's CPU device.
pub struct CandleDenoiser {
    spec: DenoiserSpec,
    network: Network,
}

impl CandleDenoiser {
    /// The version of Candle that this program contains.
    pub const VERSION: &str = "0.11.1";

    /// With the given parameters.
    ///
    /// # Errors
    /// As [`Network::load`]; [`Error::Parameter`] naming the first one that is missing or left over.
    pub fn new(
        config: &(impl Clone + Into<NetworkConfig>),
        weights: &Weights,
        spec: DenoiserSpec,
    ) -> Result<Self> {
        Self::on_base(&config.clone().into(), None, weights, spec)
    }

    /// With the given parameters, and those of a base where it alone has them.
    ///
    /// # Errors
    /// As [`CandleDenoiser::new`]; whatever the base's file reports.
    pub fn on_base(
        config: &NetworkConfig,
        base: Option<&Base>,
        weights: &Weights,
        spec: DenoiserSpec,
    ) -> Result<Self> {
        let list = config.parameters();
        if let Some(name) = weights.keys().find(|name| !list.iter().any(|p| &p.name == *name)) {
            let what = "the network has no such parameter".into();
            return Err(Error::Parameter { name: name.clone(), what });
        }
        Self::load(config, spec, &mut |parameter| {
            let missing = || Error::Parameter {
                name: parameter.name.clone(),
                what: "missing from the checkpoint".into(),
            };
            match (weights.get(&parameter.name), base) {
                (Some(values), _) => Ok(values.clone()),
                (None, Some(base)) => base.weights.load(&parameter.name),
                (None, None) => Err(missing()),
            }
        })
    }

    /// With values for each parameter, asked for one at a time.
    ///
    /// # Errors
    /// As [`Network::load`].
    pub fn load(
        config: &(impl Clone + Into<NetworkConfig>),
        spec: DenoiserSpec,
        values: &mut dyn FnMut(&Parameter) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        Ok(Self { network: Network::load(&config.clone().into(), &Device::Cpu, values)?, spec })
    }

    fn run(&self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        let (video, audio) = self.network.forward(noisy, levels)?;
        fill(out, [&video, &audio], noisy.batch)
    }

    fn run_with_variance(
        &self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        variance: &mut Latents,
    ) -> Result<()> {
        let [Some(video), Some(audio)] = self.network.predict(noisy, levels)? else {
            return Err(no_variance().into());
        };
        let [Some(of_video), Some(of_audio)] = [&video.variance, &audio.variance] else {
            return Err(no_variance().into());
        };
        fill(variance, [of_video, of_audio], noisy.batch)?;
        fill(out, [&video.noise, &audio.noise], noisy.batch)
    }
}

impl Denoiser for CandleDenoiser {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        self.run(noisy, levels, out).map_err(failed)
    }

    fn has_variance(&self) -> bool {
        // An image DiT may learn it, and has no sound to say it of.
        matches!(self.network.config(), NetworkConfig::AvDit(_))
    }

    fn predict_with_variance(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        variance: &mut Latents,
    ) -> avdit_core::Result<()> {
        self.run_with_variance(noisy, levels, out, variance).map_err(failed)
    }
}

fn fill(out: &mut Latents, [video, audio]: [&Tensor; 2], batch: usize) -> Result<()> {
    out.video = video.flatten_all()?.to_vec1()?;
    out.audio = audio.flatten_all()?.to_vec1()?;
    out.batch = batch;
    Ok(())
}

fn failed(error: Error) -> avdit_core::Error {
    match error {
        Error::Core(error) => error,
        other => avdit_core::Error::Engine { engine: "candle", source: Box::new(other) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_told_is_the_one_that_is_built() {
        let lock = include_str!("../../Cargo.lock");
        assert!(lock.contains(&format!("name = \"candle-core\"\nversion = \"{}\"", CandleDenoiser::VERSION)));
    }
}
