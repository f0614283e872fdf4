//! DDPM and DDIM: runs over whole timesteps of a chain.

use super::kwargs::Kwargs;
use super::tables::{Chain, Spacing, clip, target};
use super::{Run, moves};
use anyhow::{Context, Result, bail};
use avdit_core::sampler::{Method, Variance};
use avdit_core::schedule::Rates;

const BETAS: (f64, f64) = (1e-4, 2e-2);

pub(super) fn ddpm(kwargs: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    let chain = Chain::new(kwargs, trained, BETAS, None)?;
    let timesteps = Spacing::new(kwargs, "leading")?.timesteps(chain.len(), chain.len(), count, false, true);
    let variance = match kwargs.text("variance_type", "fixed_small")? {
        "fixed_small" | "fixed_small_log" => Variance::Small,
        "fixed_large" => Variance::Large,
        "learned_range" => Variance::LearnedRange,
        "learned" => Variance::Learned,
        other => bail!("variance_type = {other} is not supported"),
    };
    // The previous timestep is the next of the list, and clean after the last.
    let next = timesteps.iter().skip(1).map(|&t| Some(t)).chain([None]);
    let pairs: Vec<_> =
        timesteps.iter().zip(next).map(|(&t, next)| pair(&chain, t, next, 1.0)).collect::<Result<_>>()?;
    let mut run = Run {
        method: Method::Ddpm { variance, noisy_end: false },
        target: target(kwargs)?,
        clip: clip(kwargs, true, true, true)?,
        moves: moves(&pairs, |_| 1, |_| true),
        timesteps,
        sigmas: None,
        start: 1.0,
        exploding: false,
        exact_timesteps: true,
    };
    // Noise is left out at timestep 0 alone, wherever the last step starts from.
    run.method = Method::Ddpm { variance, noisy_end: run.timesteps.last().is_some_and(|&t| t > 0.0) };
    Ok(run)
}

pub(super) fn ddim(kwargs: &Kwargs, at_step: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    let chain = Chain::new(kwargs, trained, BETAS, None)?;
    let timesteps = Spacing::new(kwargs, "leading")?.timesteps(chain.len(), chain.len(), count, false, true);
    let last = if kwargs.flag("set_alpha_to_one", true)? { 1.0 } else { chain.alpha_bars[0] };
    // The previous timestep is T/n below, whatever the list says.
    let stride = (chain.len() / count) as f64;
    let pairs: Vec<_> = timesteps
        .iter()
        .map(|&t| pair(&chain, t, (t - stride >= 0.0).then_some(t - stride), last))
        .collect::<Result<_>>()?;
    Ok(Run {
        method: Method::Ddim {
            eta: at_step.number_or("eta", 0.0)?,
            from_clipped: at_step.flag("use_clipped_model_output", false)?,
        },
        target: target(kwargs)?,
        clip: clip(kwargs, true, true, true)?,
        moves: moves(&pairs, |_| 1, |_| true),
        timesteps,
        sigmas: None,
        start: 1.0,
        exploding: false,
        exact_timesteps: true,
    })
}

/// Rates at a timestep and at the next one, `last` being ᾱ after the end.
fn pair(chain: &Chain, t: f64, next: Option<f64>, last: f64) -> Result<(Rates, Rates)> {
    let bar = |t: f64| {
        let found = chain.alpha_bars.get(t as usize).copied();
        found.with_context(|| format!("timestep {t} is outside a chain of {}", chain.len()))
    };
    let to = next.map_or(Ok(last), bar)?;
    Ok((Rates::from_alpha_bar(bar(t)?), Rates::from_alpha_bar(to)))
}
