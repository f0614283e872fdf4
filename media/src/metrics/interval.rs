//! Intervals by resampling clips (Efron 1979), with fixed seeds: the same numbers on every run.

use super::{Features, Reference};
use crate::error::{Error, Result};
use avdit_core::{Noise, Purpose, Stream};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 4000;
/// Resamples of a statistic that takes milliseconds.
pub const ROUNDS: usize = 400;

/// A statistic with its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The statistic of all clips, such as their mean.
    pub mean: f64,
    /// 2.5 % of the resampled ones lie below.
    pub low: f64,
    /// 2.5 % of the resampled ones lie above.
    pub high: f64,
}

impl Interval {
    /// Whether 0 lies outside.
    pub fn excludes_zero(&self) -> bool {
        self.low > 0.0 || self.high < 0.0
    }
}

/// A statistic of all values, and the interval of 95 % of it over resamples (percentiles). For statistics that are
/// as large for a resample as for the whole, such as means and correlations; `values` must not be empty.
pub fn bootstrap<T: Copy>(values: &[T], seed: u64, statistic: impl Fn(&[T]) -> f64) -> Interval {
    let resample = |round: usize| {
        let picked: Vec<T> = indices(seed, round, values.len()).into_iter().map(|i| values[i]).collect();
        statistic(&picked)
    };
    let mut found: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    let (low, high) = percentiles(&mut found);
    Interval { mean: statistic(values), low, high }
}

/// The mean of values and its interval.
pub fn mean_interval(values: &[f64], seed: u64) -> Interval {
    bootstrap(values, seed, |sample| sample.iter().sum::<f64>() / sample.len() as f64)
}

/// Pearson's correlation of pairs and its interval; `None` with fewer than four or where one side does not vary.
pub fn correlation_interval(pairs: &[(f64, f64)], seed: u64) -> Option<Interval> {
    correlation(pairs).filter(|_| pairs.len() >= 4)?;
    Some(bootstrap(pairs, seed, |sample| correlation(sample).unwrap_or(0.0)))
}

/// Pearson's correlation; `None` if one side does not vary.
pub(crate) fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let (mx, my) = pairs.iter().fold((0.0, 0.0), |(x, y), pair| (x + pair.0 / n, y + pair.1 / n));
    let (xx, yy, xy) = pairs.iter().fold((0.0, 0.0, 0.0), |(xx, yy, xy), (x, y)| {
        (xx + (x - mx).powi(2), yy + (y - my).powi(2), xy + (x - mx) * (y - my))
    });
    let scale = (xx * yy).sqrt();
    (scale > 1e-12).then(|| xy / scale)
}

/// A statistic of the clips `0..n`, given as indices that may repeat, with an interval that leaves its bias out.
///
/// Resampling with repeats makes a distance between distributions larger, as fewer clips would. The resamples are
/// therefore moved by one number until their mean is the statistic of all clips: their spread is kept, their bias is
/// not. For **two models compared on the same indices**, let the statistic be the difference of their distances (or
/// of their averages over tasks): what the models share cancels, and they differ where 0 is excluded.
///
/// # Errors
/// [`Error::Value`] with fewer than two clips; whatever the statistic refuses.
pub fn difference_interval(
    n: usize,
    seed: u64,
    statistic: impl Fn(&[usize]) -> Result<f64> + Sync,
) -> Result<Interval> {
    if n < 2 {
        return Err(Error::value("clips to resample", "at least 2", n));
    }
    let mean = statistic(&(0..n).collect::<Vec<_>>())?;
    let mut found: Vec<f64> = (0..ROUNDS)
        .into_par_iter()
        .map(|round| statistic(&indices(seed, round, n)))
        .collect::<Result<_>>()?;
    let bias = found.iter().sum::<f64>() / ROUNDS as f64 - mean;
    let (low, high) = percentiles(&mut found);
    Ok(Interval { mean, low: low - bias, high: high - bias })
}

/// A Fréchet distance as it was measured, and what it would be with clips without end.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FrechetInterval {
    /// The distance at this number of clips, and how far it would scatter over other sets of as many made clips
    /// (the reference stays). Its bias is in it: compare it with distances of as many clips only.
    pub measured: Interval,
    /// The distance at an infinite number of made clips, from halves and quarters of them: distances fall like
    /// 1 / n (Chong & Forsyth 2020). The reference's own bias remains.
    pub limit: f64,
    /// Made clips.
    pub clips: usize,
}

/// The Fréchet distance of made clips from a reference, with its interval.
///
/// # Errors
/// [`Error::Value`] with fewer than eight clips, [`Error::Count`] if dimensions differ.
pub fn frechet_interval(reference: &Reference, made: &Features, seed: u64) -> Result<FrechetInterval> {
    let n = made.len();
    if n < 8 {
        return Err(Error::value("made clips of a distance with an interval", "at least 8", n));
    }
    let measured = difference_interval(n, seed, |indices| reference.frechet_of(made, indices))?;
    // Disjoint parts in random orders: (1 / clips, mean distance).
    let mut points = vec![(1.0 / n as f64, measured.mean)];
    for parts in [2, 4] {
        let size = n / parts;
        let (mut sum, mut count) = (0.0, 0.0);
        for round in 0..4 {
            let order = Noise::new(seed).permutation(Stream::new(Purpose::Statistics, 2, round), n);
            for part in order.chunks_exact(size) {
                sum += reference.frechet_of(made, part)?;
                count += 1.0;
            }
        }
        points.push((1.0 / size as f64, sum / count));
    }
    Ok(FrechetInterval { measured, limit: intercept(&points), clips: n })
}

/// Where the line of least squares through points meets 0.
fn intercept(points: &[(f64, f64)]) -> f64 {
    let n = points.len() as f64;
    let (mx, my) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + p.0 / n, y + p.1 / n));
    let slope = points.iter().map(|(x, y)| (x - mx) * (y - my)).sum::<f64>()
        / points.iter().map(|(x, _)| (x - mx).powi(2)).sum::<f64>();
    my - slope * mx
}

/// `n` draws from `0..n` with repeats.
fn indices(seed: u64, round: usize, n: usize) -> Vec<usize> {
    let stream = Stream::new(Purpose::Statistics, 1, round as u32);
    (0..n).map(|i| Noise::new(seed).below(stream, i as u32, n as u32) as usize).collect()
}

/// The values that 2.5 % lie below and above.
fn percentiles(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}
