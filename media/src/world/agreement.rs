//! How well sight and sound agree over many clips, against the same pictures with other clips' sounds.

use super::tracks::Tracks;
use crate::metrics::{Interval, correlation, correlation_interval, mean_interval};
use avdit_core::{Noise, Purpose, Stream};
use serde::{Deserialize, Serialize};

/// Other clips' sounds with which each picture is paired.
const STRANGERS: usize = 8;
/// Frames that must have both something seen and something heard.
const LEAST_FRAMES: usize = 4;

/// The agreement of sight and sound over clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreement {
    /// Clips.
    pub clips: usize,
    /// Clips in which too few frames showed something and sounded, or one of them never changed: they count as 0.
    pub without_track: usize,
    /// Correlation of what is seen and what is heard (height and pitch, mouth and loudness) within each clip, averaged.
    pub matched: Interval,
    /// The same for pictures with other clips' sounds.
    pub shuffled: Interval,
    /// Matched less shuffled, clip by clip.
    pub difference: Interval,
    /// Correlation over the frames of all clips at once.
    pub pooled: f64,
    /// The same for pictures with other clips' sounds.
    pub pooled_shuffled: f64,
    /// Correlation of colour and timbre over clips; `None` with fewer than four that have both, or if one is the same
    /// in all.
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
    Some(Agreement {
        clips: n,
        without_track,
        matched: mean_interval(&matched, seed),
        shuffled: mean_interval(&shuffled, seed),
        difference: mean_interval(&difference, seed),
        pooled: correlation(&pooled).unwrap_or(0.0),
        pooled_shuffled: correlation(&pooled_shuffled).unwrap_or(0.0),
        hue_timbre: correlation_interval(&colours, seed),
    })
}

/// What is seen and what is heard in the frames that have both.
fn common(sight: &Tracks, sound: &Tracks) -> Vec<(f64, f64)> {
    sight.height.iter().zip(&sound.pitch).filter_map(|(height, pitch)| (*height).zip(*pitch)).collect()
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
