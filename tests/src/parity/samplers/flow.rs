//! Flow matching's Euler scheduler.

use super::kwargs::Kwargs;
use super::tables::Respacing;
use super::{Run, moves};
use anyhow::{Context, Result, bail, ensure};
use avdit_core::Target;
use avdit_core::sampler::Method;
use avdit_core::schedule::{Rates, linspace};
use serde_json::json;

pub(super) fn euler(kwargs: &Kwargs, at_set: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    let n = kwargs.count_or("num_train_timesteps", trained)?;
    let shift = kwargs.number_or("shift", 1.0)?;
    let dynamic = kwargs.flag("use_dynamic_shifting", false)?;
    let shifted = |sigma: f64| shift * sigma / (1.0 + (shift - 1.0) * sigma);
    // The bounds are shifted once when the scheduler is made, and every sigma again when steps are set.
    let bound = |sigma: f64| if dynamic { sigma } else { shifted(sigma) };
    let (max, min) = (bound(1.0), bound(1.0 / n as f64));
    let mut sigmas = match (at_set.list("sigmas")?, at_set.list("timesteps")?) {
        (Some(sigmas), None) => sigmas,
        (None, Some(timesteps)) => timesteps.iter().map(|t| t / n as f64).collect(),
        (None, None) if count == 1 => vec![max],
        (None, None) => {
            linspace(max * n as f64, min * n as f64, count).iter().map(|t| t / n as f64).collect()
        }
        (Some(_), Some(_)) => bail!("sigmas and timesteps at once are not supported"),
    };
    let mu = at_set.number("mu")?;
    sigmas = if dynamic {
        let mu = mu.context("use_dynamic_shifting without mu")?;
        let factor = match kwargs.text("time_shift_type", "exponential")? {
            "exponential" => mu.exp(),
            "linear" => mu,
            other => bail!("time_shift_type = {other} is not supported"),
        };
        sigmas.into_iter().map(|sigma| factor / (factor + (1.0 / sigma - 1.0))).collect()
    } else {
        kwargs.text("time_shift_type", "exponential")?;
        sigmas.into_iter().map(shifted).collect()
    };
    // These shape mu in pipelines, and nothing here.
    for key in ["base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len"] {
        kwargs.number(key)?;
    }
    if let Some(terminal) = kwargs.number("shift_terminal")?.filter(|&terminal| terminal != 0.0) {
        sigmas = stretch(&sigmas, terminal);
    }
    let respacing = Respacing::new(kwargs)?;
    if respacing != Respacing::None {
        sigmas = respacing.sigmas(sigmas[0], sigmas[sigmas.len() - 1], sigmas.len())?;
    }
    kwargs.only_default("invert_sigmas", &json!(false))?;
    let timesteps: Vec<f64> = match at_set.list("timesteps")? {
        Some(timesteps) => timesteps,
        None => sigmas.iter().map(|sigma| sigma * n as f64).collect(),
    };
    sigmas.push(0.0);
    ensure!(sigmas.len() == timesteps.len() + 1, "as many sigmas as timesteps");
    let at = |sigma: f64| Rates { alpha: 1.0 - sigma, sigma };
    let pairs: Vec<_> = sigmas.windows(2).map(|pair| (at(pair[0]), at(pair[1]))).collect();
    let renoises = kwargs.flag("stochastic_sampling", false)?;
    Ok(Run {
        method: if renoises { Method::Renoise } else { Method::Euler },
        target: Target::Flow,
        clip: None,
        timesteps,
        moves: moves(&pairs, |_| 1, |_| true),
        sigmas: Some(sigmas),
        start: 1.0,
        exploding: false,
        exact_timesteps: false,
    })
}

/// Stretches 1 − σ so that the last σ becomes `terminal`.
pub(super) fn stretch(sigmas: &[f64], terminal: f64) -> Vec<f64> {
    let last = sigmas.last().copied().unwrap_or(terminal);
    let scale = (1.0 - last) / (1.0 - terminal);
    sigmas.iter().map(|sigma| 1.0 - (1.0 - sigma) / scale).collect()
}
