//! β tables, timestep spacings and conversions of sigmas that the published schedulers share.

use super::kwargs::Kwargs;
use anyhow::{Result, bail};
use avdit_core::sampler::Clip;
use avdit_core::schedule::{cosine_betas, linspace, scaled_linear_betas};
use avdit_core::{NoiseSchedule, Target};

/// ᾱ of the published indices 0…T−1.
pub(super) struct Chain {
    pub(super) alpha_bars: Vec<f64>,
    /// Whether the table is the cosine one, which some schedulers round differently.
    pub(super) cosine: bool,
}

impl Chain {
    /// From `beta_*`, `trained_betas`, `num_train_timesteps` and `rescale_betas_zero_snr`; `defaults` are those of
    /// `beta_start` and `beta_end`, `floor` what ᾱ of the last index becomes where rescaling made it 0.
    pub(super) fn new(
        kwargs: &Kwargs,
        trained: usize,
        defaults: (f64, f64),
        floor: Option<f64>,
    ) -> Result<Self> {
        let n = kwargs.count_or("num_train_timesteps", trained)?;
        let (start, end) =
            (kwargs.number_or("beta_start", defaults.0)?, kwargs.number_or("beta_end", defaults.1)?);
        let schedule = kwargs.text("beta_schedule", "linear")?;
        let betas = match (kwargs.list("trained_betas")?, schedule) {
            (Some(betas), _) => betas,
            (None, "linear") => linspace(start, end, n),
            (None, "scaled_linear") => scaled_linear_betas(start, end, n),
            (None, "squaredcos_cap_v2") => cosine_betas(n),
            (None, "exp") => alpha_bar_betas(n, |t| (-12.0 * t).exp()),
            (None, "laplace") => alpha_bar_betas(n, |t| {
                let half: f64 = 0.5 - t;
                let snr = (-0.5 * half.signum() * (1.0 - 2.0 * half.abs() + 1e-6).ln()).exp();
                (snr / (1.0 + snr)).sqrt()
            }),
            (None, "sigmoid") => linspace(-6.0, 6.0, n)
                .into_iter()
                .map(|x| (end - start) / (1.0 + (-x).exp()) + start)
                .collect(),
            (None, other) => bail!("beta_schedule = {other} is not supported"),
        };
        let mut alpha_bars = NoiseSchedule::from_betas(betas).alpha_bars()[1..].to_vec();
        if kwargs.flag("rescale_betas_zero_snr", false)? {
            alpha_bars = zero_terminal(&alpha_bars);
            if let (Some(floor), Some(last)) = (floor, alpha_bars.last_mut()) {
                *last = floor;
            }
        }
        Ok(Self { alpha_bars, cosine: schedule == "squaredcos_cap_v2" })
    }

    pub(super) fn len(&self) -> usize {
        self.alpha_bars.len()
    }

    /// √((1−ᾱ)/ᾱ) of every index.
    pub(super) fn sigmas(&self) -> Vec<f64> {
        self.alpha_bars.iter().map(|bar| ((1.0 - bar) / bar).sqrt()).collect()
    }

    /// [`Self::sigmas`] at fractional indices, interpolated linearly, constant outside.
    pub(super) fn sigmas_at(&self, timesteps: &[f64]) -> Vec<f64> {
        let table = self.sigmas();
        let last = table.len() - 1;
        let at = |t: f64| {
            let below = t.max(0.0).floor() as usize;
            if below >= last {
                return table[last];
            }
            table[below] + (t.max(0.0) - below as f64) * (table[below + 1] - table[below])
        };
        timesteps.iter().map(|&t| at(t)).collect()
    }

    /// The fractional index of a sigma, interpolated linearly in ln σ.
    pub(super) fn index_of(&self, sigma: f64) -> f64 {
        let table: Vec<f64> = self.sigmas().into_iter().map(f64::ln).collect();
        let log = sigma.max(1e-10).ln();
        let low = table.iter().rposition(|&entry| entry <= log).unwrap_or(0).min(table.len() - 2);
        let weight = ((table[low] - log) / (table[low] - table[low + 1])).clamp(0.0, 1.0);
        (1.0 - weight) * low as f64 + weight * (low + 1) as f64
    }
}

/// β_i = min(1 − f((i+1)/n)/f(i/n), 0.999).
fn alpha_bar_betas(n: usize, f: impl Fn(f64) -> f64) -> Vec<f64> {
    let at = |i: usize| f(i as f64 / n as f64);
    (0..n).map(|i| (1.0 - at(i + 1) / at(i)).min(0.999)).collect()
}

/// √ᾱ shifted and scaled so that the last is 0 and the first stays (Lin et al. 2024).
fn zero_terminal(alpha_bars: &[f64]) -> Vec<f64> {
    let (first, last) = (alpha_bars[0].sqrt(), alpha_bars[alpha_bars.len() - 1].sqrt());
    alpha_bars.iter().map(|bar| ((bar.sqrt() - last) * (first / (first - last))).powi(2)).collect()
}

