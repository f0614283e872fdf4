//! Kind `schedule`: β, ᾱ, the tables derived from them, and respaced chains.

use super::{Golden, Row, relative};
use anyhow::{Context, Result, bail};
use avdit_core::likelihood::Posterior;
use avdit_core::respace::space_timesteps;
use avdit_core::schedule::{linspace, scaled_linear_betas};
use avdit_core::{NoiseSchedule, ScheduleKind};

const ENGINE: &str = "core f64";

/// Every tensor of the file is a case.
pub(super) fn cases(golden: &Golden) -> Vec<Row> {
    let row = |(name, _): (&String, _)| match case(golden, name) {
        Ok((error, tolerance)) => Row::new(&golden.name, name, ENGINE, error, tolerance),
        Err(error) => Row::failed(&golden.name, name, ENGINE, &error),
    };
    golden.tensors.iter().map(row).collect()
}

fn case(golden: &Golden, name: &str) -> Result<(f64, f64)> {
    let expected = &golden.tensor(name)?.data;
    if let Some(rest) = name.strip_prefix("space_timesteps.T") {
        let (timesteps, spec) = rest.split_once('.').context("no T<T>.<spec> in the name")?;
        let kept = space_timesteps(timesteps.parse()?, &spec.replace('_', ","))?;
        let kept: Vec<f64> = kept.into_iter().map(|index| index as f64).collect();
        return Ok((relative(&kept, expected), 0.0));
    }
    let (schedule, table) = name.rsplit_once('.').context("no <schedule>.<table> in the name")?;
    let schedule = schedule_named(schedule)?;
    let marker = match table {
        "betas" => "betas: \"rel ",
        "alpha_bar" => "alpha_bar: \"rel ",
        _ => "derived: \"rel ",
    };
    Ok((relative(&table_named(&schedule, table)?, expected), golden.tolerance(marker)?))
}

/// The schedule that a name of the specification's list describes.
fn schedule_named(name: &str) -> Result<NoiseSchedule> {
    let (rest, timesteps) = name.rsplit_once("_T").context("no _T<number> in the schedule's name")?;
    let timesteps: usize = timesteps.parse()?;
    let constants: Vec<f64> = rest.split('_').filter_map(|part| part.parse().ok()).collect();
    let betas = match (rest, &constants[..]) {
        ("adm_linear", _) => return Ok(NoiseSchedule::new(ScheduleKind::Linear, timesteps)?),
        ("squaredcos_cap_v2", _) => return Ok(NoiseSchedule::new(ScheduleKind::Cosine, timesteps)?),
        (_, &[start, end]) if rest.starts_with("scaled_linear") => scaled_linear_betas(start, end, timesteps),
        (_, &[start, end]) if rest.starts_with("ddpm_linear") => linspace(start, end, timesteps),
        _ => bail!("schedule {name} is not known"),
    };
    Ok(NoiseSchedule::from_betas(betas))
}

fn table_named(schedule: &NoiseSchedule, table: &str) -> Result<Vec<f64>> {
    let bars = schedule.alpha_bars();
    // As published from ᾱ itself: near ᾱ = 1 or 0 another order of operations differs in the sixth digit.
    let of = |f: fn(f64) -> f64| -> Vec<f64> { bars[1..].iter().map(|&bar| f(bar)).collect() };
    Ok(match table {
        "betas" => schedule.betas().to_vec(),
        "alpha_bar" => bars[1..].to_vec(),
        "alphas_cumprod_prev" => bars[..bars.len() - 1].to_vec(),
        "alphas_cumprod_next" => [&bars[2..], &[0.0]].concat(),
        "sqrt_alphas_cumprod" => of(f64::sqrt),
        "sqrt_one_minus_alphas_cumprod" => of(|bar| (1.0 - bar).sqrt()),
        "log_one_minus_alphas_cumprod" => of(|bar| (1.0 - bar).ln()),
        "sqrt_recip_alphas_cumprod" => of(|bar| (1.0 / bar).sqrt()),
        "sqrt_recipm1_alphas_cumprod" => of(|bar| (1.0 / bar - 1.0).sqrt()),
        "posterior_variance" => Posterior::new(schedule)?.variance,
        "posterior_log_variance_clipped" => Posterior::new(schedule)?.log_variance_clipped,
        "posterior_mean_coef1" => Posterior::new(schedule)?.mean_x0,
        "posterior_mean_coef2" => Posterior::new(schedule)?.mean_x,
        _ => bail!("table {table} is not known"),
    })
}
