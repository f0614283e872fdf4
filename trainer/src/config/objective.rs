//! What a network learns: target, schedule, levels and weights.

use super::fail;
use crate::error::{Error, Result};
use crate::objective::Weighting;
use avdit_core::mixture::Strategy;
use avdit_core::{Mixture, ScheduleKind, Target, Task};
use serde::{Deserialize, Serialize};

/// The largest share of clean cells. Levels are drawn anew until one is above 0, which takes ever longer near 1.
const MOST_CLEAN: f64 = 0.999;
/// Levels are whole numbers in float32.
const MOST_TIMESTEPS: usize = 1 << 24;

/// What the network learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectiveConfig {
    /// `epsilon` (the papers'), `v`, `x0` or `flow`.
    pub target: Target,
    /// `linear`, `cosine`, `scaled_linear` or `flow`.
    pub schedule: ScheduleKind,
    /// T.
    pub timesteps: usize,
    /// `uniform` or `min-snr`.
    pub weighting: Weighting,
    /// γ of min-SNR.
    pub snr_gamma: f64,
    /// Weight of the video term of the loss.
    pub video_weight: f64,
    /// Weight of the audio term of the loss.
    pub audio_weight: f64,
    /// Weight of the bound that a learned variance is trained on, where the network has one (1 in DiT's training).
    pub variance_weight: f64,
    /// `monl`, `vanilla`, `per-modality`, `per-segment`, `per-segment-and-modality` or `conditional`.
    pub strategy: StrategyName,
    /// Weights of MoNL's four strategies, in the order above.
    pub monl_weights: [f64; 4],
    /// The task of the `conditional` strategy, such as `a2v`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub task: Option<String>,
    /// Probability that a drawn level is set to 0, beyond the one in T+1 of a uniform draw; 0.999 at most.
    pub clean_fraction: f64,
}

impl Default for ObjectiveConfig {
    fn default() -> Self {
        Self {
            target: Target::Epsilon,
            schedule: ScheduleKind::Linear,
            timesteps: 1000,
            weighting: Weighting::Uniform,
            snr_gamma: 5.0,
            video_weight: 1.0,
            audio_weight: 1.0,
            variance_weight: 1.0,
            strategy: StrategyName::Monl,
            monl_weights: [1.0; 4],
            task: None,
            clean_fraction: 0.0,
        }
    }
}

/// A level strategy by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrategyName {
    /// The mixture of all four.
    Monl,
    /// One level for all cells.
    Vanilla,
    /// One level per modality.
    PerModality,
    /// One level per segment.
    PerSegment,
    /// A level per cell.
    PerSegmentAndModality,
    /// The task-specific baseline.
    Conditional,
}

impl ObjectiveConfig {
    /// The level strategy.
    ///
    /// # Errors
    /// [`Error::Config`] if the task of a conditional strategy is missing, or given without one.
    pub fn mixture(&self) -> Result<Mixture> {
        let single = |strategy| Ok(Mixture::Single(strategy));
        match (self.strategy, &self.task) {
            (StrategyName::Conditional, Some(task)) => Ok(Mixture::Conditional(task.parse::<Task>()?)),
            (StrategyName::Conditional, None) => Err(Error::Config(
                "objective.strategy is conditional, so objective.task is needed, such as \"a2v\"".into(),
            )),
            (_, Some(task)) => Err(Error::Config(format!(
                "objective.task is '{task}', but only strategy \"conditional\" has a task"
            ))),
            (StrategyName::Monl, None) => Ok(Mixture::Monl(self.monl_weights)),
            (StrategyName::Vanilla, None) => single(Strategy::Vanilla),
            (StrategyName::PerModality, None) => single(Strategy::PerModality),
            (StrategyName::PerSegment, None) => single(Strategy::PerSegment),
            (StrategyName::PerSegmentAndModality, None) => single(Strategy::PerSegmentAndModality),
        }
    }

    /// Checks what can be checked before any work.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting, what it is and what it may be.
    pub fn check(&self) -> Result<()> {
        if !(0.0..=MOST_CLEAN).contains(&self.clean_fraction) {
            let expected = format!("0 to {MOST_CLEAN}");
            return fail("objective.clean_fraction", self.clean_fraction.to_string(), &expected);
        }
        if !(2..=MOST_TIMESTEPS).contains(&self.timesteps) {
            let expected = format!("2 to {MOST_TIMESTEPS}");
            return fail("objective.timesteps", self.timesteps.to_string(), &expected);
        }
        if self.schedule == ScheduleKind::Flow && self.target == Target::Epsilon {
            let expected = "v, x0 or flow with schedule \"flow\", where pure noise says nothing about x0";
            return fail("objective.target", "epsilon".into(), expected);
        }
        if self.strategy != StrategyName::Monl && self.monl_weights != [1.0; 4] {
            let expected = "left out: only strategy \"monl\" has weights";
            return fail("objective.monl_weights", format!("{:?}", self.monl_weights), expected);
        }
        if !(self.snr_gamma > 0.0 && self.snr_gamma.is_finite()) {
            return fail("objective.snr_gamma", self.snr_gamma.to_string(), "a number above 0");
        }
        let weights = [self.video_weight, self.audio_weight];
        for (name, weight) in ["objective.video_weight", "objective.audio_weight"].into_iter().zip(weights) {
            if !(0.0..f64::INFINITY).contains(&weight) {
                return fail(name, weight.to_string(), "0 or more");
            }
        }
        if weights == [0.0; 2] {
            return fail("objective.video_weight", "0".into(), "above 0, or objective.audio_weight above 0");
        }
        self.mixture().map(drop)
    }
}
