//! A network in double precision, straight from its weights: what every graph can be held against.

use crate::error::{Error, Result};
use crate::evaluator::{Evaluator, Numbers};
use crate::weights::{self, WeightSource};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, Modality};
use avdit_nets::dit::Prediction;
use avdit_nets::{Inputs, NetworkConfig};

/// A network that predicts in double precision, clip by clip; it takes seconds where engines take milliseconds.
pub struct Reference<'w> {
    config: NetworkConfig,
    spec: DenoiserSpec,
    evaluator: Evaluator<'w>,
}

impl<'w> Reference<'w> {
    /// From a configuration and its weights.
    ///
    /// # Errors
    /// [`Error::Network`] if the configuration cannot be built, [`Error::MissingParameter`],
    /// [`Error::ParameterShape`] or [`Error::UnusedWeights`] if the weights are not those of the network.
    pub fn new(
        config: &(impl Clone + Into<NetworkConfig>),
        weights: &'w dyn WeightSource,
        spec: &DenoiserSpec,
    ) -> Result<Self> {
        let config: NetworkConfig = config.clone().into();
        config.check()?;
        weights::check(weights, &config.parameters())?;
        Ok(Self { config, spec: spec.clone(), evaluator: Evaluator::new(weights) })
    }

    fn clip(&self, noisy: &Latents, levels: &Levels, item: usize) -> Result<[Numbers; 2]> {
        let layout = &self.spec.layout;
        let cut = |values: &[f32], len: usize| -> Vec<f64> {
            values[item * len..(item + 1) * len].iter().copied().map(f64::from).collect()
        };
        let latents = |modality| {
            Numbers::new(&layout.shape(modality, 1)[1..], cut(noisy.get(modality), layout.len(modality)))
        };
        let cells =
            |modality| Numbers::new(&[layout.segments()], cut(levels.get(modality), layout.segments()));
        let inputs = Inputs {
            video: latents(Modality::Video),
            audio: latents(Modality::Audio),
            video_levels: cells(Modality::Video),
            audio_levels: cells(Modality::Audio),
        };
        let [video, audio] = self.config.predict(&self.evaluator, inputs)?;
        let noise = |predicted: Option<Prediction<Numbers>>, modality| match predicted {
            Some(Prediction { noise, .. }) => noise,
            None => Numbers::new(&layout.shape(modality, 1)[1..], vec![0.0; layout.len(modality)]),
        };
        Ok([noise(video, Modality::Video), noise(audio, Modality::Audio)])
    }
}

impl Denoiser for Reference<'_> {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        noisy.check(&self.spec.layout)?;
        levels.check(&self.spec.layout, noisy.batch)?;
        let failed = |error: Error| avdit_core::Error::Engine {
            engine: "reference",
            source: error.to_string().into(),
        };
        for item in 0..noisy.batch {
            for (made, modality) in self.clip(noisy, levels, item).map_err(failed)?.iter().zip(Modality::ALL)
            {
                let len = made.data.len();
                let out = &mut out.get_mut(modality)[item * len..(item + 1) * len];
                out.iter_mut().zip(made.data.iter()).for_each(|(out, &x)| *out = x as f32);
            }
        }
        Ok(())
    }
}
