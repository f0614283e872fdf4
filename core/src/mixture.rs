//! The mixture of noise levels: which levels a training example is given (Kim et al. 2024, section 3).

use crate::error::{Error, Result};
use crate::noise::{Noise, Purpose, Stream};
use crate::task::Task;
use serde::{Deserialize, Serialize};

/// How one example's levels are tied together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// One level for all cells.
    Vanilla,
    /// Pm: one level per modality.
    PerModality,
    /// Pt: one level per segment, shared by the modalities.
    PerSegment,
    /// Ptm: a level of its own for every cell.
    PerSegmentAndModality,
}

impl Strategy {
    /// All four, in the order of the weights of [`Mixture::Monl`].
    pub const ALL: [Strategy; 4] =
        [Strategy::Vanilla, Strategy::PerModality, Strategy::PerSegment, Strategy::PerSegmentAndModality];

    /// Its name in configurations and reports.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::Vanilla => "vanilla",
            Strategy::PerModality => "per-modality",
            Strategy::PerSegment => "per-segment",
            Strategy::PerSegmentAndModality => "per-segment-and-modality",
        }
    }
}

/// A level strategy of training.
#[derive(Clone, Debug, PartialEq)]
pub enum Mixture {
    /// One strategy for every example.
    Single(Strategy),
    /// Draw a strategy, then its levels; weights in the order of [`Strategy::ALL`]. Equal weights are the paper's
    /// MoNL; a zero for vanilla is its ablation.
    Monl([f64; 4]),
    /// The task-specific baseline: the given cells clean, one level for the rest.
    Conditional(Task),
}

impl Mixture {
    /// The paper's: the four strategies with equal weights.
    pub const MONL: Mixture = Mixture::Monl([1.0; 4]);

    /// Checks weights and task against N segments.
    ///
    /// # Errors
    /// [`Error::Value`] for weights that are negative, not finite or all zero, or a task that does not fit.
    pub fn check(&self, segments: usize) -> Result<()> {
        match self {
            Mixture::Single(_) => Ok(()),
            Mixture::Monl(weights) => {
                let usable =
                    weights.iter().all(|w| w.is_finite() && *w >= 0.0) && weights.iter().sum::<f64>() > 0.0;
                if usable {
                    Ok(())
                } else {
                    Err(Error::value(
                        "weights of MoNL",
                        "at least one above 0, none below",
                        format!("{weights:?}"),
                    ))
                }
            }
            Mixture::Conditional(task) => task.given(segments).map(drop),
        }
    }

    /// The strategy that an example draws; `None` for the conditional baseline.
    pub fn strategy(&self, noise: Noise, step: u32, item: u32) -> Option<Strategy> {
        match self {
            Mixture::Single(strategy) => Some(*strategy),
            Mixture::Conditional(_) => None,
            Mixture::Monl(weights) => {
                let draw = noise.uniform(stream(step, item), 0) * weights.iter().sum::<f64>();
                let mut sum = 0.0;
                let chosen = weights.iter().position(|w| {
                    sum += w;
                    draw < sum
                });
                Some(Strategy::ALL[chosen.unwrap_or(Strategy::ALL.len() - 1)])
            }
        }
    }

    /// The levels of example `item` at training step `step`, one per cell, at least one of them above 0.
    ///
    /// Each drawn level is uniform over 0…T; with probability `clean_fraction` it is set to 0 instead, so that
    /// exactly clean cells, which the tasks give, are seen more often than once in T+1.
    ///
    /// # Shapes
    /// Returns `(2N,)` in cell order, each in 0…`timesteps`.
    /// # Errors
    /// [`Error::Value`] if the conditional task does not fit N segments.
    pub fn draw(
        &self,
        noise: Noise,
        step: u32,
        item: u32,
        segments: usize,
        timesteps: usize,
        clean_fraction: f64,
    ) -> Result<Vec<f32>> {
        let strategy = self.strategy(noise, step, item);
        let mask = match self {
            Mixture::Conditional(task) => Some(task.given(segments)?),
            _ => None,
        };
        let mut attempt = 0u32;
        loop {
            let level = |index: usize| {
                let element = 1 + 2 * (attempt * 2 * segments as u32 + index as u32);
                if noise.uniform(stream(step, item), element) < clean_fraction {
                    return 0.0;
                }
                noise.below(stream(step, item), element + 1, timesteps as u32 + 1) as f32
            };
            let levels: Vec<f32> = (0..2 * segments)
                .map(|cell| match (strategy, &mask) {
                    (_, Some(mask)) if mask.cells()[cell] => 0.0,
                    (None | Some(Strategy::Vanilla), _) => level(0),
                    (Some(Strategy::PerModality), _) => level(cell / segments),
                    (Some(Strategy::PerSegment), _) => level(cell % segments),
                    (Some(Strategy::PerSegmentAndModality), _) => level(cell),
                })
                .collect();
            if levels.iter().any(|&level| level > 0.0) {
                return Ok(levels);
            }
            attempt += 1;
        }
    }
}

