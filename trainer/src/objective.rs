//! The training objective: noising by cell, the target, and the loss over noisy cells.

use crate::bound::{Bound, BoundRule};
use crate::config::ObjectiveConfig;
use crate::error::Result;
use avdit_core::{DenoiserSpec, Latents, Layout, Levels, Modality, NoiseSchedule, Target};
use serde::{Deserialize, Serialize};

/// How the squared error of a cell is weighted by its level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weighting {
    /// All noisy cells alike (the papers').
    Uniform,
    /// min-SNR (Hang et al. 2023), in the form of the prediction target.
    MinSnr,
}

/// Noisy elements of a whole batch, on whatever ranks they are: each modality's loss is a mean over its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Normaliser {
    /// Elements of video cells above level 0.
    pub video: usize,
    /// Elements of audio cells above level 0.
    pub audio: usize,
}

impl Normaliser {
    /// Of the levels of all examples of a batch.
    pub fn of(layout: &Layout, levels: &Levels) -> Self {
        let count = |modality| {
            let sizes = layout.segment_ranges(modality).into_iter().map(|range| range.len());
            let noisy = levels.get(modality).iter().zip(sizes.collect::<Vec<_>>().into_iter().cycle());
            noisy.filter(|(level, _)| **level > 0.0).map(|(_, size)| size).sum()
        };
        Self { video: count(Modality::Video), audio: count(Modality::Audio) }
    }

    /// Those of a modality.
    pub fn get(self, modality: Modality) -> usize {
        match modality {
            Modality::Video => self.video,
            Modality::Audio => self.audio,
        }
    }
}

/// What a network is trained on: noisy latents at levels, the target, and the weight of each element.
pub struct NoisyBatch {
    /// z_t = α·z_0 + σ·ε, every cell at its own level.
    pub noisy: Latents,
    /// The levels.
    pub levels: Levels,
    /// What the network shall predict.
    pub target: Latents,
    /// Square root of the weight of each element's squared error, with each modality's mean over its noisy
    /// elements folded in: loss = Σ (weight·(prediction − target))².
    pub weight: Latents,
    /// What a learned variance is trained on, where there is one.
    pub bound: Option<Bound>,
}

impl NoisyBatch {
    /// The examples in chunks of at most `size`, in order; their losses add up to that of the whole.
    pub fn chunks(&self, layout: &Layout, size: usize) -> Vec<NoisyBatch> {
        let batch = self.noisy.batch;
        let starts = (0..batch).step_by(size.max(1));
        starts.map(|start| self.slice(layout, start..(start + size.max(1)).min(batch))).collect()
    }

    fn slice(&self, layout: &Layout, examples: std::ops::Range<usize>) -> NoisyBatch {
        let latents = |whole: &Latents| whole.slice(layout, examples.clone());
        let levels = |all: &[f32]| {
            let n = layout.segments();
            all[examples.start * n..examples.end * n].to_vec()
        };
        NoisyBatch {
            noisy: latents(&self.noisy),
            levels: Levels { video: levels(&self.levels.video), audio: levels(&self.levels.audio) },
            target: latents(&self.target),
            weight: latents(&self.weight),
            bound: self.bound.as_ref().map(|bound| bound.slice(examples.clone())),
        }
    }
}

/// The mathematics of a network's objective.
pub struct Objective {
    layout: Layout,
    target: Target,
    weighting: Weighting,
    snr_gamma: f64,
    /// Of video and of audio.
    modality_weights: [f64; 2],
    schedule: NoiseSchedule,
    bound: Option<BoundRule>,
}

impl Objective {
    /// The objective of a network: a weighting with the default constants, both modalities alike.
    ///
    /// # Errors
    /// As [`DenoiserSpec::noise_schedule`].
    pub fn new(spec: &DenoiserSpec, weighting: Weighting) -> Result<Self> {
        Self::of(spec, &ObjectiveConfig { weighting, ..ObjectiveConfig::default() })
    }

    /// The objective of a network, weighted as a configuration says; target and schedule are the network's.
    ///
    /// # Errors
    /// As [`DenoiserSpec::noise_schedule`].
    pub fn of(spec: &DenoiserSpec, config: &ObjectiveConfig) -> Result<Self> {
        Ok(Self {
            layout: spec.layout.clone(),
            target: spec.target,
            weighting: config.weighting,
            snr_gamma: config.snr_gamma,
            modality_weights: [config.video_weight, config.audio_weight],
            schedule: spec.noise_schedule()?,
            bound: None,
        })
    }

    /// The same for a network that learns the variance of its steps.
    ///
    /// # Errors
    /// As [`BoundRule::new`].
    pub fn with_variance(mut self, spec: &DenoiserSpec, weight: f64) -> Result<Self> {
        self.bound = (weight > 0.0).then(|| BoundRule::new(spec, weight)).transpose()?;
        Ok(self)
    }

    /// The weight of a cell's squared error, before the mean is taken: 0 for a clean cell, which holds no noise to
    /// predict.
    ///
    /// min-SNR weighs the error of x0 by min(SNR, γ); an error of the prediction is an error of x0 times the factor
    /// of [`Target::to_x0`].
    pub fn cell_weight(&self, modality: Modality, level: f32) -> f64 {
        self.level_weight(level) * self.modality_weights[modality as usize]
    }

    /// Whether a cell has a part in the gradient: min-SNR weighs one without any signal by 0, and what is far below
    /// 1 may be lost in float32 on its way through the network.
    pub fn weighs(&self, modality: Modality, level: f32) -> bool {
        self.modality_weights[modality as usize] > 0.0 && self.level_weight(level) > 1e-12
    }

