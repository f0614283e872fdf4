//! How well sight and sound agree over many clips, against the same pictures with other clips' sounds.

use super::measure::Tracks;
use avdit_core::{Noise, Purpose, Stream};
use serde::{Deserialize, Serialize};

const RESAMPLES: usize = 4000;
/// Other clips' sounds with which each picture is paired.
const STRANGERS: usize = 8;
/// Frames that must have both a height and a pitch.
const LEAST_FRAMES: usize = 4;

/// A mean with its 95 % confidence interval (percentile bootstrap over clips).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The mean.
    pub mean: f64,
    /// 2.5 % of the resampled means lie below.
    pub low: f64,
    /// 2.5 % of the resampled means lie above.
    pub high: f64,
}

/// The agreement of sight and sound over clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Clips.
    pub clips: usize,
    /// Clips in which too few frames showed a ball and sounded, or one of them never moved: they count as 0.
    pub without_track: usize,
    /// Correlation of height and pitch within each clip, averaged.
    pub matched: Interval,
    /// The same for pictures with other clips' sounds.
    pub shuffled: Interval,
    /// Matched less shuffled, clip by clip.
    pub difference: Interval,
    /// Correlation over the frames of all clips at once.
    pub pooled: f64,
    /// The same for pictures with other clips' sounds.
    pub pooled_shuffled: f64,
    /// Correlation of colour and timbre over clips; `None` with fewer than four that have both.
    pub hue_timbre: Option<Interval>,
}

impl Agreement {
    /// Whether the interval of the difference lies above 0.
    pub fn is_above_chance(&self) -> bool {
        self.difference.low > 0.0
    }
}

/// Measures the agreement over clips; `None` with fewer than two.
///
/// Every picture is paired with the sounds of the next clips in a random order, so no clip meets itself.
pub fn agreement(clips: &[Tracks], seed: u64) -> Option<Agreement> {
    let n = clips.len();
    if n < 2 {
        return None;
    }
    let order = Noise::new(seed).permutation(Stream::new(Purpose::Statistics, 0, 0), n);
    let pairs = |shift: usize| (0..n).map(move |i| (i, (i + shift) % n));
    let (mut matched, mut shuffled) = (vec![0.0; n], vec![0.0; n]);
    let mut without_track = 0;
    let strangers = STRANGERS.min(n - 1);
    let mut pooled_shuffled = Vec::new();
    for shift in 0..=strangers {
        for (i, j) in pairs(shift) {
            let (sight, sound) = (&clips[order[i]], &clips[order[j]]);
            let both = common(sight, sound);
            let r = correlation(&both).filter(|_| both.len() >= LEAST_FRAMES);
            if shift == 0 {
                without_track += usize::from(r.is_none());
                matched[i] = r.unwrap_or(0.0);
            } else {
                shuffled[i] += r.unwrap_or(0.0) / strangers as f64;
                pooled_shuffled.extend(both);
            }
        }
    }
    let difference: Vec<f64> = matched.iter().zip(&shuffled).map(|(a, b)| a - b).collect();
    let pooled: Vec<(f64, f64)> = clips.iter().flat_map(|clip| common(clip, clip)).collect();
    let colours: Vec<(f64, f64)> = clips.iter().filter_map(|clip| clip.hue.zip(clip.timbre)).collect();
    let mean_of =
        |values: &[f64]| bootstrap(values, seed, |sample| sample.iter().sum::<f64>() / sample.len() as f64);
    Some(Agreement {
        clips: n,
        without_track,
        matched: mean_of(&matched),
        shuffled: mean_of(&shuffled),
        difference: mean_of(&difference),
        pooled: correlation(&pooled).unwrap_or(0.0),
        pooled_shuffled: correlation(&pooled_shuffled).unwrap_or(0.0),
        hue_timbre: (colours.len() >= LEAST_FRAMES)
            .then(|| bootstrap(&colours, seed, |sample| correlation(sample).unwrap_or(0.0))),
    })
}

/// Height and pitch of the frames that have both.
fn common(sight: &Tracks, sound: &Tracks) -> Vec<(f64, f64)> {
    sight.height.iter().zip(&sound.pitch).filter_map(|(height, pitch)| (*height).zip(*pitch)).collect()
}

/// Pearson's correlation; `None` if one side does not vary.
fn correlation(pairs: &[(f64, f64)]) -> Option<f64> {
    let n = pairs.len() as f64;
    let (mx, my) = pairs.iter().fold((0.0, 0.0), |(x, y), pair| (x + pair.0 / n, y + pair.1 / n));
    let (xx, yy, xy) = pairs.iter().fold((0.0, 0.0, 0.0), |(xx, yy, xy), (x, y)| {
        (xx + (x - mx).powi(2), yy + (y - my).powi(2), xy + (x - mx) * (y - my))
    });
    let scale = (xx * yy).sqrt();
    (scale > 1e-12).then(|| xy / scale)
}

/// A statistic of all values, and the interval of 95 % of it over resamples (Efron 1979).
fn bootstrap<T: Copy>(values: &[T], seed: u64, statistic: impl Fn(&[T]) -> f64) -> Interval {
    let n = values.len();
    let resample = |round: usize| {
        let stream = Stream::new(Purpose::Statistics, 1, round as u32);
        let pick = |i: usize| values[Noise::new(seed).below(stream, i as u32, n as u32) as usize];
        statistic(&(0..n).map(pick).collect::<Vec<T>>())
    };
    let mut found: Vec<f64> = (0..RESAMPLES).map(resample).collect();
    found.sort_by(f64::total_cmp);
    let at = |share: f64| found[(share * (RESAMPLES - 1) as f64).round() as usize];
    Interval { mean: statistic(values), low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(phase: f64, follows: bool) -> Tracks {
        let height = |f: usize| (f as f64 * 0.7 + phase).sin();
        let pitch = |f: usize| if follows { height(f) } else { (f as f64 * 1.3 + 7.0 * phase).cos() };
        Tracks {
            height: (0..17).map(|f| Some(height(f))).collect(),
            pitch: (0..17).map(|f| Some(pitch(f))).collect(),
            hue: Some(phase),
            timbre: Some(2.0 * phase),
        }
    }

    #[test]
    fn clips_that_obey_the_law_are_told_from_clips_that_do_not() {
        let phases = (0..32).map(|i| f64::from(i) * 2.4);
        let law = agreement(&phases.clone().map(|p| clip(p, true)).collect::<Vec<_>>(), 1).unwrap();
        assert!((law.matched.mean - 1.0).abs() < 1e-9 && law.is_above_chance(), "{law:?}");
        assert!(
            law.shuffled.mean.abs() < 0.2 && law.shuffled.low < 0.0 && law.shuffled.high > 0.0,
            "{law:?}"
        );
        assert!((law.hue_timbre.unwrap().mean - 1.0).abs() < 1e-9);
        let none = agreement(&phases.map(|p| clip(p, false)).collect::<Vec<_>>(), 1).unwrap();
        assert!(!none.is_above_chance() && none.matched.mean.abs() < 0.3, "{none:?}");
    }

    #[test]
    fn clips_without_a_track_count_as_no_agreement() {
        let silent = Tracks { pitch: vec![None; 17], timbre: None, ..clip(1.0, true) };
        let found = agreement(&[clip(0.0, true), silent], 1).unwrap();
        assert_eq!((found.without_track, found.matched.mean), (1, 0.5));
        assert!(agreement(&[clip(0.0, true)], 1).is_none());
    }
}
