//! How far the mouth is open and how high the head, how loud the voice and how high: of any clip, true, coded or
//! generated.

use super::paint::{CENTRES, MOUTH};
use super::{FORMANT_HZ, FORMANT_OCTAVES, LOUDEST_RMS, LOWEST_HZ, OCTAVES};
use crate::error::Result;
use crate::world::colour::{colourfulness, mean_hue, thing};
use crate::world::spectrum::Spectrum;
use crate::world::{Tracks, both, frame_times_s};
use crate::{Audio, Clip, Video};

/// The brightest channel of skin and wall is above, that of eyes and mouth far below.
const BRIGHT: f64 = 200.0;
const DARKEST: f64 = 25.0;
/// Colour of skin that counts in full.
const SKIN: f64 = 120.0;
/// A face fills at least this share of the picture.
const LEAST_FACE: f64 = 0.15;
/// Below this loudness in every frame nobody speaks, and in one frame there is no pitch.
const LEAST_VOICE: f64 = 0.06;
/// Candidates for the pitch in an octave.
const STEPS: f64 = 48.0;
/// Candidates reach this many octaves beyond the world's range.
const MARGIN_OCTAVES: f64 = 0.1;
/// How much a harmonic counts towards the pitch, less than the one below it.
const HARMONIC_WEIGHT: f64 = 0.6;
const HARMONICS: usize = 4;
/// Where the formant is looked for: above the first harmonic, below what the codec blurs.
const BAND_HZ: (f64, f64) = (420.0, 3600.0);

/// What is seen of a face.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// Opening of the mouth in every frame, 0 closed to 1, `None` where there is no face.
    pub mouth: Vec<Option<f64>>,
    /// Height of the head in every frame, 0 to 1.
    pub head: Vec<Option<f64>>,
    /// Colour over all frames, 0 red over 0.5 green to 1 blue.
    pub hue: Option<f64>,
}

/// What is heard of a voice.
#[derive(Clone, Debug, PartialEq)]
pub struct Voice {
    /// Loudness in every frame, 0 to about 1; `None` in all if nobody speaks.
    pub loudness: Vec<Option<f64>>,
    /// Pitch in every frame, 0 to 1, `None` where it is too faint.
    pub pitch: Vec<Option<f64>>,
    /// Place of the formant, 0 to 1, frames counting by their loudness.
    pub timbre: Option<f64>,
}

/// Measures the face in every frame.
pub fn face(video: &Video) -> Face {
    let seen: Vec<Option<(f64, f64)>> =
        video.frames.iter().map(|frame| mouth_and_head(frame, video.width, video.height)).collect();
    Face {
        mouth: seen.iter().map(|seen| seen.map(|(mouth, _)| mouth)).collect(),
        head: seen.iter().map(|seen| seen.map(|(_, head)| head)).collect(),
        hue: mean_hue(&video.frames, video.width).filter(|_| seen.iter().any(Option::is_some)),
    }
}

/// The head is where skin, eyes and mouth are; the mouth is as open as it is dark below the head's middle.
fn mouth_and_head(frame: &[u8], width: usize, height: usize) -> Option<(f64, f64)> {
    thing(frame, width)?;
    let unit = width.min(height) as f64;
    let pixels = frame.chunks_exact(3).map(|p| [f64::from(p[0]), f64::from(p[1]), f64::from(p[2])]);
    let (mut area, mut rows, mut dark) = (0.0, 0.0, Vec::with_capacity(width * height));
    for (i, pixel) in pixels.enumerate() {
        let brightest = pixel.iter().fold(0.0f64, |a, &b| a.max(b));
        let darkness = ((BRIGHT - brightest) / (BRIGHT - DARKEST)).clamp(0.0, 1.0);
        let mask = (colourfulness(pixel) / SKIN).min(1.0).max(darkness);
        let mask = if mask < 0.2 { 0.0 } else { mask };
        area += mask;
        rows += mask * ((i / width) as f64 + 0.5);
        dark.push(darkness);
    }
    if area < LEAST_FACE * (width * height) as f64 {
        return None;
    }
    let middle = rows / area;
    let centre = (middle - 0.5 * height as f64) / unit + 0.5;
    let head = (centre - CENTRES.0) / (CENTRES.1 - CENTRES.0);
    let within = |i: usize| {
        let dx = ((i % width) as f64 + 0.5 - 0.5 * width as f64) / unit;
        let dy = ((i / width) as f64 + 0.5 - middle) / unit;
        dx.abs() < MOUTH.0 && (dy - MOUTH.1).abs() < MOUTH.3 + 0.03
    };
    let darkness: f64 = dark.iter().enumerate().filter(|(i, _)| within(*i)).map(|(_, d)| d).sum();
    let half_height = darkness / (unit * unit * 4.0 * MOUTH.0);
    Some(((half_height - MOUTH.2) / (MOUTH.3 - MOUTH.2), head))
}