fn stream(step: u32, item: u32) -> Stream {
    Stream::new(Purpose::Levels, step, item)
}

#[cfg(test)]
mod tests {
    use super::*;

    const N: usize = 3;

    fn draws(mixture: &Mixture, clean: f64) -> Vec<Vec<f32>> {
        (0..4000).map(|item| mixture.draw(Noise::new(5), 0, item, N, 10, clean).unwrap()).collect()
    }

    #[test]
    fn each_strategy_ties_the_cells_that_it_names() {
        type Group = fn(usize) -> usize;
        let cases: [(Strategy, Group); 4] = [
            (Strategy::Vanilla, |_| 0),
            (Strategy::PerModality, |cell| cell / N),
            (Strategy::PerSegment, |cell| cell % N),
            (Strategy::PerSegmentAndModality, |cell| cell),
        ];
        for (strategy, group) in cases {
            let draws = draws(&Mixture::Single(strategy), 0.0);
            for (a, b) in (0..2 * N).flat_map(|a| (0..2 * N).map(move |b| (a, b))) {
                let tied = draws.iter().all(|levels| levels[a] == levels[b]);
                assert_eq!(tied, group(a) == group(b), "{strategy:?} {a} {b}");
            }
        }
    }

    #[test]
    fn every_level_occurs_zero_among_them_and_some_cell_is_always_noisy() {
        let draws = draws(&Mixture::Single(Strategy::PerSegmentAndModality), 0.0);
        for level in 0..=10 {
            // 24,000 draws of 11 levels: 2,182 expected, standard deviation 45.
            let count = draws.iter().flatten().filter(|&&l| l == level as f32).count();
            assert!((1950..2420).contains(&count), "level {level}: {count}");
        }
        assert!(draws.iter().all(|levels| levels.iter().any(|&l| l > 0.0)));
    }

    #[test]
    fn monl_draws_its_strategies_by_weight() {
        let mixture = Mixture::Monl([0.0, 1.0, 1.0, 2.0]);
        let count = |s| (0..4000).filter(|&i| mixture.strategy(Noise::new(2), 9, i) == Some(s)).count();
        assert_eq!(count(Strategy::Vanilla), 0);
        // 2,000 expected of 4,000, standard deviation 32.
        assert!((1870..2130).contains(&count(Strategy::PerSegmentAndModality)));
        assert!(Mixture::Monl([0.0; 4]).check(N).is_err());
    }

    #[test]
    fn the_conditional_baseline_keeps_given_cells_clean_and_one_level_elsewhere() {
        for levels in draws(&Mixture::Conditional(Task::AudioToVideo), 0.0) {
            assert_eq!(&levels[N..], [0.0; N]);
            assert!(levels[0] > 0.0 && levels[..N].iter().all(|&l| l == levels[0]));
        }
    }

    #[test]
    fn the_clean_fraction_is_the_share_of_zeros() {
        let zeros = draws(&Mixture::Single(Strategy::PerModality), 0.3)
            .iter()
            .flatten()
            .filter(|&&l| l == 0.0)
            .count();
        // p = 0.3 + 0.7/11 = 0.3636; given that not both are zero, (p − p²)/(1 − p²) = 0.2667 of 24,000 = 6,400.
        assert!((6050..6750).contains(&zeros), "{zeros}");
    }
}
