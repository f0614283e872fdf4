//! Noise schedules: how much signal and noise a level holds.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::FRAC_PI_2;

/// Which schedule; the published tables at their published constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScheduleKind {
    /// β from 1e-4 to 2e-2 at T = 1000, scaled by 1000/T otherwise (Ho et al. 2020; ADM, DiT).
    Linear,
    /// Nichol & Dhariwal 2021, β ≤ 0.999.
    Cosine,
    /// β = linspace(√start, √end)²: latent diffusion's, 0.00085 to 0.012.
    ScaledLinear,
    /// Straight paths: x = (1 − t/T)·x0 + t/T·ε (Lipman et al. 2022). Not variance-preserving.
    Flow,
}

/// How much of the clean latents (`alpha`) and of the noise (`sigma`) a noisy latent holds: x = α·x0 + σ·ε.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Factor of the signal, √ᾱ.
    pub alpha: f64,
    /// Factor of the noise, √(1−ᾱ).
    pub sigma: f64,
}

impl Rates {
    /// Clean data.
    pub const CLEAN: Rates = Rates { alpha: 1.0, sigma: 0.0 };

    /// The rates of a variance-preserving ᾱ.
    pub fn from_alpha_bar(alpha_bar: f64) -> Self {
        Self { alpha: alpha_bar.sqrt(), sigma: (1.0 - alpha_bar).sqrt() }
    }

    /// λ = ln(α/σ), half the log signal-to-noise ratio; +∞ when clean.
    pub fn lambda(self) -> f64 {
        self.alpha.ln() - self.sigma.ln()
    }
}

/// A schedule over the levels 0…T with level 0 clean: ᾱ₀ = 1 exactly.
///
/// Published tables are indexed 0…T−1 without a clean entry; their index i is level i+1 here.
#[derive(Clone, Debug, PartialEq)]
pub struct NoiseSchedule {
    kind: Option<ScheduleKind>,
    betas: Vec<f64>,
    alpha_bars: Vec<f64>,
}

impl NoiseSchedule {
    /// The tables of a kind over T levels.
    ///
    /// # Errors
    /// [`Error::Value`] if T is below 2, or so small that a β of the scaled linear table reaches 1.
    pub fn new(kind: ScheduleKind, timesteps: usize) -> Result<Self> {
        if timesteps < 2 {
            return Err(Error::value("number of timesteps", "at least 2", timesteps));
        }
        let betas = match kind {
            ScheduleKind::Linear => {
                let scale = 1000.0 / timesteps as f64;
                linspace(scale * 1e-4, scale * 2e-2, timesteps)
            }
            ScheduleKind::Cosine => cosine_betas(timesteps),
            ScheduleKind::ScaledLinear => scaled_linear_betas(0.000_85, 0.012, timesteps),
            ScheduleKind::Flow => Vec::new(),
        };
        if let Some(beta) = betas.iter().find(|&&beta| beta >= 1.0) {
            let expected = format!(
                "more timesteps than {timesteps} for schedule {kind:?}, so that every beta is below 1"
            );
            return Err(Error::value("beta", expected, beta));
        }
        let mut schedule = Self::from_betas(betas);
        schedule.kind = Some(kind);
        if kind == ScheduleKind::Flow {
            schedule.alpha_bars =
                (0..=timesteps).map(|t| (1.0 - t as f64 / timesteps as f64).powi(2)).collect();
        }
        Ok(schedule)
    }

    /// The schedule of a table β₁…β_T.
    pub fn from_betas(betas: Vec<f64>) -> Self {
        let mut alpha_bars = vec![1.0];
        for beta in &betas {
            alpha_bars.push(alpha_bars[alpha_bars.len() - 1] * (1.0 - beta));
        }
        Self { kind: None, betas, alpha_bars }
    }

    /// T, the level of pure noise.
    pub fn timesteps(&self) -> usize {
        self.alpha_bars.len() - 1
    }

    /// β₁…β_T (index i is level i+1); empty for [`ScheduleKind::Flow`].
    pub fn betas(&self) -> &[f64] {
        &self.betas
    }

    /// ᾱ₀…ᾱ_T. For [`ScheduleKind::Flow`], α².
    pub fn alpha_bars(&self) -> &[f64] {
        &self.alpha_bars
    }

    /// Whether this is the straight path of flow matching.
    pub fn is_flow(&self) -> bool {
        self.kind == Some(ScheduleKind::Flow)
    }

    /// The rates of a level in `[0, T]`; between integers ᾱ is interpolated linearly in ln ᾱ (flow: exactly).
    pub fn rates(&self, level: f64) -> Rates {
        let level = level.clamp(0.0, self.timesteps() as f64);
        if self.is_flow() {
            let sigma = level / self.timesteps() as f64;
            return Rates { alpha: 1.0 - sigma, sigma };
        }
        let (below, fraction) = (level.floor() as usize, level.fract());
        if fraction == 0.0 {
            return Rates::from_alpha_bar(self.alpha_bars[below]);
        }
        let (low, high) = (self.alpha_bars[below].ln(), self.alpha_bars[below + 1].ln());
        Rates::from_alpha_bar((low + fraction * (high - low)).exp())
    }
}

/// n numbers from `start` to `end`, both included.
pub fn linspace(start: f64, end: f64, n: usize) -> Vec<f64> {
    let step = if n > 1 { (end - start) / (n - 1) as f64 } else { 0.0 };
    (0..n).map(|i| if i + 1 == n { end } else { start + step * i as f64 }).collect()
}

/// β = linspace(√start, √end)² (Rombach et al. 2022).
pub fn scaled_linear_betas(start: f64, end: f64, n: usize) -> Vec<f64> {
    linspace(start.sqrt(), end.sqrt(), n).into_iter().map(|root| root * root).collect()
}

/// f(t) = cos²((t + 0.008)/1.008 · π/2), β = min(1 − f((i+1)/T)/f(i/T), 0.999).
pub fn cosine_betas(n: usize) -> Vec<f64> {
    let f = |i: usize| ((i as f64 / n as f64 + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
    (0..n).map(|i| (1.0 - f(i + 1) / f(i)).min(0.999)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_schedule_starts_clean_and_only_loses_signal() {
        for kind in
            [ScheduleKind::Linear, ScheduleKind::Cosine, ScheduleKind::ScaledLinear, ScheduleKind::Flow]
        {
            for timesteps in [40, 1000] {
                let schedule = NoiseSchedule::new(kind, timesteps).unwrap();
                assert_eq!(schedule.rates(0.0), Rates::CLEAN);
                assert_eq!(schedule.alpha_bars().len(), timesteps + 1);
                assert!(schedule.alpha_bars().windows(2).all(|w| w[1] < w[0]), "{kind:?} {timesteps}");
            }
        }
    }

    #[test]
    fn too_few_timesteps_for_a_table_are_refused() {
        // 1000/10 · 2e-2 = 2
        assert!(NoiseSchedule::new(ScheduleKind::Linear, 10).unwrap_err().to_string().starts_with("beta: "));
    }

    #[test]
    fn variance_is_preserved_between_integer_levels_too() {
        let schedule = NoiseSchedule::new(ScheduleKind::Cosine, 1000).unwrap();
        for level in [0.25, 17.5, 998.999] {
            let rates = schedule.rates(level);
            assert!((rates.alpha.powi(2) + rates.sigma.powi(2) - 1.0).abs() < 1e-14);
            assert!(rates.alpha < schedule.rates(level.floor()).alpha);
            assert!(rates.alpha > schedule.rates(level.ceil()).alpha);
        }
    }
}
