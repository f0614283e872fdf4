//! What a learned variance is trained on: the variational bound's term of every noisy element.

use crate::error::Result;
use crate::objective::NoisyBatch;
use avdit_core::likelihood::{BoundElement, Posterior};
use avdit_core::target::Linear;
use avdit_core::{DenoiserSpec, Latents, Layout, Modality};
use rayon::prelude::*;
use std::sync::Arc;

/// The tables of a schedule's bound, and the weight of the term.
#[derive(Clone)]
pub struct BoundRule {
    posterior: Arc<Posterior>,
    /// By level.
    to_epsilon: Arc<[Linear]>,
    layout: Layout,
    weight: f64,
}

impl BoundRule {
    /// For a network that predicts a target and a variance; `weight` is that of the term.
    ///
    /// # Errors
    /// A value error if the schedule has no βs.
    pub fn new(spec: &DenoiserSpec, weight: f64) -> Result<Self> {
        let schedule = spec.noise_schedule()?;
        let posterior = Arc::new(Posterior::new(&schedule)?);
        let rates = (0..=spec.timesteps).map(|level| schedule.rates(level as f64));
        let to_epsilon = rates.map(|rates| spec.target.to_epsilon(rates)).collect();
        Ok(Self { posterior, to_epsilon, layout: spec.layout.clone(), weight })
    }

    /// The term of a batch, whose clean latents are these.
    pub fn of(&self, clean: Latents) -> Bound {
        Bound { rule: self.clone(), clean }
    }
}

/// The term of a batch.
pub struct Bound {
    rule: BoundRule,
    clean: Latents,
}

impl Bound {
    /// The same of some examples.
    pub(crate) fn slice(&self, examples: std::ops::Range<usize>) -> Self {
        Self { rule: self.rule.clone(), clean: self.clean.slice(&self.rule.layout, examples) }
    }

    /// Σ w·bits over the elements of a modality (Nichol & Dhariwal 2021, Eq. 4 to 6, a mean in bits as in DiT's training),
    /// and its slope by the network's second output; what it predicts is taken as it is. w is the squared error's own
    /// weight times that of the term: nothing for clean cells.
    ///
    /// # Errors
    /// A value error if a level is not of the schedule.
    pub(crate) fn term(
        &self,
        modality: Modality,
        batch: &NoisyBatch,
        predicted: &[f32],
        output: &[f32],
    ) -> Result<(f64, Vec<f32>)> {
        let BoundRule { posterior, to_epsilon, layout, weight } = &self.rule;
        let (clean, noisy) = (self.clean.get(modality), batch.noisy.get(modality));
        let (levels, weights) = (batch.levels.get(modality), batch.weight.get(modality));
        let (ranges, len) = (layout.segment_ranges(modality), layout.len(modality));
        let mut slope = vec![0.0f32; output.len()];
        let rows = slope.par_chunks_mut(len.max(1)).enumerate().map(|(item, slope)| {
            let mut sum = 0.0;
            for (range, &level) in ranges.iter().zip(&levels[item * ranges.len()..]) {
                if level < 1.0 {
                    continue;
                }
                let index = level as usize - 1;
                let to_epsilon = to_epsilon[index + 1];
                for k in range.clone() {
                    let i = item * len + k;
                    let w = f64::from(weights[i]).powi(2) * weight;
                    let [x0, x, predicted, output] =
                        [clean[i], noisy[i], predicted[i], output[i]].map(f64::from);
                    let epsilon = to_epsilon.x * x + to_epsilon.prediction * predicted;
                    let element = BoundElement { x0, x, epsilon, output };
                    sum += w * posterior.bound_bits(index, element)?;
                    slope[k] = (w * posterior.bound_slope(index, element)?) as f32;
                }
            }
            Ok(sum)
        });
        let sums = rows.collect::<Result<Vec<f64>>>()?;
        Ok((sums.iter().sum(), slope))
    }
}
