//! Methods without history: DDPM, DDIM, Euler, Heun.

use super::method::{Corner, Variance};
use super::update::{LogRange, Sum};
use crate::schedule::Rates;
use crate::target::{Linear, Target};

/// α_t/α_s and the variance of q(x_t | x_s), for a step from t to the cleaner s.
struct Forward {
    ratio: f64,
    variance: f64,
}

impl Forward {
    fn new(from: Rates, to: Rates) -> Self {
        let ratio = from.alpha / to.alpha;
        Self { ratio, variance: from.sigma * from.sigma - ratio * ratio * to.sigma * to.sigma }
    }

    /// Variance of q(x_s | x_t, x0).
    fn posterior(&self, from: Rates, to: Rates) -> f64 {
        (to.sigma / from.sigma).powi(2) * self.variance
    }
}

/// DDPM's step: mean of q(x_s | x_t, x̂0) plus noise (Ho et al. 2020, Eq. 6 and 7).
pub(super) fn ddpm(from: Rates, to: Rates, variance: Variance, noisy_end: bool) -> (Sum, Option<LogRange>) {
    let forward = Forward::new(from, to);
    let square = from.sigma * from.sigma;
    let mut sum = Sum {
        x: forward.ratio * to.sigma * to.sigma / square,
        kept: to.alpha * forward.variance / square,
        ..Sum::default()
    };
    if to.sigma == 0.0 && !noisy_end {
        return (sum, None);
    }
    // The published floor, which matters where the step arrives at clean latents.
    let small = forward.posterior(from, to).max(1e-20);
    match variance {
        Variance::Small => sum.noise = small.sqrt(),
        Variance::Large => sum.noise = forward.variance.sqrt(),
        Variance::Learned => sum.noise = 1.0,
        Variance::LearnedRange => {
            sum.noise = 1.0;
            return (sum, Some(LogRange { min: small.ln(), max: forward.variance.ln() }));
        }
    }
    (sum, None)
}

/// DDIM's step (Song et al. 2021, Eq. 12 and 16).
pub(super) fn ddim(from: Rates, to: Rates, eta: f64, epsilon: Epsilon) -> Sum {
    let variance = if eta == 0.0 { 0.0 } else { eta * eta * Forward::new(from, to).posterior(from, to) };
    let mut sum = Sum { kept: to.alpha, noise: variance.sqrt(), ..Sum::default() };
    let direction = (to.sigma * to.sigma - variance).sqrt();
    epsilon.add(&mut sum, direction);
    sum
}

/// Where a step takes the noise of x from.
pub(super) enum Epsilon {
    /// From the prediction.
    Predicted(Linear),
    /// From x and the kept clean latents: (x − α·x̂0)/σ.
    Kept(Rates),
}

impl Epsilon {
    /// The prediction's noise, or the one that the kept latents leave.
    pub(super) fn new(target: Target, from: Rates, from_kept: bool) -> Self {
        if from_kept { Epsilon::Kept(from) } else { Epsilon::Predicted(target.to_epsilon(from)) }
    }

    fn add(&self, sum: &mut Sum, factor: f64) {
        match self {
            Epsilon::Predicted(linear) => {
                sum.x += factor * linear.x;
                sum.prediction += factor * linear.prediction;
            }
            Epsilon::Kept(from) => {
                sum.x += factor / from.sigma;
                sum.kept -= factor * from.alpha / from.sigma;
            }
        }
    }
}

/// Euler's step: x' = α'·x̂0 + σ'·ε̂.
pub(super) fn euler(from: Rates, to: Rates) -> Sum {
    let ratio = to.sigma / from.sigma;
    Sum { x: ratio, kept: to.alpha - ratio * from.alpha, ..Sum::default() }
}

/// Clean latents and fresh noise.
pub(super) fn renoise(to: Rates) -> Sum {
    Sum { kept: to.alpha, noise: to.sigma, ..Sum::default() }
}

/// Heun's method in y = x/n over s = σ/n, with n = α or α+σ: the slope is (y − x̂0)/s.
pub(super) struct Heun {
    corner: Corner,
    target: Target,
    clips: bool,
}

impl Heun {
    pub(super) fn new(corner: Corner, target: Target, clips: bool) -> Self {
        Self { corner, target, clips }
    }

    fn norm(&self, rates: Rates) -> f64 {
        match self.corner {
            Corner::Exploding => rates.alpha,
            Corner::Straight => rates.alpha + rates.sigma,
        }
    }

    /// The slope, from x and prediction, or from x and clipped clean latents. The former is ε or ε − x̂0, and taken
    /// from the prediction it keeps the digits that the difference y − x̂0 loses at small s.
    pub(super) fn slope(&self, at: Rates) -> (Linear, Option<Linear>) {
        let clean = self.target.to_x0(at);
        if self.clips {
            return (clean, Some(Linear { x: 1.0 / at.sigma, prediction: -self.norm(at) / at.sigma }));
        }
        let mut slope = self.target.to_epsilon(at);
        if self.corner == Corner::Straight {
            slope.x -= clean.x;
            slope.prediction -= clean.prediction;
        }
        (slope, None)
    }

    /// The first half: Euler's step.
    pub(super) fn predict(&self, from: Rates, to: Rates) -> Sum {
        if self.clips {
            let (n, n_to) = (self.norm(from), self.norm(to));
            return Sum { x: n_to / n, kept: n_to * (to.sigma / n_to - from.sigma / n), ..Sum::default() };
        }
        let (sum, clean) = (euler(from, to), self.target.to_x0(from));
        Sum { x: sum.x + sum.kept * clean.x, prediction: sum.kept * clean.prediction, ..Sum::default() }
    }

    /// The second half: from the saved x at `from`, with the mean of both slopes.
    pub(super) fn correct(&self, from: Rates, to: Rates) -> Sum {
        let (n, n_to) = (self.norm(from), self.norm(to));
        let half = 0.5 * n_to * (to.sigma / n_to - from.sigma / n);
        Sum { saved: n_to / n, history: [half, 0.0, 0.0], kept: half, ..Sum::default() }
    }
}
