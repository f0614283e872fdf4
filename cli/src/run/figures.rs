//! The figures of a run, from its log alone.

use super::log::{Line, OfBin};
use serde::Serialize;
use std::collections::BTreeSet;

/// Stretches that curves by strategy and level are averaged over, at most.
const STRETCHES: usize = 40;

/// A run in numbers. What its log does not tell is `None`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// The last step in the log.
    pub step: usize,
    /// Steps that the run is to have.
    pub steps: Option<usize>,
    /// The mean loss of the first `window` steps.
    pub loss_first: Option<f64>,
    /// The mean loss of the last `window` steps.
    pub loss_last: Option<f64>,
    /// Its video term.
    pub loss_video_last: Option<f64>,
    /// Its audio term.
    pub loss_audio_last: Option<f64>,
    /// The twentieth part of the run, at most 100 steps.
    pub window: usize,
    /// The median norm of the gradient.
    pub gradient_norm_median: Option<f64>,
    /// The largest norm of the gradient.
    pub gradient_norm_most: Option<f64>,
    /// The median step.
    pub step_ms_p50: Option<f64>,
    /// The 90th percentile of steps.
    pub step_ms_p90: Option<f64>,
    /// Wall time of all steps in the log.
    pub steps_seconds: f64,
    /// The share of that time in which steps waited for their batches.
    pub waiting: Option<f64>,
    /// Ranks that took the last step together.
    pub ranks: Option<usize>,
    /// The share of the steps' time in which the first rank exchanged sums with others, or waited for them.
    pub exchanging: Option<f64>,
    /// The median of what was reached.
    pub gflops: Option<f64>,
    /// What the machine's matrix product reached, where it was measured.
    pub matmul_gflops: Option<f64>,
    /// The median share of that.
    pub share: Option<f64>,
}

/// The mean loss of the stretches of a run, one row for each strategy or bin of levels.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// First and last step of each stretch.
    pub stretches: Vec<(usize, usize)>,
    /// What a row is of, and its values; `None` where a stretch had none.
    pub rows: Vec<(String, Vec<Option<f64>>)>,
}

impl Figures {
    pub fn of(lines: &[Line]) -> Self {
        let window = (lines.len() / 20).clamp(1, 100);
        let first = &lines[..window.min(lines.len())];
        let last = &lines[lines.len().saturating_sub(window)..];
        let step_ms = sorted(lines, |line| line.step_ms);
        let norms = sorted(lines, |line| line.gradient_norm);
        Self {
            step: lines.last().map_or(0, |line| line.step),
            steps: lines.iter().rev().find_map(|line| line.steps),
            loss_first: mean(first, |line| line.loss),
            loss_last: mean(last, |line| line.loss),
            loss_video_last: mean(last, |line| line.loss_video),
            loss_audio_last: mean(last, |line| line.loss_audio),
            window,
            gradient_norm_median: quantile(&norms, 0.5),
            gradient_norm_most: norms.last().copied(),
            step_ms_p50: quantile(&step_ms, 0.5),
            step_ms_p90: quantile(&step_ms, 0.9),
            steps_seconds: step_ms.iter().sum::<f64>() * 1e-3,
            waiting: share_of(lines, |line| line.wait_ms),
            ranks: lines.last().map(|line| line.ranks.unwrap_or(1)),
            exchanging: share_of(lines, |line| line.exchange_ms),
            gflops: quantile(&sorted(lines, |line| line.gflops), 0.5),
            matmul_gflops: quantile(&sorted(lines, |line| line.matmul_gflops), 0.5),
            share: quantile(&sorted(lines, |line| line.share), 0.5),
        }
    }
}

