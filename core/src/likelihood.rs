//! The variational bound of a chain with a learned variance (Nichol & Dhariwal 2021, section 3.1).

use crate::error::{Error, Result};
use crate::sampler::LogRange;
use crate::schedule::NoiseSchedule;
use std::f64::consts::{LN_2, PI};

/// The posterior q(x_{t−1} | x_t, x0) of every level; index i is the step from level i+1 to level i.
#[derive(Clone, Debug, PartialEq)]
pub struct Posterior {
    /// Its variance; 0 at index 0.
    pub variance: Vec<f64>,
    /// Its logarithm, with that of index 1 in place of index 0.
    pub log_variance_clipped: Vec<f64>,
    /// Factor of x0 in its mean.
    pub mean_x0: Vec<f64>,
    /// Factor of x_t in its mean.
    pub mean_x: Vec<f64>,
    log_betas: Vec<f64>,
    alpha_bars: Vec<f64>,
}

impl Posterior {
    /// The tables of a schedule.
    ///
    /// # Errors
    /// [`Error::Value`] if the schedule has no βs (flow) or fewer than two.
    pub fn new(schedule: &NoiseSchedule) -> Result<Self> {
        let (betas, bars) = (schedule.betas(), schedule.alpha_bars());
        if betas.len() < 2 {
            return Err(Error::value("betas of a posterior", "at least 2", betas.len()));
        }
        let table = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
            betas.iter().zip(bars.windows(2)).map(|(&beta, bar)| f(beta, bar[0], bar[1])).collect()
        };
        let variance = table(&|beta, previous, bar| beta * (1.0 - previous) / (1.0 - bar));
        let mut log_variance_clipped: Vec<f64> = variance.iter().map(|v| v.ln()).collect();
        log_variance_clipped[0] = log_variance_clipped[1];
        Ok(Self {
            log_variance_clipped,
            mean_x0: table(&|beta, previous, bar| beta * previous.sqrt() / (1.0 - bar)),
            mean_x: table(&|beta, previous, bar| (1.0 - previous) * (1.0 - beta).sqrt() / (1.0 - bar)),
            log_betas: betas.iter().map(|beta| beta.ln()).collect(),
            alpha_bars: bars.to_vec(),
            variance,
        })
    }

    /// The range in which a network chooses the variance at an index.
    ///
    /// # Errors
    /// [`Error::Value`] if the schedule has no such index.
    pub fn range(&self, index: usize) -> Result<LogRange> {
        match (self.log_variance_clipped.get(index), self.log_betas.get(index)) {
            (Some(&min), Some(&max)) => Ok(LogRange { min, max }),
            _ => Err(Error::value("index of a posterior", format!("below {}", self.variance.len()), index)),
        }
    }

    /// The bound's term of one element at an index, in bits: KL(q ‖ p), or −ln p(x0 | x_1) at index 0, where p has the
    /// mean that `epsilon` predicts and the variance that `output` chooses.
    ///
    /// # Errors
    /// [`Error::Value`] if the schedule has no such index.
    pub fn bound_bits(&self, index: usize, element: BoundElement) -> Result<f64> {
        let range = self.range(index)?;
        let BoundElement { x0, x, epsilon, output } = element;
        let bar = self.alpha_bars[index + 1];
        let predicted = (1.0 / bar).sqrt() * x - (1.0 / bar - 1.0).sqrt() * epsilon;
        let mean_of = |x0: f64| self.mean_x0[index] * x0 + self.mean_x[index] * x;
        let mean = mean_of(predicted);
        let log_variance = range.log_variance(output);
        let nats = if index == 0 {
            -discretised_log_likelihood(x0, mean, 0.5 * log_variance)
        } else {
            normal_kl(mean_of(x0), self.log_variance_clipped[index], mean, log_variance)
        };
        Ok(nats / LN_2)
    }

    /// How [`Posterior::bound_bits`] changes with `output`, the predicted noise held: what the variance learns from
    /// (Nichol & Dhariwal 2021, section 3.1).
    ///
    /// # Errors
    /// As [`Posterior::bound_bits`].
    pub fn bound_slope(&self, index: usize, element: BoundElement) -> Result<f64> {
        let range = self.range(index)?;
        let BoundElement { x0, x, epsilon, output } = element;
        let bar = self.alpha_bars[index + 1];
        let predicted = (1.0 / bar).sqrt() * x - (1.0 / bar - 1.0).sqrt() * epsilon;
        let error = self.mean_x0[index] * (predicted - x0);
        let log_variance = range.log_variance(output);
        // By the logarithm of the variance, which moves by half the range for one of `output`.
        let slope = if index == 0 {
            let mean = self.mean_x0[index] * predicted + self.mean_x[index] * x;
            -0.5 * discretised_slope(x0, mean, 0.5 * log_variance)
        } else {
            let ratio = (self.log_variance_clipped[index] - log_variance).exp();
            0.5 * (1.0 - ratio - error * error * (-log_variance).exp())
        };
        Ok(slope * 0.5 * (range.max - range.min) / LN_2)
    }
}

