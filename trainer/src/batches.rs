//! The batch of a step: a function of configuration, data and step alone, whoever makes it and when.

use crate::config::TrainConfig;
use crate::error::Result;
use crate::examples::Examples;
use crate::objective::{NoisyBatch, Normaliser, Objective};
use avdit_core::mixture::Strategy;
use avdit_core::{
    DenoiserSpec, Latents, Layout, Levels, Mixture, Modality, Noise, Purpose, Stream, example_at,
};
use std::ops::Range;

/// A batch, ready to train on, or the part of it that is this process's.
pub struct Batch {
    /// The step that it is for, from 0.
    pub step: usize,
    /// Its positions in the whole batch.
    pub positions: Range<usize>,
    /// The example at each of them.
    pub examples: Vec<usize>,
    /// The strategy that each drew; `None` for the conditional baseline.
    pub strategies: Vec<Option<Strategy>>,
    /// Noisy latents, levels, targets and weights of these examples.
    pub noisy: NoisyBatch,
    /// The noisy elements of the whole batch.
    pub whole: Normaliser,
    /// Whether video and audio have a cell in the whole batch that weighs anything.
    pub weighs: [bool; 2],
}

/// Makes batches.
pub struct Batches<'a> {
    config: &'a TrainConfig,
    examples: Box<dyn Examples + Send + 'a>,
    mixture: Mixture,
    objective: Objective,
    share: Range<usize>,
}

impl<'a> Batches<'a> {
    /// For a run, or for the positions `share` of each of its batches.
    ///
    /// # Errors
    /// If mixture, objective and data do not fit.
    pub fn new(
        config: &'a TrainConfig,
        examples: Box<dyn Examples + Send + 'a>,
        spec: &DenoiserSpec,
        share: Range<usize>,
    ) -> Result<Self> {
        let mixture = config.mixture()?;
        mixture.check(examples.layout().segments())?;
        Ok(Self { config, examples, mixture, objective: Objective::of(spec, &config.objective)?, share })
    }

    /// The same for a network that learns the variance of its steps.
    ///
    /// # Errors
    /// If the objective has none.
    pub fn with_variance(mut self, spec: &DenoiserSpec) -> Result<Self> {
        self.objective = self.objective.with_variance(spec, self.config.objective.variance_weight)?;
        Ok(self)
    }

    /// What weighs the errors.
    pub fn objective(&self) -> &Objective {
        &self.objective
    }

    /// The grid of an example.
    pub fn layout(&self) -> &Layout {
        self.examples.layout()
    }

    /// What an example is called.
    pub fn name(&self, example: usize) -> String {
        self.examples.name(example)
    }

    /// The positions of a step's batch that this process trains on, of `0..run.batch`. Examples, levels and noise are
    /// drawn by position in the whole batch, so that they do not depend on how it is divided.
    pub fn positions(&self, _step: usize) -> Range<usize> {
        self.share.clone()
    }

    /// The noisy elements of the whole batch of a step, on whatever ranks they are, and whether video and audio weigh
    /// anything: levels are drawn by position, so that every rank can know those of all.
    ///
    /// # Errors
    /// If the mixture does not fit the data.
    fn whole(&self, step: usize) -> Result<(Normaliser, [bool; 2])> {
        let rows: Vec<Vec<f32>> =
            (0..self.config.run.batch).map(|position| self.levels(step, position)).collect::<Result<_>>()?;
        let levels = Levels::from_rows(&rows);
        let weighs = Modality::ALL
            .map(|modality| levels.get(modality).iter().any(|&level| self.objective.weighs(modality, level)));
        Ok((Normaliser::of(self.layout(), &levels), weighs))
    }

    fn levels(&self, step: usize, position: usize) -> Result<Vec<f32>> {
        let (noise, objective) = (Noise::new(self.config.seed), &self.config.objective);
        let (segments, timesteps) = (self.layout().segments(), objective.timesteps);
        let (step, position, clean) = (step as u32, position as u32, objective.clean_fraction);
        Ok(self.mixture.draw(noise, step, position, segments, timesteps, clean)?)
    }

    /// The examples at some positions of a step: whole passes over the data, each in an order of its own.
    pub fn examples_at(&self, step: usize, positions: Range<usize>) -> Vec<usize> {
        let (count, first) = (self.examples.count(), step * self.config.run.batch);
        let noise = Noise::new(self.config.seed);
        positions.map(|position| example_at(noise, count, (first + position) as u64)).collect()
    }

    /// The batch of a step. With `run.overfit_one_batch` it is always that of the first.
    ///
    /// # Errors
    /// If an example cannot be read.
    pub fn prepare(&self, step: usize) -> Result<Batch> {
        let drawn = if self.config.run.overfit_one_batch { 0 } else { step };
        let (layout, noise) = (self.layout(), Noise::new(self.config.seed));
        let positions = self.positions(step);
        let examples = self.examples_at(drawn, positions.clone());
        let (mut clean, mut epsilon, mut levels, mut strategies) = (vec![], vec![], vec![], vec![]);
        for (position, &example) in positions.clone().zip(&examples) {
            clean.push(self.examples.read(example)?);
            let mut one = Latents::zeros(layout, 1);
            for modality in Modality::ALL {
                let item = 2 * position as u32 + modality as u32;
                let stream = Stream::new(Purpose::Training, drawn as u32, item);
                noise.normals(stream, one.get_mut(modality));
            }
            epsilon.push(one);
            levels.push(self.levels(drawn, position)?);
            strategies.push(self.mixture.strategy(noise, drawn as u32, position as u32));
        }
        let (whole, weighs) = self.whole(drawn)?;
        let (clean, epsilon) = (Latents::concat(&clean), Latents::concat(&epsilon));
        let noisy = self.objective.noise_part(&clean, &epsilon, Levels::from_rows(&levels), whole)?;
        Ok(Batch { step, positions, examples, strategies, noisy, whole, weighs })
    }
}