/// The finite values of a field, in ascending order.
fn sorted(lines: &[Line], field: impl Fn(&Line) -> Option<f64>) -> Vec<f64> {
    let mut values: Vec<f64> = lines.iter().filter_map(field).filter(|v| v.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    sorted.get(((sorted.len() as f64 - 1.0) * share).round().max(0.0) as usize).copied()
}

/// The share of the steps' time that a part of it is, over the steps that tell both.
fn share_of(lines: &[Line], part: impl Fn(&Line) -> Option<f64>) -> Option<f64> {
    let both = lines.iter().filter_map(|line| Some((part(line)? / line.step_ms?, line.step_ms?)));
    weighted(both)
}

fn mean(lines: &[Line], field: impl Fn(&Line) -> Option<f64>) -> Option<f64> {
    weighted(lines.iter().filter_map(|line| Some((field(line)?, 1.0))))
}

/// The mean of `(value, weight)`, of what is finite; `None` without weight.
fn weighted(values: impl Iterator<Item = (f64, f64)>) -> Option<f64> {
    let (mut sum, mut total) = (0.0, 0.0);
    for (value, weight) in values.filter(|(value, weight)| value.is_finite() && *weight > 0.0) {
        sum += value * weight;
        total += weight;
    }
    (total > 0.0).then(|| sum / total)
}

fn stretches(lines: &[Line]) -> Vec<&[Line]> {
    lines.chunks(lines.len().div_ceil(STRETCHES).max(1)).collect()
}

fn bounds(stretches: &[&[Line]]) -> Vec<(usize, usize)> {
    let ends = |lines: &&[Line]| Some((lines.first()?.step, lines.last()?.step));
    stretches.iter().filter_map(ends).collect()
}

/// The loss by level strategy; without rows where the log does not tell it.
pub fn by_strategy(lines: &[Line]) -> Table {
    let names: BTreeSet<&String> =
        lines.iter().filter_map(|line| line.by_strategy.as_ref()).flat_map(|of| of.keys()).collect();
    let stretches = stretches(lines);
    let of = |name: &String, stretch: &[Line]| {
        let parts = stretch.iter().filter_map(|line| line.by_strategy.as_ref()?.get(name));
        weighted(parts.filter_map(|part| Some((part.loss?, part.examples.unwrap_or(1.0)))))
    };
    let row = |name: &String| (name.clone(), stretches.iter().map(|stretch| of(name, stretch)).collect());
    Table { stretches: bounds(&stretches), rows: names.into_iter().map(row).collect() }
}

/// One term of the loss by bins of noise levels, low ones first; without rows where the log does not tell it.
pub fn by_level(lines: &[Line], term: impl Fn(&OfBin) -> Option<f64>) -> Table {
    let bins = lines.iter().rev().find_map(|line| line.by_level_bin.as_ref());
    let stretches = stretches(lines);
    let of = |i: usize, stretch: &[Line]| {
        let bins = stretch.iter().filter_map(|line| line.by_level_bin.as_ref()?.get(i));
        weighted(bins.filter_map(|bin| Some((term(bin)?, bin.cells.unwrap_or(1.0)))))
    };
    let row = |(i, bin): (usize, &OfBin)| {
        let name = format!("{:.0}–{:.0}", bin.low, bin.high);
        (name, stretches.iter().map(|stretch| of(i, stretch)).collect())
    };
    let rows = bins.map(|bins| bins.iter().enumerate().map(row).collect());
    Table { stretches: bounds(&stretches), rows: rows.unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use super::super::log::OfStrategy;
    use super::*;
    use std::collections::BTreeMap;

    fn line(step: usize, loss: f64) -> Line {
        Line { step, loss: Some(loss), step_ms: Some(step as f64), ..Line::default() }
    }

    #[test]
    fn first_and_last_losses_are_means_over_windows_and_skip_what_is_no_number() {
        let mut lines: Vec<Line> = (1..=40).map(|i| line(i, f64::from(i as u32))).collect();
        lines[39].loss = None;
        let figures = Figures::of(&lines);
        assert_eq!((figures.window, figures.loss_first, figures.loss_last), (2, Some(1.5), Some(39.0)));
        assert_eq!((figures.step, figures.step_ms_p50, figures.step_ms_p90), (40, Some(21.0), Some(36.0)));
        assert!((figures.steps_seconds - 0.82).abs() < 1e-12);
        assert_eq!(figures.gflops, None);
        assert_eq!(Figures::of(&[]).loss_last, None);
    }

    #[test]
    fn waiting_and_exchanges_are_shares_of_the_time_of_the_steps_that_tell_them() {
        let lines = [
            line(10, 1.0),
            Line { wait_ms: Some(3.0), exchange_ms: Some(6.0), ranks: Some(2), ..line(20, 1.0) },
            Line { wait_ms: Some(1.0), exchange_ms: Some(9.0), ranks: Some(2), ..line(30, 1.0) },
        ];
        let figures = Figures::of(&lines);
        let near = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-12;
        assert!(near(figures.waiting, 4.0 / 50.0) && near(figures.exchanging, 15.0 / 50.0), "{figures:?}");
        assert_eq!(figures.ranks, Some(2));
        assert_eq!((Figures::of(&lines[..1]).ranks, Figures::of(&lines[..1]).waiting), (Some(1), None));
    }

    #[test]
    fn strategies_are_averaged_by_their_examples() {
        let with = |loss, examples| {
            let part = OfStrategy { loss: Some(loss), examples: Some(examples) };
            Line { by_strategy: Some(BTreeMap::from([("vanilla".to_owned(), part)])), ..line(1, 0.0) }
        };
        let mut lines = vec![with(1.0, 3.0), with(5.0, 1.0)];
        lines.extend((0..78).map(|i| line(i, 0.0)));
        let table = by_strategy(&lines);
        assert_eq!(table.stretches.len(), 40);
        assert_eq!(table.rows[0].1[0], Some(2.0));
        assert_eq!(table.rows[0].1[1], None);
        assert!(by_strategy(&lines[2..]).rows.is_empty());
    }

    #[test]
    fn bins_keep_their_bounds_and_their_gaps() {
        let bin = |video| OfBin { low: 0.0, high: 100.0, video, ..OfBin::default() };
        let mut lines = vec![line(1, 0.0), line(2, 0.0)];
        lines[0].by_level_bin = Some(vec![bin(Some(0.25))]);
        lines[1].by_level_bin = Some(vec![bin(None)]);
        let table = by_level(&lines, |bin| bin.video);
        assert_eq!(table.rows, [("0–100".to_owned(), vec![Some(0.25), None])]);
    }
}