/// Which timesteps: descending.
pub(super) enum Spacing {
    Linspace,
    Leading { offset: f64 },
    Trailing,
}

impl Spacing {
    /// From `timestep_spacing` and `steps_offset`.
    pub(super) fn new(kwargs: &Kwargs, default: &'static str) -> Result<Self> {
        let offset = kwargs.number_or("steps_offset", 0.0)?;
        match kwargs.text("timestep_spacing", default)? {
            "linspace" => Ok(Spacing::Linspace),
            "leading" => Ok(Spacing::Leading { offset }),
            "trailing" => Ok(Spacing::Trailing),
            other => bail!("timestep_spacing = {other} is not supported"),
        }
    }

    /// n timesteps below `last`, of a chain of `n_trained`; with `extra`, n+1 are laid out and the lowest is dropped.
    pub(super) fn timesteps(
        &self,
        last: usize,
        n_trained: usize,
        n: usize,
        extra: bool,
        round: bool,
    ) -> Vec<f64> {
        let laid = if extra { n + 1 } else { n };
        let mut steps: Vec<f64> = match self {
            Spacing::Linspace => {
                let step = if laid > 1 { (last - 1) as f64 / (laid - 1) as f64 } else { 0.0 };
                let at = |i: usize| if i + 1 == laid && i > 0 { (last - 1) as f64 } else { i as f64 * step };
                (0..laid).rev().map(|i| if round { at(i).round_ties_even() } else { at(i) }).collect()
            }
            Spacing::Leading { offset } => {
                let ratio = last / laid;
                (0..laid).rev().map(|i| (i * ratio) as f64 + offset).collect()
            }
            Spacing::Trailing => {
                let ratio = n_trained as f64 / n as f64;
                // A range from `last` down to 0, exclusive, in floating point: sometimes one longer than n.
                let count = (last as f64 / ratio).ceil() as usize;
                let delta = (last as f64 - ratio) - last as f64;
                let at = |i: usize| (last as f64 + i as f64 * delta).round_ties_even() - 1.0;
                return (0..count).map(at).collect();
            }
        };
        steps.truncate(n);
        steps
    }
}

/// Sigmas between the largest and the smallest.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Respacing {
    None,
    Karras,
    Exponential,
    Beta,
    Lu,
}

impl Respacing {
    /// From `use_*_sigmas`.
    pub(super) fn new(kwargs: &Kwargs) -> Result<Self> {
        let options = [
            (Respacing::Karras, kwargs.flag("use_karras_sigmas", false)?),
            (Respacing::Exponential, kwargs.flag("use_exponential_sigmas", false)?),
            (Respacing::Beta, kwargs.flag("use_beta_sigmas", false)?),
        ];
        Ok(options.into_iter().find(|(_, set)| *set).map_or(Respacing::None, |(respacing, _)| respacing))
    }

    /// n sigmas from `max` to `min`.
    pub(super) fn sigmas(self, max: f64, min: f64, n: usize) -> Result<Vec<f64>> {
        let ramp = |n: usize| (0..n).map(move |i| if n > 1 { i as f64 / (n - 1) as f64 } else { 0.0 });
        Ok(match self {
            Respacing::None => bail!("no respacing of sigmas was asked for"),
            Respacing::Karras => {
                let (high, low) = (max.powf(1.0 / 7.0), min.powf(1.0 / 7.0));
                ramp(n).map(|r| (high + r * (low - high)).powf(7.0)).collect()
            }
            Respacing::Exponential | Respacing::Lu => {
                let (high, low) = (max.ln(), min.ln());
                ramp(n).map(|r| (high + r * (low - high)).exp()).collect()
            }
            Respacing::Beta => ramp(n).map(|r| min + super::beta::quantile(1.0 - r) * (max - min)).collect(),
        })
    }
}

/// The target that `prediction_type` names.
pub(super) fn target(kwargs: &Kwargs) -> Result<Target> {
    match kwargs.text("prediction_type", "epsilon")? {
        "epsilon" => Ok(Target::Epsilon),
        "v_prediction" => Ok(Target::V),
        "sample" | "original_sample" => Ok(Target::X0),
        "flow_prediction" => Ok(Target::Flow),
        other => bail!("prediction_type = {other} is not supported"),
    }
}

/// Clipping, from `thresholding`, `clip_sample` and their constants.
pub(super) fn clip(
    kwargs: &Kwargs,
    clips_by_default: bool,
    knows_clip: bool,
    knows_dynamic: bool,
) -> Result<Option<Clip>> {
    let (mut dynamic, mut range) = (None, None);
    if knows_dynamic {
        let ratio = kwargs.number_or("dynamic_thresholding_ratio", 0.995)?;
        let max = kwargs.number_or("sample_max_value", 1.0)?;
        dynamic = kwargs.flag("thresholding", false)?.then_some(Clip::Dynamic { ratio, max });
    }
    if knows_clip {
        let bound = kwargs.number_or("clip_sample_range", 1.0)?;
        range = kwargs.flag("clip_sample", clips_by_default)?.then_some(Clip::Range(bound));
    }
    Ok(dynamic.or(range))
}
