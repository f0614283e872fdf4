//! A histogram that grows with what it is given: ranges of values that are never all in memory.

/// Bins; a power of two, so that neighbours can join.
const BINS: usize = 2048;

/// Counts of finite values in bins of equal width.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    low: f64,
    /// 0 until something else than 0 was seen.
    width: f64,
    counts: Vec<u64>,
    zeros: u64,
    min: f32,
    max: f32,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { low: 0.0, width: 0.0, counts: vec![0; BINS], zeros: 0, min: 0.0, max: 0.0 }
    }
}

impl Histogram {
    /// Adds values, all finite.
    pub fn add(&mut self, values: &[f32]) {
        let (min, max) = values.iter().fold((0.0f32, 0.0f32), |(min, max), &x| (min.min(x), max.max(x)));
        if min == max && self.width == 0.0 {
            self.zeros += values.len() as u64;
            return;
        }
        (self.min, self.max) = (self.min.min(min), self.max.max(max));
        self.cover(f64::from(min), f64::from(max));
        for &x in values {
            let bin = ((f64::from(x) - self.low) / self.width) as usize;
            self.counts[bin.min(BINS - 1)] += 1;
        }
    }

    /// The smallest and the largest value; 0 is always between them.
    pub fn min_max(&self) -> [f32; 2] {
        [self.min, self.max]
    }

    /// The range that leaves out as many values on each side as a share of `1 − percent/100` holds in all.
    pub fn percentile(&self, percent: f64) -> [f32; 2] {
        let total: u64 = self.counts.iter().sum::<u64>() + self.zeros;
        let outside = (total as f64 * (1.0 - percent / 100.0) / 2.0) as u64;
        // The first bin with which more is left out than may be.
        let end = |bins: &[usize]| {
            let sums = bins.iter().scan(0u64, |sum, &bin| {
                *sum += self.counts[bin];
                Some((bin, *sum))
            });
            sums.into_iter().find(|(_, sum)| *sum > outside).map(|(bin, _)| bin)
        };
        let forward: Vec<usize> = (0..BINS).collect();
        let backward: Vec<usize> = (0..BINS).rev().collect();
        let (first, last) = (end(&forward), end(&backward));
        let edge =
            |bin: Option<usize>, up: usize| bin.map_or(0.0, |bin| self.low + self.width * (bin + up) as f64);
        let [low, high] = [edge(first, 0) as f32, edge(last, 1) as f32];
        [low.max(self.min).min(0.0), high.min(self.max).max(0.0)]
    }

    /// The range whose 256 steps leave the least squared error, among the whole one and smaller ones in proportion.
    pub fn least_error(&self) -> [f32; 2] {
        let shares = (0..64).map(|i| 1.0 - f64::from(i) / 80.0);
        let ranges = shares.map(|share| [self.min, self.max].map(|end| f64::from(end) * share));
        let best = ranges.map(|range| (self.error(range), range)).min_by(|a, b| a.0.total_cmp(&b.0));
        best.map_or([self.min, self.max], |(_, range)| range.map(|end| end as f32))
    }

    /// The sum of squared errors with 256 steps over a range.
    fn error(&self, [low, high]: [f64; 2]) -> f64 {
        let step = (high - low) / 255.0;
        let bins = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        bins.map(|(bin, &count)| {
            let x = self.low + self.width * (bin as f64 + 0.5);
            let cut = if x < low { low - x } else { (x - high).max(0.0) };
            count as f64 * (cut * cut + step * step / 12.0)
        })
        .sum()
    }

    /// Widens the bins until they hold a range.
    fn cover(&mut self, min: f64, max: f64) {
        if self.width == 0.0 {
            self.low = min;
            self.width = (max - min) / (BINS - 1) as f64;
            let bin = ((0.0 - self.low) / self.width) as usize;
            self.counts[bin.min(BINS - 1)] = std::mem::take(&mut self.zeros);
        }
        while max >= self.low + self.width * BINS as f64 {
            self.double(0);
        }
        while min < self.low {
            self.low -= self.width * BINS as f64;
            self.double(BINS / 2);
        }
    }

    /// Joins neighbours into one half, which begins at `start`.
    fn double(&mut self, start: usize) {
        let joined: Vec<u64> = self.counts.chunks_exact(2).map(|pair| pair[0] + pair[1]).collect();
        self.counts.fill(0);
        self.counts[start..start + BINS / 2].copy_from_slice(&joined);
        self.width *= 2.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count(histogram: &Histogram) -> u64 {
        histogram.counts.iter().sum::<u64>() + histogram.zeros
    }

    #[test]
    fn it_grows_to_both_sides_and_loses_nothing() {
        let mut histogram = Histogram::default();
        histogram.add(&[0.0; 5]);
        for size in [1e-3f32, 1.0, 50.0, 7.0] {
            histogram.add(&[-size, size / 2.0, 0.0]);
        }
        assert_eq!(histogram.min_max(), [-50.0, 25.0]);
        assert_eq!(count(&histogram), 17);
        let bin = |x: f64| ((x - histogram.low) / histogram.width) as usize;
        assert_eq!(histogram.counts[bin(-50.0)], 1);
        assert_eq!(histogram.counts[bin(25.0)], 1);
        assert!(histogram.counts[bin(0.0)] >= 9);
        assert_eq!(Histogram::default().percentile(99.0), [0.0, 0.0]);
        assert_eq!(Histogram::default().least_error(), [0.0, 0.0]);
    }

    #[test]
    fn outliers_are_left_out_by_percentile_and_by_error() {
        let mut histogram = Histogram::default();
        let bulk: Vec<f32> = (0..100_000).map(|i| (i as f32 / 50_000.0) - 1.0).collect();
        histogram.add(&bulk);
        histogram.add(&[40.0]);
        let [low, high] = histogram.percentile(99.9);
        assert!((-1.03..=-0.95).contains(&low) && (0.95..1.05).contains(&high), "{low} {high}");
        assert_eq!(histogram.min_max(), [-1.0, 40.0]);
        // One value of 40 among many is cut where that costs less than coarser steps for all.
        let [_, most] = histogram.least_error();
        assert!((5.0..40.0).contains(&most), "{most}");
        let whole = histogram.error([-1.0, 40.0]);
        assert!(histogram.error(histogram.least_error().map(f64::from)) < whole);
    }
}
