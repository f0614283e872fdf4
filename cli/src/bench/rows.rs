//! From what a worker told to a row.

use super::case::Case;
use super::protocol::{Finished, Run};
use super::result::{Limit, Measured, Opened, Roofline, Row};
use super::schedule::Outcome;
use super::{cost, notes};
use avdit_runtime::machine::Machine;
use avdit_runtime::{Precision, Summary};

/// The row of a case.
pub fn row(case: &Case, outcome: Outcome, limits: &[Limit], machine: &Machine) -> Row {
    let Outcome { opened, runs, finished, failure, log } = outcome;
    let measured = match (opened, finished, &failure) {
        (Some(opened), Some(finished), None) => measured(case, opened, &runs, finished, limits),
        _ => None,
    };
    let notes =
        measured.as_ref().map_or_else(Vec::new, |m| notes::of_row(m, case.job.options.threads, machine));
    Row {
        model: case.model.clone(),
        engine: case.job.engine.name().to_owned(),
        threads: case.job.options.threads,
        sampling: case.sampling(),
        setup: case.setup(),
        measured,
        failed: failure,
        notes,
        log,
    }
}

fn measured(
    case: &Case,
    opened: Opened,
    runs: &[Run],
    finished: Finished,
    limits: &[Limit],
) -> Option<Measured> {
    let Finished { memory, clip_seconds, decode, device } = finished;
    let steps = || runs.iter().flat_map(|run| run.steps.iter());
    let part = |of: fn(&[f64; 3]) -> f64| Summary::of(&steps().map(of).collect::<Vec<_>>());
    let (wall, network, copies) = (|s: &[f64; 3]| s[0], |s: &[f64; 3]| s[1], |s: &[f64; 3]| s[2]);
    let times = |run: &Run| Summary::of(&run.steps.iter().map(wall).collect::<Vec<_>>());
    let step_ms = part(wall)?;
    let longest = runs.iter().map(|run| run.steps.len()).max()?;
    let of_index =
        |i: usize| Summary::of(&runs.iter().filter_map(|run| run.steps.get(i)).map(wall).collect::<Vec<_>>());
    let duration_s: f64 = runs.iter().map(|run| run.wall_s).sum();
    let cpu_s: f64 = runs.iter().map(|run| run.cpu_s).sum();
    let cpu_ms_per_step = cpu_s * 1e3 / step_ms.n as f64;
    let clips_per_s = (runs.len() * case.job.options.batch) as f64 / duration_s;
    let predictions = runs.iter().map(|run| run.predictions).sum::<usize>() as f64 / step_ms.n as f64;
    Some(Measured {
        runs: runs.len(),
        duration_s,
        step_ms_by_index: (0..longest).map(of_index).collect::<Option<_>>()?,
        network_ms: part(network)?,
        copies_ms: part(copies)?,
        sampler_ms: part(|s| s[0] - s[1] - s[2])?,
        overhead: 1.0 - steps().map(network).sum::<f64>() / steps().map(wall).sum::<f64>(),
        steps_per_s: step_ms.n as f64 / duration_s,
        clips_per_s,
        clip_seconds_per_s: clip_seconds.map(|length| length * clips_per_s),
        decode,
        cpu_ms_per_step,
        threads_busy: cpu_s / duration_s,
        memory,
        device,
        roofline: roofline(case, predictions, step_ms.p50, cpu_ms_per_step, limits),
        run_p50_ms: runs.iter().map(|run| Some(rounded(times(run)?.p50))).collect::<Option<_>>()?,
        run_mean_ms: runs.iter().map(|run| Some(rounded(times(run)?.mean))).collect::<Option<_>>()?,
        run_cpu_ms: runs.iter().map(|run| rounded(run.cpu_s * 1e3 / run.steps.len() as f64)).collect(),
        step_percentiles_ms: percentiles(steps().map(wall).collect()),
        step_ms,
        opened,
    })
}

/// To the nanosecond, which keeps files short.
fn rounded(ms: f64) -> f64 {
    (ms * 1e6).round() * 1e-6
}

/// The values that 0, 1, 2 … 100 % of all do not exceed; the smallest first.
fn percentiles(mut values: Vec<f64>) -> Vec<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let rank = |percent: usize| (values.len() * percent).div_ceil(100).max(1) - 1;
    (0..=100).map(|percent| rounded(values[rank(percent)])).collect()
}

/// `None` unless both the cost of a step and the rate of the engine's own product are known.
fn roofline(
    case: &Case,
    predictions: f64,
    step_p50_ms: f64,
    cpu_ms_per_step: f64,
    limits: &[Limit],
) -> Option<Roofline> {
    let precision = case.model.precision?;
    let (engine, threads) = (case.job.engine.name(), case.job.options.threads);
    let of = |engine: Option<&str>, precision: Option<Precision>| {
        let same = |limit: &&Limit| {
            limit.engine.as_deref() == engine && limit.precision == precision && limit.threads == threads
        };
        limits.iter().find(same)
    };
    let gflop = cost::prediction_flop(&case.job.model, case.job.options.batch)? * predictions * 1e-9;
    let product = of(Some(engine), Some(precision))?;
    let matmul = product.value?;
    let bandwidth = of(None, None).and_then(|limit| limit.value);
    let weight_bytes = case.model.bytes? as f64 * predictions;
    let intensity = gflop * 1e9 / weight_bytes;
    let bound = bandwidth.map_or(matmul, |bandwidth| matmul.min(bandwidth * intensity));
    let reached = gflop / (step_p50_ms * 1e-3);
    Some(Roofline {
        gflop,
        weight_bytes,
        intensity,
        precision,
        matmul_gflop_per_s: matmul,
        bandwidth_gb_per_s: bandwidth,
        bound_gflop_per_s: bound,
        reached_gflop_per_s: reached,
        share_of_matmul: reached / matmul,
        share_of_matmul_cpu: product.per_cpu_second.map(|rate| gflop / (cpu_ms_per_step * 1e-3) / rate),
        share_of_bound: reached / bound,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        // 1 % of 150 values is more than one of them: the second.
        let all = percentiles((1..=150).rev().map(f64::from).collect());
        assert_eq!((all.len(), all[0], all[1], all[50], all[100]), (101, 1.0, 2.0, 75.0, 150.0));
        assert_eq!(percentiles(vec![7.0]), vec![7.0; 101]);
    }
}
