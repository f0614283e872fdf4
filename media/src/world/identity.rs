//! Who is seen and heard before and after an instant, and whether it is the same one.

use super::ball::{pitch, timbre};
use super::colour::mean_hue;
use super::monologue::{face, voice};
use super::{WorldKind, both, frame_times_s};
use crate::error::Result;
use crate::metrics::{Interval, mean_interval};
use crate::{Audio, Clip, Video};
use avdit_core::{Noise, Purpose, Stream};
use serde::{Deserialize, Serialize};

/// Other clips' continuations with which each beginning is paired.
const STRANGERS: usize = 8;

/// The look and the voice in the given part of a clip and in the part that was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Identity {
    /// Colour before, 0 red to 1 blue.
    pub hue_given: Option<f64>,
    /// Colour after.
    pub hue_made: Option<f64>,
    /// Timbre before, as in [`super::Tracks`].
    pub timbre_given: Option<f64>,
    /// Timbre after.
    pub timbre_made: Option<f64>,
}

/// Measures who is seen and heard before and after `given_s` seconds. A frame belongs to the part that its middle
/// lies in, the sound around that instant too.
///
/// # Errors
/// [`crate::Error::Value`] if the clip lacks pictures or sound.
pub fn identity(kind: WorldKind, clip: &Clip, given_s: f64) -> Result<Identity> {
    let (video, audio) = both(clip)?;
    let times = frame_times_s(video);
    let given = times.partition_point(|&t| t < given_s);
    let look = |frames: &[Vec<u8>]| match kind {
        WorldKind::Ball => mean_hue(frames, video.width),
        WorldKind::Monologue => face(&Video { frames: frames.to_vec(), ..*video }).hue,
    };
    let sound = |times: &[f64]| timbre_at(kind, audio, times);
    Ok(Identity {
        hue_given: look(&video.frames[..given]),
        hue_made: look(&video.frames[given..]),
        timbre_given: sound(&times[..given]),
        timbre_made: sound(&times[given..]),
    })
}

fn timbre_at(kind: WorldKind, audio: &Audio, times_s: &[f64]) -> Option<f64> {
    match kind {
        WorldKind::Ball => timbre(audio, times_s, &pitch(audio, times_s)),
        WorldKind::Monologue => voice(audio, times_s).timbre,
    }
}

/// How near a quantity after the instant is to what it was before, over clips.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// Clips that have it before the instant.
    pub clips: usize,
    /// Those of them that have none after it: they count as no nearer than strangers.
    pub lost: usize,
    /// Mean absolute difference between before and after.
    pub own: Interval,
    /// The same between a clip's before and other clips' after.
    pub shuffled: Interval,
    /// Shuffled less own, clip by clip: above 0 where identity is kept.
    pub difference: Interval,
}

/// Whether the look and the voice are kept; `None` where fewer than two clips have it before and after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IdentityAgreement {
    /// Colour.
    pub look: Option<Kept>,
    /// Timbre.
    pub voice: Option<Kept>,
}

/// Compares every clip with itself and with others, in a random order in which no clip meets itself.
pub fn identity_agreement(clips: &[Identity], seed: u64) -> IdentityAgreement {
    let pairs = |of: fn(&Identity) -> (Option<f64>, Option<f64>)| clips.iter().map(of).collect::<Vec<_>>();
    IdentityAgreement {
        look: kept(&pairs(|clip| (clip.hue_given, clip.hue_made)), seed),
        voice: kept(&pairs(|clip| (clip.timbre_given, clip.timbre_made)), seed),
    }
}

fn kept(pairs: &[(Option<f64>, Option<f64>)], seed: u64) -> Option<Kept> {
    let pairs: Vec<(f64, Option<f64>)> =
        pairs.iter().filter_map(|(given, made)| given.map(|given| (given, *made))).collect();
    let n = pairs.len();
    if pairs.iter().filter(|(_, made)| made.is_some()).count() < 2 {
        return None;
    }
    let order = Noise::new(seed).permutation(Stream::new(Purpose::Statistics, 0, 0), n);
    let (mut own, mut shuffled) = (vec![0.0; n], vec![0.0; n]);
    for i in 0..n {
        let (given, made) = pairs[order[i]];
        // The nearest following clips that have something after the instant.
        let others = (1..n).filter_map(|shift| pairs[order[(i + shift) % n]].1).take(STRANGERS);
        let distances: Vec<f64> = others.map(|other| (given - other).abs()).collect();
        shuffled[i] = distances.iter().sum::<f64>() / distances.len() as f64;
        own[i] = made.map_or(shuffled[i], |made| (given - made).abs());
    }
    let difference: Vec<f64> = shuffled.iter().zip(&own).map(|(a, b)| a - b).collect();
    Some(Kept {
        clips: n,
        lost: pairs.iter().filter(|(_, made)| made.is_none()).count(),
        own: mean_interval(&own, seed),
        shuffled: mean_interval(&shuffled, seed),
        difference: mean_interval(&difference, seed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clips(keeps: bool) -> Vec<Identity> {
        let hue = |i: usize| (i as f64 * 0.618).fract();
        let made = |i: usize| if keeps { hue(i) + 0.02 } else { hue(i + 11) };
        (0..64)
            .map(|i| Identity { hue_given: Some(hue(i)), hue_made: Some(made(i)), ..Identity::default() })
            .collect()
    }

    #[test]
    fn a_look_that_is_kept_is_told_from_one_that_is_not() {
        let found = identity_agreement(&clips(true), 1);
        let look = found.look.unwrap();
        assert!((look.own.mean - 0.02).abs() < 1e-9 && look.difference.low > 0.2, "{look:?}");
        assert!(found.voice.is_none());
        let look = identity_agreement(&clips(false), 1).look.unwrap();
        assert!(look.difference.low < 0.0 && look.own.mean > 0.2, "{look:?}");
    }

    #[test]
    fn a_look_that_is_lost_counts_as_a_strangers() {
        let lost: Vec<Identity> = clips(true)
            .into_iter()
            .enumerate()
            .map(|(i, clip)| match i % 2 {
                0 => Identity { hue_made: None, ..clip },
                _ => clip,
            })
            .collect();
        let (all, half) = (identity_agreement(&clips(true), 1), identity_agreement(&lost, 1));
        let (all, half) = (all.look.unwrap(), half.look.unwrap());
        assert_eq!((half.clips, half.lost), (64, 32));
        let ratio = half.difference.mean / all.difference.mean;
        assert!((0.35..0.65).contains(&ratio), "{half:?}");
    }
}
