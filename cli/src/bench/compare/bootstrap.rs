//! A ratio of medians and how far it can be trusted.

use serde::Serialize;

/// Resamplings.
const RESAMPLES: usize = 2000;

/// An estimate and its 95 % interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Interval {
    /// From the values as they are.
    pub estimate: f64,
    /// 2.5 % of the resamplings lie below.
    pub low: f64,
    /// 2.5 % lie above.
    pub high: f64,
}

/// The median of `b` over that of `a`, both of at least one value. The same values give the same interval.
pub(super) fn ratio_of_medians(a: &[f64], b: &[f64]) -> Interval {
    let mut random = SplitMix(0x5eed);
    let mut ratios: Vec<f64> =
        (0..RESAMPLES).map(|_| resampled(b, &mut random) / resampled(a, &mut random)).collect();
    ratios.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| ratios[(share * (RESAMPLES - 1) as f64).round() as usize];
    Interval { estimate: median(b.to_vec()) / median(a.to_vec()), low: at(0.025), high: at(0.975) }
}

fn resampled(values: &[f64], random: &mut SplitMix) -> f64 {
    median((0..values.len()).map(|_| values[random.below(values.len())]).collect())
}

/// The mean of the two in the middle where there are two; NaN of none.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// SplitMix64 (Steele et al. 2014).
struct SplitMix(u64);

impl SplitMix {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % n as u64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_holds_the_ratio_of_what_the_values_were_drawn_from() {
        // Two hundred pairs of twenty values each, uniform around 10 and 11: 95 % of intervals hold 1.1.
        let mut random = SplitMix(1);
        let mut draw = |centre: f64| -> Vec<f64> {
            (0..20).map(|_| centre * (0.95 + 0.1 * random.below(1000) as f64 / 999.0)).collect()
        };
        let held = (0..200).filter(|_| {
            let ratio = ratio_of_medians(&draw(10.0), &draw(11.0));
            assert!(ratio.low <= ratio.estimate && ratio.estimate <= ratio.high);
            (ratio.low..=ratio.high).contains(&1.1)
        });
        let held = held.count();
        assert!((176..=200).contains(&held), "{held} of 200");
    }

    #[test]
    fn values_that_do_not_vary_leave_no_doubt() {
        let ratio = ratio_of_medians(&[2.0; 5], &[3.0; 5]);
        assert_eq!(ratio, Interval { estimate: 1.5, low: 1.5, high: 1.5 });
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }
}