    fn level_weight(&self, level: f32) -> f64 {
        if level == 0.0 {
            return 0.0;
        }
        let rates = self.schedule.rates(f64::from(level));
        match self.weighting {
            Weighting::Uniform => 1.0,
            Weighting::MinSnr => {
                let snr = (rates.alpha / rates.sigma).powi(2);
                snr.min(self.snr_gamma) * self.target.to_x0(rates).prediction.powi(2)
            }
        }
    }

    /// Noises a batch of clean latents.
    ///
    /// # Shapes
    /// `clean`, `epsilon`: `(B, F, C, H, W)` and `(B, A, Ca)`; `levels`: `(B, N)` per modality, 0…T.
    /// # Errors
    /// A count error if latents, noise and levels do not fit the layout.
    pub fn noise(&self, clean: &Latents, epsilon: &Latents, levels: Levels) -> Result<NoisyBatch> {
        levels.check(&self.layout, clean.batch)?;
        let whole = Normaliser::of(&self.layout, &levels);
        self.noise_part(clean, epsilon, levels, whole)
    }

    /// Noises a part of a batch, of which `whole` has the noisy elements: the losses of all parts add up to the
    /// batch's.
    ///
    /// # Errors
    /// As [`Objective::noise`].
    pub fn noise_part(
        &self,
        clean: &Latents,
        epsilon: &Latents,
        levels: Levels,
        whole: Normaliser,
    ) -> Result<NoisyBatch> {
        clean.check(&self.layout)?;
        epsilon.check(&self.layout)?;
        levels.check(&self.layout, clean.batch)?;
        let zeros = || Latents::zeros(&self.layout, clean.batch);
        let (mut noisy, mut target, mut weight) = (zeros(), zeros(), zeros());
        for modality in Modality::ALL {
            let (clean, epsilon) = (clean.get(modality), epsilon.get(modality));
            let (noisy, target, weight) =
                (noisy.get_mut(modality), target.get_mut(modality), weight.get_mut(modality));
            let mean = (1.0 / whole.get(modality).max(1) as f64).sqrt() as f32;
            for (range, &level) in self.cell_ranges(modality, clean.len()).zip(levels.get(modality)) {
                let rates = self.schedule.rates(f64::from(level));
                let cell_weight = self.cell_weight(modality, level).sqrt() as f32 * mean;
                for i in range {
                    let (x0, e) = (f64::from(clean[i]), f64::from(epsilon[i]));
                    noisy[i] = (rates.alpha * x0 + rates.sigma * e) as f32;
                    target[i] = self.target.of(rates, x0, e) as f32;
                    weight[i] = cell_weight;
                }
            }
        }
        let bound = self.bound.as_ref().map(|rule| rule.of(clean.clone()));
        Ok(NoisyBatch { noisy, levels, target, weight, bound })
    }

    /// Element ranges of every cell of a batch, in the order of [`Levels::get`].
    fn cell_ranges(
        &self,
        modality: Modality,
        elements: usize,
    ) -> impl Iterator<Item = std::ops::Range<usize>> + use<> {
        let (len, ranges) = (self.layout.len(modality), self.layout.segment_ranges(modality));
        (0..elements / len.max(1)).flat_map(move |item| {
            ranges.clone().into_iter().map(move |range| item * len + range.start..item * len + range.end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{AudioLayout, ScheduleKind, VideoLayout};

    fn objective(weighting: Weighting) -> Objective {
        let layout = Layout::new(
            VideoLayout { frames: 2, channels: 1, height: 1, width: 2, segments: vec![1, 1] },
            AudioLayout { frames: 3, channels: 1, segments: vec![1, 2] },
        );
        let spec = DenoiserSpec {
            layout: layout.unwrap(),
            target: Target::Epsilon,
            schedule: ScheduleKind::Linear,
            timesteps: 1000,
        };
        Objective::new(&spec, weighting).unwrap()
    }

    fn batch(weighting: Weighting, levels: Levels) -> NoisyBatch {
        let objective = objective(weighting);
        let mut clean = Latents::zeros(&objective.layout, 1);
        clean.video.copy_from_slice(&[1.0, 2.0, 3.0, 4.0]);
        let mut epsilon = Latents::zeros(&objective.layout, 1);
        epsilon.video.copy_from_slice(&[0.5; 4]);
        objective.noise(&clean, &epsilon, levels).unwrap()
    }

    #[test]
    fn a_clean_cell_is_kept_and_weighs_nothing_and_the_mean_is_over_the_noisy_ones() {
        let noisy = batch(Weighting::Uniform, Levels { video: vec![0.0, 1000.0], audio: vec![0.0, 0.0] });
        assert_eq!(noisy.noisy.video[..2], [1.0, 2.0]);
        assert!((noisy.noisy.video[2] - 0.5).abs() < 0.05, "almost only noise at T");
        let half = 0.5f32.sqrt(); // 1/√2 elements
        assert_eq!(noisy.weight.video, [0.0, 0.0, half, half]);
        assert_eq!(noisy.weight.audio, [0.0; 3], "no noisy cell, no term");
    }

    #[test]
    fn min_snr_weighs_low_noise_down_and_leaves_high_noise() {
        let noisy = batch(Weighting::MinSnr, Levels { video: vec![1.0, 1000.0], audio: vec![0.0, 0.0] });
        // SNR at level 1 is 0.9999/1e-4 = 9999, so the weight is 5/9999; at T it is below 5, so 1.
        let quarter = 0.5; // 1/√4 elements
        assert!((noisy.weight.video[0] / quarter - (5.0f32 / 9999.0).sqrt()).abs() < 1e-6);
        assert_eq!(noisy.weight.video[3], quarter);
    }
}
