//! Where the ball is and how high the tone, read from any clip: true, coded or generated.

use super::paint::CENTRES;
use super::{LOWEST_HZ, OCTAVES};
use crate::error::Result;
use crate::world::colour::{mean_hue, thing};
use crate::world::spectrum::Spectrum;
use crate::world::{Tracks, both, frame_times_s};
use crate::{Audio, Clip, Video};

/// Candidates for the pitch in an octave.
const STEPS: f64 = 48.0;
/// Candidates reach this many octaves beyond the world's range.
const MARGIN_OCTAVES: f64 = 0.1;
/// How much a harmonic counts towards the pitch, less than the one below it: so the tone an octave down, of which
/// every other harmonic is missing, loses.
const HARMONIC_WEIGHT: f64 = 0.6;
const HARMONICS: usize = 4;

/// Measures a clip.
///
/// # Errors
/// [`crate::Error::Value`] if it lacks pictures or sound.
pub fn tracks(clip: &Clip) -> Result<Tracks> {
    let (video, audio) = both(clip)?;
    let times = frame_times_s(video);
    let pitch = pitch(audio, &times);
    let timbre = timbre(audio, &times, &pitch);
    Ok(Tracks { height: ball_height(video), pitch, hue: ball_hue(video), timbre })
}

/// Height of the ball in every frame, 0 on the ground to 1 under the ceiling; `None` where nothing is coloured.
///
/// The centre of the colour.
pub fn ball_height(video: &Video) -> Vec<Option<f64>> {
    video
        .frames
        .iter()
        .map(|frame| thing(frame, video.width).map(|ball| to_height(ball.row / video.height as f64)))
        .collect()
}

/// Mean colour of the ball over all frames, 0 red over 0.5 green to 1 blue.
pub fn ball_hue(video: &Video) -> Option<f64> {
    mean_hue(&video.frames, video.width)
}

fn to_height(row: f64) -> f64 {
    (row - CENTRES.0) / (CENTRES.1 - CENTRES.0)
}

/// Pitch at times given in seconds, in octaves above [`LOWEST_HZ`]; `None` where it is silent.
///
/// The candidate in the world's range whose harmonics hold the greatest weighted sum of magnitudes.
pub fn pitch(audio: &Audio, times_s: &[f64]) -> Vec<Option<f64>> {
    let spectrum = Spectrum::new(audio);
    let n = ((OCTAVES + 2.0 * MARGIN_OCTAVES) * STEPS) as usize;
    let candidates: Vec<f64> = (0..=n).map(|i| i as f64 / STEPS - MARGIN_OCTAVES).collect();
    times_s
        .iter()
        .map(|&t| {
            let magnitudes = spectrum.at(t)?;
            let score = |octaves: f64| {
                let harmonics = spectrum.harmonics::<HARMONICS>(&magnitudes, hz(octaves)).into_iter();
                harmonics.enumerate().map(|(k, m)| HARMONIC_WEIGHT.powi(k as i32) * m).sum::<f64>()
            };
            let scored = candidates.iter().map(|&octaves| (octaves, score(octaves)));
            scored.reduce(|best, new| if new.1 > best.1 { new } else { best }).map(|(octaves, _)| octaves)
        })
        .collect()
}

/// Mean share of the harmonics above the first in the tone, at the times and pitches given.
pub fn timbre(audio: &Audio, times_s: &[f64], pitch: &[Option<f64>]) -> Option<f64> {
    let spectrum = Spectrum::new(audio);
    let shares = times_s.iter().zip(pitch).filter_map(|(&t, octaves)| {
        let harmonics = spectrum.harmonics::<HARMONICS>(&spectrum.at(t)?, hz((*octaves)?));
        let all: f64 = harmonics.iter().sum();
        (all > 0.0).then(|| 1.0 - harmonics[0] / all)
    });
    let (n, sum) = shares.fold((0.0, 0.0), |(n, sum), share| (n + 1.0, sum + share));
    (n > 0.0).then(|| sum / n)
}

/// The frequency so many octaves above [`LOWEST_HZ`].
fn hz(octaves: f64) -> f64 {
    LOWEST_HZ * octaves.exp2()
}
