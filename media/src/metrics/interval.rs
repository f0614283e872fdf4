//! Intervals by resampling clips (Efron 1979), with fixed seeds: the same numbers on every run.

use avdit_core::{Noise, Purpose, Stream};
use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 4000;

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
    let once = |round: usize| {
        let picked: Vec<T> = resample(seed, round, values.len()).into_iter().map(|i| values[i]).collect();
        statistic(&picked)
    };
    let mut found: Vec<f64> = (0..RESAMPLES).map(once).collect();
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

/// A statistic and its interval of 95 % from values of it over resamples, without the bias of these.
///
/// Resampling with repeats makes a distance between distributions larger, as fewer clips would. The resamples are
/// therefore moved by one number until their mean is the statistic of all clips: their spread is kept, their bias is
/// not. For **two models compared on the same clips**, let the statistic be the difference of what they have of the
/// same [`resample`]: what the models share cancels, and they differ where 0 is excluded.
pub fn recentred(of_all: f64, resamples: &[f64]) -> Interval {
    if resamples.is_empty() {
        return Interval { mean: of_all, low: f64::NAN, high: f64::NAN };
    }
    let bias = resamples.iter().sum::<f64>() / resamples.len() as f64 - of_all;
    let (low, high) = percentiles(&mut resamples.to_vec());
    Interval { mean: of_all, low: low - bias, high: high - bias }
}

/// `n` draws from `0..n` with repeats, the same for every set of as many clips.
pub fn resample(seed: u64, round: usize, n: usize) -> Vec<usize> {
    let stream = Stream::new(Purpose::Statistics, 1, round as u32);
    (0..n).map(|i| Noise::new(seed).below(stream, i as u32, n as u32) as usize).collect()
}

/// The values that 2.5 % lie below and above.
fn percentiles(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let at = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    (at(0.025), at(0.975))
}
