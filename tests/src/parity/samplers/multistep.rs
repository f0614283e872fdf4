//! DPM-Solver and UniPC.

use super::kwargs::Kwargs;
use super::sigmas::final_sigma;
use super::tables::{Chain, Respacing, Spacing, clip, target};
use super::{Run, moves, of_ratio};
use anyhow::{Context, Result, bail, ensure};
use avdit_core::Target;
use avdit_core::sampler::{DpmForm, HalfStep, Method, UniPcBasis};
use avdit_core::schedule::Rates;
use serde_json::json;

const ZERO_SNR_FLOOR: f64 = 1.0 / 16_777_216.0;
const BETAS: (f64, f64) = (1e-4, 2e-2);

/// Timesteps and sigmas, the final one among them.
struct Places {
    timesteps: Vec<f64>,
    sigmas: Vec<f64>,
    /// σ is that of a straight path, and not σ/α.
    straight: bool,
    exact: bool,
}

impl Places {
    fn rates(&self) -> Vec<(Rates, Rates)> {
        let at =
            |sigma: f64| if self.straight { Rates { alpha: 1.0 - sigma, sigma } } else { of_ratio(sigma) };
        self.sigmas.windows(2).map(|pair| (at(pair[0]), at(pair[1]))).collect()
    }
}

/// Straight paths predict velocities, chains anything else: the other combinations have formulas of their own.
fn check_target(target: Target, straight: bool) -> Result<()> {
    match target {
        Target::Flow => {
            ensure!(straight, "prediction_type = flow_prediction without use_flow_sigmas is not supported")
        }
        Target::V => {
            ensure!(!straight, "prediction_type = v_prediction with use_flow_sigmas is not supported")
        }
        _ => {}
    }
    Ok(())
}

/// The published lists hold whole timesteps: fractions are cut off.
fn whole(timesteps: Vec<f64>) -> Vec<f64> {
    timesteps.into_iter().map(f64::trunc).collect()
}

pub(super) fn dpm(kwargs: &Kwargs, at_set: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    let chain = Chain::new(kwargs, trained, BETAS, Some(ZERO_SNR_FLOOR))?;
    let places = dpm_places(kwargs, at_set, &chain, count)?;
    let form = match kwargs.text("algorithm_type", "dpmsolver++")? {
        "dpmsolver++" | "deis" => DpmForm::Data,
        "dpmsolver" => DpmForm::Noise,
        "sde-dpmsolver++" => DpmForm::StochasticData,
        "sde-dpmsolver" => DpmForm::StochasticNoise,
        other => bail!("algorithm_type = {other} is not supported"),
    };
    let half_step = match kwargs.text("solver_type", "midpoint")? {
        "midpoint" | "logrho" | "bh1" | "bh2" => HalfStep::Midpoint,
        "heun" => HalfStep::Heun,
        other => bail!("solver_type = {other} is not supported"),
    };
    let order = kwargs.count_or("solver_order", 2)?;
    // The variance that a network may predict besides is left aside.
    kwargs.text("variance_type", "")?;
    let method = Method::Dpm { form, order, half_step };
    let steps = places.timesteps.len();
    let comes_down = kwargs.flag("lower_order_final", true)?;
    let euler_at_final = kwargs.flag("euler_at_final", false)?;
    let max_order = |i: usize| match i {
        i if euler_at_final && i + 1 == steps => 1,
        i if comes_down => method.order_at(i, steps),
        _ => order,
    };
    let target = target(kwargs)?;
    check_target(target, places.straight)?;
    Ok(Run {
        method,
        target,
        clip: clip(kwargs, false, false, true)?,
        moves: moves(&places.rates(), max_order, |_| true),
        timesteps: places.timesteps,
        sigmas: Some(places.sigmas),
        start: 1.0,
        exploding: false,
        exact_timesteps: places.exact,
    })
}

fn dpm_places(kwargs: &Kwargs, at_set: &Kwargs, chain: &Chain, count: usize) -> Result<Places> {
    let sigmas = chain.sigmas();
    // Timesteps whose λ is below the bound are left out, counted from the noisy end.
    let bound = kwargs.number_or("lambda_min_clipped", f64::NEG_INFINITY)?;
    let clipped = sigmas.iter().filter(|sigma| -sigma.ln() < bound).count();
    let spacing = Spacing::new(kwargs, "linspace")?;
    let mut timesteps = spacing.timesteps(chain.len() - clipped, chain.len(), count, true, true);
    let straight = kwargs.flag("use_flow_sigmas", false)?;
    let mut shift = kwargs.number_or("flow_shift", 1.0)?;
    kwargs.only_default("time_shift_type", &json!("exponential"))?;
    let dynamic = kwargs.flag("use_dynamic_shifting", false)?;
    if let Some(mu) = at_set.number("mu")? {
        ensure!(dynamic, "mu without use_dynamic_shifting");
        shift = mu.exp();
    }
    let mut respacing = Respacing::new(kwargs)?;
    if kwargs.flag("use_lu_lambdas", false)? && respacing != Respacing::Karras {
        respacing = Respacing::Lu;
    }
    let mut exact = true;
    let mut list = if respacing != Respacing::None {
        let list = respacing.sigmas(sigmas[sigmas.len() - 1], sigmas[0], count)?;
        timesteps = list.iter().map(|&sigma| chain.index_of(sigma)).collect();
        if matches!(respacing, Respacing::Karras | Respacing::Lu) && !chain.cosine {
            timesteps = timesteps.into_iter().map(f64::round_ties_even).collect();
        }
        exact = false;
        list
    } else if straight {
        let n = chain.len() as f64;
        let alphas = avdit_core::schedule::linspace(1.0, 1.0 / n, count + 1);
        let shifted = alphas.iter().skip(1).rev().map(|alpha| 1.0 - alpha);
        let list: Vec<f64> = shifted.map(|sigma| shift * sigma / (1.0 + (shift - 1.0) * sigma)).collect();
        timesteps = list.iter().map(|sigma| sigma * n).collect();
        exact = false;
        list
    } else {
        chain.sigmas_at(&timesteps)
    };
    list.push(final_sigma(kwargs, chain, None)?);
    Ok(Places { timesteps: whole(timesteps), sigmas: list, straight, exact })
}

