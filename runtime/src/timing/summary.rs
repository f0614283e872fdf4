//! Exact statistics of a list of measurements.

use serde::{Deserialize, Serialize};

/// Statistics over every measurement; no value is estimated from bins.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// Measurements.
    pub n: usize,
    /// The smallest.
    pub min: f64,
    /// The arithmetic mean.
    pub mean: f64,
    /// Half of all are at most this.
    pub p50: f64,
    /// 90 % of all are at most this.
    pub p90: f64,
    /// 99 % of all are at most this.
    pub p99: f64,
    /// The largest.
    pub max: f64,
    /// Coefficient of variation: standard deviation over mean; 0 of fewer than two.
    pub cv: f64,
}

impl Summary {
    /// The statistics of at least one measurement; `None` of none.
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let n = sorted.len();
        let mean = sorted.iter().sum::<f64>() / n as f64;
        let variance = sorted.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / (n.max(2) - 1) as f64;
        let cv = if mean == 0.0 { 0.0 } else { variance.sqrt() / mean };
        let p = |percent| nearest_rank(&sorted, percent);
        Some(Self { n, min, mean, p50: p(50), p90: p(90), p99: p(99), max, cv })
    }
}

/// The smallest value that at least `percent` % of the sorted values do not exceed.
fn nearest_rank(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measurements() {
        let values: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        let summary = Summary::of(&values).unwrap();
        assert_eq!((summary.p50, summary.p90, summary.p99), (50.0, 90.0, 99.0));
        // of 10 values, 99 % is more than 9 of them: the largest
        let few = Summary::of(&values[90..]).unwrap();
        assert_eq!((few.n, few.min, few.p50, few.p90, few.p99, few.max), (10, 1.0, 5.0, 9.0, 10.0, 10.0));
        assert!(Summary::of(&[]).is_none());
    }

    #[test]
    fn the_coefficient_of_variation_is_that_of_a_sample() {
        // mean 3, deviations ±1: variance (1 + 1)/(2 − 1) = 2
        let summary = Summary::of(&[2.0, 4.0]).unwrap();
        assert!((summary.cv - 2f64.sqrt() / 3.0).abs() < 1e-15);
        assert_eq!(Summary::of(&[7.0]).unwrap().cv, 0.0);
    }
}
