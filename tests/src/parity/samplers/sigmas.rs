//! Euler, Euler ancestral and Heun on x/α over σ/α.

use super::kwargs::Kwargs;
use super::tables::{Chain, Respacing, Spacing, clip, target};
use super::{Run, moves, of_ratio};
use anyhow::{Result, bail};
use avdit_core::Target;
use avdit_core::sampler::{Corner, Method};
use serde_json::json;

/// What the three have in common.
struct Scale {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    start: f64,
    exact: bool,
}

impl Scale {
    fn run(self, method: Method, target: Target, clip: Option<avdit_core::sampler::Clip>) -> Run {
        let Scale { timesteps, sigmas, start, exact } = self;
        let pairs: Vec<_> = sigmas
            .windows(2)
            .take(timesteps.len())
            .map(|pair| (of_ratio(pair[0]), of_ratio(pair[1])))
            .collect();
        Run {
            method,
            target,
            clip,
            timesteps,
            moves: moves(&pairs, |_| 1, |_| true),
            sigmas: Some(sigmas),
            start,
            exploding: true,
            exact_timesteps: exact,
        }
    }
}

/// Spacing and, if asked for, respaced sigmas; without the final one.
fn scale(
    kwargs: &Kwargs,
    chain: &Chain,
    respacing: Respacing,
    bounds: (Option<f64>, Option<f64>),
    count: usize,
) -> Result<Scale> {
    let spacing = Spacing::new(kwargs, "linspace")?;
    let mut timesteps = spacing.timesteps(chain.len(), chain.len(), count, false, false);
    let mut sigmas = chain.sigmas_at(&timesteps);
    if respacing != Respacing::None {
        let (first, last) = (sigmas[0], sigmas[sigmas.len() - 1]);
        sigmas = respacing.sigmas(bounds.1.unwrap_or(first), bounds.0.unwrap_or(last), count)?;
        timesteps = sigmas.iter().map(|&sigma| chain.index_of(sigma)).collect();
    }
    let largest = sigmas.iter().fold(0.0f64, |max, &sigma| max.max(sigma));
    let start =
        if matches!(spacing, Spacing::Leading { .. }) { (largest * largest + 1.0).sqrt() } else { largest };
    Ok(Scale { timesteps, sigmas, start, exact: respacing == Respacing::None })
}

const ZERO_SNR_FLOOR: f64 = 1.0 / 16_777_216.0;
const BETAS: (f64, f64) = (1e-4, 2e-2);

pub(super) fn euler(kwargs: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    let chain = Chain::new(kwargs, trained, BETAS, Some(ZERO_SNR_FLOOR))?;
    let bounds = (kwargs.number("sigma_min")?, kwargs.number("sigma_max")?);
    let respacing = Respacing::new(kwargs)?;
    let mut scale = scale(kwargs, &chain, respacing, bounds, count)?;
    match kwargs.text("interpolation_type", "linear")? {
        "linear" => {}
        "log_linear" if respacing == Respacing::None => {
            // One more than the timesteps, over the whole table.
            let table = chain.sigmas();
            scale.sigmas = Respacing::Exponential.sigmas(table[table.len() - 1], table[0], count + 1)?;
            let largest = scale.sigmas[0];
            scale.start = match Spacing::new(kwargs, "linspace")? {
                Spacing::Leading { .. } => (largest * largest + 1.0).sqrt(),
                _ => largest,
            };
        }
        other => bail!("interpolation_type = {other} is not supported"),
    }
    scale.sigmas.push(final_sigma(kwargs, &chain, None)?);
    let target = target(kwargs)?;
    if target == Target::Flow {
        bail!("prediction_type = flow_prediction is not supported");
    }
    match kwargs.text("timestep_type", "discrete")? {
        "discrete" => {}
        "continuous" if target == Target::V => {
            scale.timesteps =
                scale.sigmas[..scale.timesteps.len()].iter().map(|sigma| 0.25 * sigma.ln()).collect();
            scale.exact = false;
        }
        "continuous" => {}
        other => bail!("timestep_type = {other} is not supported"),
    }
    Ok(scale.run(Method::Euler, target, None))
}

pub(super) fn euler_ancestral(kwargs: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    let chain = Chain::new(kwargs, trained, BETAS, Some(ZERO_SNR_FLOOR))?;
    let mut scale = scale(kwargs, &chain, Respacing::None, (None, None), count)?;
    scale.sigmas.push(0.0);
    Ok(scale.run(Method::Ddim { eta: 1.0, from_clipped: false }, target(kwargs)?, None))
}

pub(super) fn heun(kwargs: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    kwargs.only_default("rescale_betas_zero_snr", &json!(false))?;
    let chain = Chain::new(kwargs, trained, (0.000_85, 0.012), None)?;
    let mut scale = scale(kwargs, &chain, Respacing::new(kwargs)?, (None, None), count)?;
    scale.sigmas.push(0.0);
    let mut run =
        scale.run(Method::Heun(Corner::Exploding), target(kwargs)?, clip(kwargs, false, true, false)?);
    // The published lists name every evaluation: all but the first and the last sigma twice.
    let twice = |list: &[f64], keep_last: usize| -> Vec<f64> {
        let repeated = list[1..list.len() - keep_last].iter().flat_map(|&value| [value, value]);
        [list[0]].into_iter().chain(repeated).chain(list[list.len() - keep_last..].iter().copied()).collect()
    };
    run.timesteps = twice(&run.timesteps, 0);
    run.sigmas = run.sigmas.map(|sigmas| twice(&sigmas, 1));
    Ok(run)
}

/// σ after the last step, from `final_sigmas_type`; `lowest` where it is not the table's.
pub(super) fn final_sigma(kwargs: &Kwargs, chain: &Chain, lowest: Option<f64>) -> Result<f64> {
    match kwargs.text("final_sigmas_type", "zero")? {
        "zero" => Ok(0.0),
        "sigma_min" => Ok(lowest.unwrap_or_else(|| chain.sigmas()[0])),
        other => bail!("final_sigmas_type = {other} is not supported"),
    }
}