/// What [`Posterior::bound_bits`] needs of an element.
#[derive(Clone, Copy, Debug)]
pub struct BoundElement {
    /// Clean.
    pub x0: f64,
    /// Noisy.
    pub x: f64,
    /// The predicted noise.
    pub epsilon: f64,
    /// The network's second output.
    pub output: f64,
}

/// KL divergence between two normals, in nats.
pub fn normal_kl(mean_1: f64, log_variance_1: f64, mean_2: f64, log_variance_2: f64) -> f64 {
    let difference = mean_1 - mean_2;
    // In the published order, −1 + ln v₂ − ln v₁ + v₁/v₂, terms of size 1 cancel down to 1e-7.
    let ratio = log_variance_1 - log_variance_2;
    0.5 * (ratio.exp_m1() - ratio + difference * difference * (-log_variance_2).exp())
}

/// ln of a normal's mass in the bin of width 2/255 around `x`, the outermost bins (|x| > 0.999) reaching to infinity
/// (Ho et al. 2020, Eq. 13); the distribution function by its tanh approximation, masses not below 1e-12.
pub fn discretised_log_likelihood(x: f64, mean: f64, log_deviation: f64) -> f64 {
    let cdf = |x: f64| 0.5 * (1.0 + ((2.0 / PI).sqrt() * (x + 0.044_715 * x * x * x)).tanh());
    let scale = (-log_deviation).exp();
    let (above, below) = (cdf(scale * (x - mean + 1.0 / 255.0)), cdf(scale * (x - mean - 1.0 / 255.0)));
    let mass = if x < -0.999 {
        above
    } else if x > 0.999 {
        1.0 - below
    } else {
        above - below
    };
    mass.max(1e-12).ln()
}

/// How [`discretised_log_likelihood`] changes with the logarithm of the deviation; 0 where the mass is held at its least.
fn discretised_slope(x: f64, mean: f64, log_deviation: f64) -> f64 {
    let root = (2.0 / PI).sqrt();
    let cdf = |x: f64| 0.5 * (1.0 + (root * (x + 0.044_715 * x * x * x)).tanh());
    let density = |x: f64| {
        let tanh = (root * (x + 0.044_715 * x * x * x)).tanh();
        0.5 * (1.0 - tanh * tanh) * root * (1.0 + 3.0 * 0.044_715 * x * x)
    };
    let scale = (-log_deviation).exp();
    let ends = [scale * (x - mean + 1.0 / 255.0), scale * (x - mean - 1.0 / 255.0)];
    // An end moves by −end for one of the logarithm.
    let [above, below] = ends.map(cdf);
    let [moves_above, moves_below] = ends.map(|end| -end * density(end));
    let (mass, slope) = if x < -0.999 {
        (above, moves_above)
    } else if x > 0.999 {
        (1.0 - below, -moves_below)
    } else {
        (above - below, moves_above - moves_below)
    };
    if mass > 1e-12 { slope / mass } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::ScheduleKind;

    #[test]
    fn the_bound_is_zero_for_the_posterior_itself() {
        let schedule = NoiseSchedule::new(ScheduleKind::Linear, 1000).unwrap();
        let posterior = Posterior::new(&schedule).unwrap();
        let (x0, epsilon) = (0.3, -0.8);
        let rates = schedule.rates(501.0);
        let x = rates.alpha * x0 + rates.sigma * epsilon;
        let at = |output| posterior.bound_bits(500, BoundElement { x0, x, epsilon, output }).unwrap();
        assert!(at(-1.0).abs() < 1e-12, "{}", at(-1.0));
        assert!(at(1.0) > 0.0);
        assert!(posterior.range(1000).is_err());
    }

    #[test]
    fn the_slope_of_the_bound_is_that_of_its_values() {
        let posterior = Posterior::new(&NoiseSchedule::new(ScheduleKind::Linear, 1000).unwrap()).unwrap();
        for (index, x0) in [(0, 0.3), (0, -1.2), (0, 1.2), (1, 0.3), (500, -0.7), (999, 0.1)] {
            for output in [-1.0, -0.2, 0.9] {
                let at = |output| BoundElement { x0, x: 0.99 * x0 + 0.01, epsilon: 0.6, output };
                let bits = |output| posterior.bound_bits(index, at(output)).unwrap();
                let expected = (bits(output + 1e-5) - bits(output - 1e-5)) / 2e-5;
                let slope = posterior.bound_slope(index, at(output)).unwrap();
                let off = (slope - expected).abs();
                assert!(off <= 1e-6 * expected.abs().max(1e-3), "{index} {x0} {output}: {slope}, {expected}");
            }
        }
    }

    #[test]
    fn the_bins_of_a_normal_hold_all_its_mass() {
        let mass: f64 =
            (0..256).map(|k| discretised_log_likelihood(f64::from(k) / 127.5 - 1.0, 0.2, -1.0).exp()).sum();
        assert!((mass - 1.0).abs() < 1e-9, "{mass}");
    }

    #[test]
    fn a_schedule_without_betas_has_no_posterior() {
        assert!(Posterior::new(&NoiseSchedule::new(ScheduleKind::Flow, 10).unwrap()).is_err());
    }
}
