//! What is told of a step, and the sums that it is made of.

use crate::batches::Batch;
use crate::objective::Objective;
use avdit_core::mixture::Strategy;
use avdit_core::{Layout, Modality};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What happened in a step: a line of `metrics.jsonl`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StepMetrics {
    /// The step, from 1.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// The loss.
    pub loss: f64,
    /// Its video term.
    pub loss_video: f64,
    /// Its audio term.
    pub loss_audio: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub lr: f64,
    /// The examples of each strategy that occurred.
    pub by_strategy: BTreeMap<String, StrategyLoss>,
    /// The errors of cells by level, from little to much noise.
    pub by_level_bin: Vec<LevelBin>,
    /// Wall time of the step, with the wait for its batch.
    pub step_ms: f64,
    /// How much of it was spent waiting for the batch.
    pub wait_ms: f64,
    /// Steps in a second, at the pace of this one.
    pub steps_per_s: f64,
    /// Billions of floating-point operations of the network's matrix products in a second: forward and backward, each
    /// multiply-add counted as two; what is computed again to save memory is not counted.
    pub gflops: f64,
    /// What the machine reaches on large matrix products alone, in the same unit, where it was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub matmul_gflops: Option<f64>,
    /// `gflops` over `matmul_gflops`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
}

/// The examples of a step that drew one strategy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct StrategyLoss {
    /// Their loss, as if they were the whole batch.
    pub loss: f64,
    /// How many they are.
    pub examples: usize,
}

/// The cells of a step whose level lies in one range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LevelBin {
    /// Levels above this…
    pub low: f64,
    /// …up to this one.
    pub high: f64,
    /// Mean squared error of the prediction over the elements of the video cells, unweighted; none without cells.
    pub video: Option<f64>,
    /// Of the audio cells.
    pub audio: Option<f64>,
    /// How many cells they are, of both modalities.
    pub cells: usize,
}

/// Ranges of levels that are told apart.
pub const LEVEL_BINS: usize = 10;
/// The name of the examples of the conditional baseline, which draw no strategy.
const CONDITIONAL: &str = "conditional";
/// Strategies that are told apart.
const STRATEGIES: usize = Strategy::ALL.len() + 1;
/// Sums of a strategy: its examples, and error and elements of each modality.
const OF_STRATEGY: usize = 5;
/// Sums of a bin: error, elements and cells of each modality.
const OF_BIN: usize = 6;

/// The sums behind [`StepMetrics`]. Those of the parts of a batch add up to those of the whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Tally {
    timesteps: usize,
    sums: Vec<f64>,
}

impl Tally {
    /// Of a batch, or a part of one, and the squared errors of its cells, `(B, 2N)` in cell order, unweighted.
    pub fn new(
        layout: &Layout,
        timesteps: usize,
        objective: &Objective,
        batch: &Batch,
        errors: &[f64],
    ) -> Self {
        let segments = layout.segments();
        let mut sums = vec![0.0; STRATEGIES * OF_STRATEGY + LEVEL_BINS * OF_BIN];
        let (of_strategies, of_bins) = sums.split_at_mut(STRATEGIES * OF_STRATEGY);
        for (item, strategy) in batch.strategies.iter().enumerate() {
            let place = strategy.map_or(STRATEGIES - 1, |drawn| drawn as usize);
            let of_strategy = &mut of_strategies[place * OF_STRATEGY..][..OF_STRATEGY];
            of_strategy[0] += 1.0;
            for modality in Modality::ALL {
                let levels = &batch.noisy.levels.get(modality)[item * segments..][..segments];
                let errors = &errors[(2 * item + modality as usize) * segments..][..segments];
                for ((&level, &error), range) in
                    levels.iter().zip(errors).zip(layout.segment_ranges(modality))
                {
                    if level == 0.0 {
                        continue;
                    }
                    let m = modality as usize;
                    of_strategy[1 + 2 * m] += error * objective.cell_weight(modality, level);
                    of_strategy[2 + 2 * m] += range.len() as f64;
                    let bin = bin_of(level, timesteps);
                    let of_bin = &mut of_bins[bin * OF_BIN + 3 * m..][..3];
                    of_bin[0] += error;
                    of_bin[1] += range.len() as f64;
                    of_bin[2] += 1.0;
                }
            }
        }
        Self { timesteps, sums }
    }

    /// All sums, to add those of other parts of the same batch to.
    pub fn sums_mut(&mut self) -> &mut [f64] {
        &mut self.sums
    }

    /// The examples of each strategy that occurred.
    pub fn by_strategy(&self) -> BTreeMap<String, StrategyLoss> {
        let names = Strategy::ALL.iter().map(|strategy| strategy.name()).chain([CONDITIONAL]);
        let occurred = names.zip(self.sums.chunks(OF_STRATEGY)).filter(|(_, sums)| sums[0] > 0.0);
        let told = occurred.map(|(name, sums)| {
            let loss =
                mean(sums[1], sums[2]).unwrap_or_default() + mean(sums[3], sums[4]).unwrap_or_default();
            (name.to_owned(), StrategyLoss { loss, examples: sums[0] as usize })
        });
        told.collect()
    }

    /// The cells by level.
    pub fn by_level_bin(&self) -> Vec<LevelBin> {
        let edge = |bin: usize| (bin * self.timesteps) as f64 / LEVEL_BINS as f64;
        let bins = self.sums[STRATEGIES * OF_STRATEGY..].chunks(OF_BIN).enumerate();
        bins.map(|(bin, sums)| LevelBin {
            low: edge(bin),
            high: edge(bin + 1),
            video: mean(sums[0], sums[1]),
            audio: mean(sums[3], sums[4]),
            cells: (sums[2] + sums[5]) as usize,
        })
        .collect()
    }
}

fn mean(sum: f64, count: f64) -> Option<f64> {
    (count > 0.0).then(|| sum / count)
}

/// The bin of a level above 0: bin i holds the levels above i·T/10 up to (i+1)·T/10.
fn bin_of(level: f32, timesteps: usize) -> usize {
    let place = (f64::from(level) * LEVEL_BINS as f64 / timesteps as f64).ceil() as usize;
    place.clamp(1, LEVEL_BINS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bin_ends_with_its_upper_level() {
        let levels = [1.0, 100.0, 101.0, 900.0, 901.0, 1000.0];
        assert_eq!(levels.map(|level| bin_of(level, 1000)), [0, 0, 1, 8, 9, 9]);
        assert_eq!([1.0, 2.0, 3.0].map(|level| bin_of(level, 3)), [3, 6, 9]);
    }
}
