//! Where the ball is and how high the tone, read from any clip: true, coded or generated.

use super::paint::CENTRES;
use super::{LOWEST_HZ, OCTAVES, frame_time_s};
use crate::error::{Error, Result};
use crate::{Audio, Clip, Video};
use realfft::RealFftPlanner;

/// A pixel's colour (largest less smallest of red, green, blue) counts from here on.
const LEAST_COLOUR: f64 = 20.0;
/// A frame's ball must have this much colour at its most colourful pixel.
const LEAST_BALL: f64 = 50.0;
const WINDOW_S: f64 = 0.096;
/// Below this root mean square there is no tone.
const LEAST_RMS: f64 = 0.005;
/// Candidates for the pitch in an octave.
const STEPS: f64 = 48.0;
/// Candidates reach this many octaves beyond the world's range.
const MARGIN_OCTAVES: f64 = 0.1;
/// How much a harmonic counts towards the pitch, less than the one below it: so the tone an octave down, of which
/// every other harmonic is missing, loses.
const HARMONIC_WEIGHT: f64 = 0.6;
const HARMONICS: usize = 4;

/// What is measured of a clip, frame by frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Tracks {
    /// Height of the ball, 0 to 1, where one is seen.
    pub height: Vec<Option<f64>>,
    /// Pitch in octaves above [`LOWEST_HZ`], where a tone is heard.
    pub pitch: Vec<Option<f64>>,
    /// Colour of the ball, 0 red to 1 blue.
    pub hue: Option<f64>,
    /// Share of the harmonics above the first in the tone.
    pub timbre: Option<f64>,
}

/// Measures a clip.
///
/// # Errors
/// [`Error::Value`] if it lacks pictures or sound.
pub fn tracks(clip: &Clip) -> Result<Tracks> {
    let missing = |what| Error::value("clip to measure", format!("a clip with {what}"), "none");
    let video = clip.video.as_ref().ok_or_else(|| missing("pictures"))?;
    let audio = clip.audio.as_ref().ok_or_else(|| missing("sound"))?;
    let times: Vec<f64> = (0..video.frames.len()).map(|f| frame_time_s(f, video.fps.value())).collect();
    let pitch = pitch(audio, &times);
    let timbre = timbre(audio, &times, &pitch);
    Ok(Tracks { height: ball_height(video), pitch, hue: ball_hue(video), timbre })
}

/// Height of the ball in every frame, 0 on the ground to 1 under the ceiling; `None` where nothing is coloured.
///
/// The centre of the colour, by its square, so that a faint haze far from the ball hardly moves it.
pub fn ball_height(video: &Video) -> Vec<Option<f64>> {
    video
        .frames
        .iter()
        .map(|frame| ball(frame, video.width).map(|ball| to_height(ball.row / video.height as f64)))
        .collect()
}

/// Mean colour of the ball over all frames, 0 red over 0.5 green to 1 blue.
pub fn ball_hue(video: &Video) -> Option<f64> {
    let balls: Vec<Ball> = video.frames.iter().filter_map(|frame| ball(frame, video.width)).collect();
    let rgb: [f64; 3] = std::array::from_fn(|c| balls.iter().map(|ball| ball.rgb[c]).sum());
    hue(rgb)
}

fn to_height(row: f64) -> f64 {
    (row - CENTRES.0) / (CENTRES.1 - CENTRES.0)
}

struct Ball {
    row: f64,
    rgb: [f64; 3],
}

fn ball(frame: &[u8], width: usize) -> Option<Ball> {
    let (mut weights, mut rows, mut rgb, mut most) = (0.0, 0.0, [0.0; 3], 0.0f64);
    for (i, pixel) in frame.chunks_exact(3).enumerate() {
        let pixel = [f64::from(pixel[0]), f64::from(pixel[1]), f64::from(pixel[2])];
        let colour =
            pixel.iter().fold(0.0, |a: f64, &b| a.max(b)) - pixel.iter().fold(255.0, |a: f64, &b| a.min(b));
        most = most.max(colour);
        let weight = (colour - LEAST_COLOUR).max(0.0).powi(2);
        weights += weight;
        rows += weight * ((i / width) as f64 + 0.5);
        rgb.iter_mut().zip(pixel).for_each(|(sum, x)| *sum += weight * x);
    }
    (most >= LEAST_BALL).then(|| Ball { row: rows / weights, rgb: rgb.map(|sum| sum / weights) })
}

/// The hue of a colour on the way from red over green to blue.
fn hue([r, g, b]: [f64; 3]) -> Option<f64> {
    let low = r.min(g).min(b);
    let (r, g, b) = (r - low, g - low, b - low);
    let high = r.max(g).max(b);
    if high <= 0.0 {
        return None;
    }
    // Between blue and red there is no way: the nearer end.
    let sector = match () {
        () if high == r => g / high,
        () if high == g => 2.0 + (b - r) / high,
        () => 4.0 - g / high,
    };
    Some(sector / 4.0)
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
                let harmonics = spectrum.harmonics(&magnitudes, octaves).into_iter();
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
        let harmonics = spectrum.harmonics(&spectrum.at(t)?, (*octaves)?);
        let all: f64 = harmonics.iter().sum();
        (all > 0.0).then(|| 1.0 - harmonics[0] / all)
    });
    let (n, sum) = shares.fold((0.0, 0.0), |(n, sum), share| (n + 1.0, sum + share));
    (n > 0.0).then(|| sum / n)
}

/// Spectra of a sound around any time.
struct Spectrum<'a> {
    audio: &'a Audio,
    window: Vec<f64>,
    fft: std::sync::Arc<dyn realfft::RealToComplex<f64>>,
}

impl<'a> Spectrum<'a> {
    fn new(audio: &'a Audio) -> Self {
        let n = (WINDOW_S * f64::from(audio.sample_rate_hz)).round().max(2.0) as usize;
        let window =
            (0..n).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * (i as f64 + 0.5) / n as f64).cos()).collect();
        // Two to four times as long as the window: bins fine enough for the nearest one.
        Self { audio, window, fft: RealFftPlanner::new().plan_fft_forward(4 * n.next_power_of_two()) }
    }

    /// Magnitudes around a time; `None` if it is silent there.
    fn at(&self, t_s: f64) -> Option<Vec<f64>> {
        let centre = (t_s * f64::from(self.audio.sample_rate_hz)).round() as isize;
        let first = centre - self.window.len() as isize / 2;
        let sample = |i: usize| {
            let at = usize::try_from(first + i as isize).ok()?;
            self.audio.samples.get(at).map(|&x| f64::from(x))
        };
        let mut buffer = self.fft.make_input_vec();
        let mut energy = 0.0;
        for (i, w) in self.window.iter().enumerate() {
            let x = sample(i).unwrap_or(0.0);
            energy += x * x;
            buffer[i] = w * x;
        }
        if (energy / self.window.len() as f64).sqrt() < LEAST_RMS {
            return None;
        }
        let mut spectrum = self.fft.make_output_vec();
        self.fft.process(&mut buffer, &mut spectrum).expect("lengths are as planned");
        Some(spectrum.iter().map(|x| x.norm()).collect())
    }

    /// The magnitudes of the harmonics of a pitch.
    fn harmonics(&self, magnitudes: &[f64], octaves: f64) -> [f64; HARMONICS] {
        let bins_per_hz = self.fft.len() as f64 / f64::from(self.audio.sample_rate_hz);
        let first = LOWEST_HZ * octaves.exp2() * bins_per_hz;
        std::array::from_fn(|k| {
            magnitudes.get((first * (k + 1) as f64).round() as usize).copied().unwrap_or(0.0)
        })
    }
}