pub(super) fn unipc(kwargs: &Kwargs, at_set: &Kwargs, trained: usize, count: usize) -> Result<Run> {
    let chain = Chain::new(kwargs, trained, BETAS, Some(ZERO_SNR_FLOOR))?;
    let places = unipc_places(kwargs, at_set, &chain, count)?;
    let basis = match kwargs.text("solver_type", "bh2")? {
        "bh1" => UniPcBasis::Bh1,
        "bh2" | "midpoint" | "heun" | "logrho" => UniPcBasis::Bh2,
        other => bail!("solver_type = {other} is not supported"),
    };
    let order = kwargs.count_or("solver_order", 2)?;
    let method = Method::UniPc { order, basis, data: kwargs.flag("predict_x0", true)? };
    let steps = places.timesteps.len();
    let comes_down = kwargs.flag("lower_order_final", true)?;
    let max_order = |i: usize| if comes_down { method.order_at(i, steps) } else { order };
    let uncorrected = kwargs.list("disable_corrector")?.unwrap_or_default();
    let target = target(kwargs)?;
    check_target(target, places.straight)?;
    // Noise that is kept is taken from the prediction as it is, unclipped.
    let clip = clip(kwargs, false, false, true)?.filter(|_| method.keeps_data());
    Ok(Run {
        method,
        target,
        clip,
        moves: moves(&places.rates(), max_order, |i| i == 0 || !uncorrected.contains(&((i - 1) as f64))),
        timesteps: places.timesteps,
        sigmas: Some(places.sigmas),
        start: 1.0,
        exploding: false,
        exact_timesteps: places.exact,
    })
}

fn unipc_places(kwargs: &Kwargs, at_set: &Kwargs, chain: &Chain, count: usize) -> Result<Places> {
    let spacing = Spacing::new(kwargs, "linspace")?;
    let mut timesteps = spacing.timesteps(chain.len(), chain.len(), count, true, true);
    let straight = kwargs.flag("use_flow_sigmas", false)?;
    let shift = kwargs.number_or("flow_shift", 1.0)?;
    let dynamic = kwargs.flag("use_dynamic_shifting", false)?;
    let linear_shift = kwargs.text("time_shift_type", "exponential")? == "linear";
    let terminal = kwargs.number("shift_terminal")?;
    let mu = at_set.number("mu")?;
    let bounds = (kwargs.number("sigma_min")?, kwargs.number("sigma_max")?);
    let respacing = Respacing::new(kwargs)?;
    let n = chain.len() as f64;
    let (mut list, last);
    let mut exact = true;
    if respacing != Respacing::None {
        let table = chain.sigmas();
        let (max, min) = (bounds.1.unwrap_or(table[table.len() - 1]), bounds.0.unwrap_or(table[0]));
        list = respacing.sigmas(max, min, count)?;
        if straight && respacing == Respacing::Karras {
            list = list.into_iter().map(|sigma| sigma / (sigma + 1.0)).collect();
            timesteps = list.iter().map(|sigma| sigma * n).collect();
        } else {
            timesteps = list.iter().map(|&sigma| chain.index_of(sigma)).collect();
            if respacing == Respacing::Karras {
                timesteps = timesteps.into_iter().map(f64::round_ties_even).collect();
            }
        }
        last = final_sigma(kwargs, chain, list.last().copied())?;
        exact = false;
    } else if straight {
        list = avdit_core::schedule::linspace(1.0, 1.0 / n, count + 1);
        list.pop();
        list = if dynamic {
            let mu = mu.context("use_dynamic_shifting without mu")?;
            let factor = if linear_shift { mu } else { mu.exp() };
            list.into_iter().map(|sigma| factor / (factor + (1.0 / sigma - 1.0))).collect()
        } else {
            list.into_iter().map(|sigma| shift * sigma / (1.0 + (shift - 1.0) * sigma)).collect()
        };
        if let Some(terminal) = terminal.filter(|&terminal| terminal != 0.0) {
            list = super::flow::stretch(&list, terminal);
        }
        if let Some(first) = list.first_mut()
            && (*first - 1.0).abs() < 1e-6
        {
            *first -= 1e-6;
        }
        timesteps = list.iter().map(|sigma| sigma * n).collect();
        last = final_sigma(kwargs, chain, list.last().copied())?;
        exact = false;
    } else {
        list = chain.sigmas_at(&timesteps);
        last = final_sigma(kwargs, chain, None)?;
    }
    list.push(last);
    Ok(Places { timesteps: whole(timesteps), sigmas: list, straight, exact })
}