/// Measures the voice around times given in seconds.
pub fn voice(audio: &Audio, times_s: &[f64]) -> Voice {
    let spectrum = Spectrum::new(audio);
    let n = ((OCTAVES + 2.0 * MARGIN_OCTAVES) * STEPS) as usize;
    let candidates: Vec<f64> = (0..=n).map(|i| i as f64 / STEPS - MARGIN_OCTAVES).collect();
    let loudness: Vec<f64> = times_s.iter().map(|&t| spectrum.rms(t) / LOUDEST_RMS).collect();
    if loudness.iter().all(|&loud| loud < LEAST_VOICE) {
        let none = vec![None; times_s.len()];
        return Voice { loudness: none.clone(), pitch: none, timbre: None };
    }
    let (mut pitch, mut formants, mut weights) = (Vec::new(), 0.0, 0.0);
    for (&t, &loud) in times_s.iter().zip(&loudness) {
        let Some(magnitudes) = spectrum.at(t).filter(|_| loud >= LEAST_VOICE) else {
            pitch.push(None);
            continue;
        };
        let score = |octaves: f64| {
            let harmonics =
                spectrum.harmonics::<HARMONICS>(&magnitudes, LOWEST_HZ * octaves.exp2()).into_iter();
            harmonics.enumerate().map(|(k, m)| HARMONIC_WEIGHT.powi(k as i32) * m).sum::<f64>()
        };
        let scored = candidates.iter().map(|&octaves| (octaves, score(octaves)));
        let best = scored.reduce(|best, new| if new.1 > best.1 { new } else { best });
        pitch.push(best.map(|(octaves, _)| octaves / OCTAVES));
        if let Some(formant) = formant(&magnitudes, spectrum.bins_per_hz()) {
            formants += loud * formant;
            weights += loud;
        }
    }
    let timbre = (weights > 0.0).then(|| formants / weights);
    Voice { loudness: loudness.into_iter().map(Some).collect(), pitch, timbre }
}

/// The centre of the band's power over octaves, 0 at the lowest formant to 1 at the highest.
fn formant(magnitudes: &[f64], bins_per_hz: f64) -> Option<f64> {
    let (first, last) = ((BAND_HZ.0 * bins_per_hz) as usize, (BAND_HZ.1 * bins_per_hz) as usize);
    let (mut power, mut octaves) = (0.0, 0.0);
    for (bin, m) in magnitudes.iter().enumerate().take(last + 1).skip(first.max(1)) {
        power += m * m;
        octaves += m * m * (bin as f64 / bins_per_hz / FORMANT_HZ).log2();
    }
    (power > 0.0).then(|| octaves / power / FORMANT_OCTAVES)
}

/// The second law of this world as [`Tracks`]: `height` is that of the head, `pitch` that of the voice.
///
/// # Errors
/// [`crate::Error::Value`] if the clip lacks pictures or sound.
pub fn head_tracks(clip: &Clip) -> Result<Tracks> {
    let (video, audio) = both(clip)?;
    let (face, voice) = (face(video), voice(audio, &frame_times_s(video)));
    Ok(Tracks { height: face.head, pitch: voice.pitch, hue: face.hue, timbre: voice.timbre })
}
