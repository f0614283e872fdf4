//! What a network predicts, and how clean latents and noise follow from it.

use crate::schedule::Rates;
use serde::{Deserialize, Serialize};

/// The prediction target of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// ε, the noise (Ho et al. 2020; the papers' default).
    Epsilon,
    /// v = α·ε − σ·x0 (Salimans & Ho 2022).
    V,
    /// x0, the clean latents.
    X0,
    /// The velocity ε − x0 of a straight path (Lipman et al. 2022).
    Flow,
}

/// A linear form `x·a + prediction·b`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Linear {
    /// Factor of the noisy latents.
    pub x: f64,
    /// Factor of the prediction.
    pub prediction: f64,
}

impl Target {
    /// The target's value from clean latents and noise.
    pub fn of(self, rates: Rates, x0: f64, epsilon: f64) -> f64 {
        match self {
            Target::Epsilon => epsilon,
            Target::V => rates.alpha * epsilon - rates.sigma * x0,
            Target::X0 => x0,
            Target::Flow => epsilon - x0,
        }
    }

    /// Clean latents from noisy ones and a prediction.
    pub fn to_x0(self, Rates { alpha, sigma }: Rates) -> Linear {
        match self {
            Target::Epsilon => Linear { x: 1.0 / alpha, prediction: -sigma / alpha },
            Target::V => {
                let norm = alpha * alpha + sigma * sigma;
                Linear { x: alpha / norm, prediction: -sigma / norm }
            }
            Target::X0 => Linear { x: 0.0, prediction: 1.0 },
            Target::Flow => Linear { x: 1.0 / (alpha + sigma), prediction: -sigma / (alpha + sigma) },
        }
    }

    /// Noise from noisy latents and a prediction; all zero at a clean level, where there is none.
    pub fn to_epsilon(self, Rates { alpha, sigma }: Rates) -> Linear {
        if sigma == 0.0 {
            return Linear { x: 0.0, prediction: 0.0 };
        }
        match self {
            Target::Epsilon => Linear { x: 0.0, prediction: 1.0 },
            Target::V => {
                let norm = alpha * alpha + sigma * sigma;
                Linear { x: sigma / norm, prediction: alpha / norm }
            }
            Target::X0 => Linear { x: 1.0 / sigma, prediction: -alpha / sigma },
            Target::Flow => Linear { x: 1.0 / (alpha + sigma), prediction: alpha / (alpha + sigma) },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_latents_and_noise_come_back_from_every_target() {
        let (x0, epsilon) = (0.7, -1.3);
        for rates in
            [Rates::from_alpha_bar(0.9), Rates::from_alpha_bar(4e-5), Rates { alpha: 0.3, sigma: 0.7 }]
        {
            let x = rates.alpha * x0 + rates.sigma * epsilon;
            for target in [Target::Epsilon, Target::V, Target::X0, Target::Flow] {
                let prediction = target.of(rates, x0, epsilon);
                let apply = |form: Linear| form.x * x + form.prediction * prediction;
                assert!((apply(target.to_x0(rates)) - x0).abs() < 1e-12, "{target:?} {rates:?}");
                assert!((apply(target.to_epsilon(rates)) - epsilon).abs() < 1e-12, "{target:?} {rates:?}");
            }
        }
    }
}
