//! Frames with times of their own to frames at a constant rate.

use crate::Rational;

/// Frames whose start is within this part of a frame of the constant rate's are at that rate.
const JITTER_FRAMES: f64 = 0.2;

/// A constant rate and the source frame that each of its frames shows.
#[derive(Debug, PartialEq)]
pub(crate) struct ConstantRate {
    pub(crate) fps: Rational,
    pub(crate) shows: Vec<usize>,
}

/// Brings frames that start at `starts` (increasing, in ticks of `1 / timescale` s), the last ending at `end`,
/// to a constant rate: the mean rate if they hold to it, else that of the commonest interval, each instant then
/// showing the frame that was on screen.
///
/// `None` if the times are no times: none, not increasing, or ending before they begin.
pub(crate) fn constant_rate(starts: &[u64], end: u64, timescale: u32) -> Option<ConstantRate> {
    let (&first, &last) = (starts.first()?, starts.last()?);
    if end <= last || timescale == 0 || starts.windows(2).any(|pair| pair[1] <= pair[0]) {
        return None;
    }
    let count = starts.len();
    // Some writers leave the last frame's duration out: the intervals then tell the rate alone.
    let by_end = (count as u64, end - first);
    let by_intervals = (count as u64 - 1, last - first);
    for (frames, ticks) in [by_end, by_intervals] {
        let mean = ticks as f64 / frames as f64;
        let strays = |(index, start): (usize, &u64)| ((start - first) as f64 - index as f64 * mean).abs();
        let worst = starts.iter().enumerate().map(strays).fold(0.0, f64::max);
        if frames > 0 && worst <= JITTER_FRAMES * mean && (end - last) as f64 <= 1.5 * mean {
            let fps = fraction(frames * u64::from(timescale), ticks)?;
            return Some(ConstantRate { fps, shows: (0..count).collect() });
        }
    }
    let interval = commonest(starts.windows(2).map(|pair| pair[1] - pair[0]));
    let fps = fraction(u64::from(timescale), interval)?;
    let frames = (((end - first) as f64 / interval as f64).round() as usize).max(1);
    let shows = (0..frames)
        .map(|index| {
            let middle = first as f64 + (index as f64 + 0.5) * interval as f64;
            starts.partition_point(|start| *start as f64 <= middle).saturating_sub(1)
        })
        .collect();
    Some(ConstantRate { fps, shows })
}

fn commonest(intervals: impl Iterator<Item = u64>) -> u64 {
    let mut sorted: Vec<u64> = intervals.collect();
    sorted.sort_unstable();
    sorted
        .chunk_by(|a, b| a == b)
        .max_by_key(|run| (run.len(), std::cmp::Reverse(run[0])))
        .map_or(1, |run| run[0])
}

/// `num / den` in lowest terms, the nearest fraction that fits if they do not.
fn fraction(num: u64, den: u64) -> Option<Rational> {
    if num == 0 || den == 0 {
        return None;
    }
    let divisor = gcd(num, den);
    let (mut num, mut den) = (num / divisor, den / divisor);
    while num > u64::from(u32::MAX) || den > u64::from(u32::MAX) {
        num = num.div_ceil(2);
        den = den.div_ceil(2);
    }
    Some(Rational::new(num as u32, den as u32))
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn even_frames_keep_their_rate_and_number() {
        // 30000/1001 fps in ticks of 1/30000 s.
        let starts: Vec<u64> = (0..100).map(|index| 2002 + index * 1001).collect();
        let rate = constant_rate(&starts, 2002 + 100 * 1001, 30_000).unwrap();
        assert_eq!(rate.fps, Rational::new(30_000, 1001));
        assert_eq!(rate.shows, (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn milliseconds_do_not_make_a_rate_vary() {
        let starts: Vec<u64> = (0..30).map(|index| (index as f64 * 1000.0 / 30.0).round() as u64).collect();
        let rate = constant_rate(&starts, 1000, 1000).unwrap();
        assert_eq!((rate.fps, rate.shows.len()), (Rational::new(30, 1), 30));
    }

    #[test]
    fn a_last_frame_without_duration_is_a_frame_as_any_other() {
        let starts: Vec<u64> = (0..40).map(|index| index * 100).collect();
        let rate = constant_rate(&starts, 3901, 1000).unwrap();
        assert_eq!((rate.fps, rate.shows.len()), (Rational::new(10, 1), 40));
    }

    #[test]
    fn a_frame_held_for_three_is_shown_three_times() {
        let rate = constant_rate(&[0, 10, 20, 50, 60], 70, 100).unwrap();
        assert_eq!(rate.fps, Rational::new(10, 1));
        assert_eq!(rate.shows, [0, 1, 2, 2, 2, 3, 4]);
        let paused = constant_rate(&[0, 10, 20], 50, 100).unwrap();
        assert_eq!(paused.shows, [0, 1, 2, 2, 2]);
    }

    #[test]
    fn times_that_go_back_are_refused() {
        assert_eq!(constant_rate(&[0, 10, 10], 20, 100), None);
        assert_eq!(constant_rate(&[0, 10], 10, 100), None);
        assert_eq!(constant_rate(&[], 10, 100), None);
    }
}
