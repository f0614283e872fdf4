//! From a clip to one vector of what is seen and one of what is heard.

use super::Features;
use super::network::{Layer, Volume, moments};
use crate::codec::Stft;
use crate::error::{Error, Result};
use crate::{Audio, Video};
use rayon::prelude::*;

/// Name and version of the feature space: distances under different names must not be compared.
pub const FEATURES: &str = "avdit-random-conv-1";
/// Values of a video's vector.
pub const VIDEO_DIMS: usize = 64;
/// Values of a sound's vector.
pub const AUDIO_DIMS: usize = 64;

/// Pictures are brought to this many pixels a side.
const SIDE: usize = 32;
/// Spectra a second, samples in a window at 16 kHz, bands.
const SPECTRA_HZ: f64 = 62.5;
const WINDOW_S: f64 = 0.064;
const BANDS: usize = 64;
/// Where the bands begin and end.
const BAND_HZ: (f64, f64) = (60.0, 7600.0);
/// Magnitude, relative to a full-scale sine, added before the logarithm.
const FLOOR: f64 = 0.003;

/// Two fixed random networks, one for pictures and one for log-mel spectrograms, drawn from a fixed seed.
///
/// Three layers of convolutions over space and time with ReLU; half of all filters see change alone. A clip's
/// vector holds the mean and the standard deviation of the last layer's channels. Nothing in it is learnt.
pub struct FeatureSpace {
    video: [Layer; 3],
    audio: [Layer; 3],
}

impl Default for FeatureSpace {
    fn default() -> Self {
        Self::new()
    }
}

impl FeatureSpace {
    /// Draws the parameters.
    pub fn new() -> Self {
        Self {
            video: [
                Layer::new(1, 0, [5, 12], [3, 3, 3], [1, 2, 2]),
                Layer::new(1, 1, [12, 24], [3, 3, 3], [2, 2, 2]),
                Layer::new(1, 2, [24, VIDEO_DIMS / 2], [3, 3, 3], [1, 2, 2]),
            ],
            audio: [
                Layer::new(2, 0, [3, 12], [3, 1, 3], [1, 1, 2]),
                Layer::new(2, 1, [12, 24], [3, 1, 3], [2, 1, 2]),
                Layer::new(2, 2, [24, AUDIO_DIMS / 2], [3, 1, 3], [2, 1, 2]),
            ],
        }
    }

    /// The vector of pictures, [`VIDEO_DIMS`] values.
    ///
    /// # Errors
    /// [`Error::Count`] if there are no frames or a frame is not of the size stated.
    pub fn video(&self, video: &Video) -> Result<Vec<f32>> {
        if video.frames.is_empty() || video.width == 0 || video.height == 0 {
            return Err(Error::value("pictures whose features are asked for", "at least 1 pixel", 0));
        }
        let size = video.width * video.height * 3;
        video.frames.iter().try_for_each(|f| Error::check_count("bytes of a video frame", size, f.len()))?;
        let values = video.frames.iter().flat_map(|f| reduced(f, video.width, video.height)).collect();
        let frames = Volume { time: video.frames.len(), rows: SIDE, columns: SIDE, channels: 3, values };
        Ok(run(&self.video, &frames.with_places()))
    }

    /// The vector of a sound, [`AUDIO_DIMS`] values.
    ///
    /// # Errors
    /// [`Error::Value`] if it is empty or holds what is no finite number.
    pub fn audio(&self, audio: &Audio) -> Result<Vec<f32>> {
        let missing = audio.samples.is_empty() || audio.sample_rate_hz == 0;
        if missing || audio.samples.iter().any(|x| !x.is_finite()) {
            return Err(Error::value(
                "sound whose features are asked for",
                "finite samples",
                "none or others",
            ));
        }
        Ok(run(&self.audio, &log_mel(audio).with_places()))
    }
}

/// The vectors of many videos.
///
/// # Errors
/// As [`FeatureSpace::video`]; [`Error::Value`] if there are none.
pub fn video_features(videos: &[&Video]) -> Result<Features> {
    let space = FeatureSpace::new();
    Features::from_rows(&videos.par_iter().map(|video| space.video(video)).collect::<Result<Vec<_>>>()?)
}

/// The vectors of many sounds.
///
/// # Errors
/// As [`FeatureSpace::audio`]; [`Error::Value`] if there are none.
pub fn audio_features(sounds: &[&Audio]) -> Result<Features> {
    let space = FeatureSpace::new();
    Features::from_rows(&sounds.par_iter().map(|sound| space.audio(sound)).collect::<Result<Vec<_>>>()?)
}

fn run(layers: &[Layer; 3], x: &Volume) -> Vec<f32> {
    let [first, second, third] = layers;
    moments(&third.run(&second.run(&first.run(x))))
}

/// A frame at [`SIDE`]², each pixel the mean of those it covers, −2 to 2.
fn reduced(frame: &[u8], width: usize, height: usize) -> Vec<f32> {
    let mut values = Vec::with_capacity(SIDE * SIDE * 3);
    let span = |i: usize, n: usize| (i * n / SIDE, ((i + 1) * n / SIDE).max(i * n / SIDE + 1));
    for row in 0..SIDE {
        let (top, bottom) = span(row, height);
        for column in 0..SIDE {
            let (left, right) = span(column, width);
            let mut sums = [0u32; 3];
            for y in top..bottom {
                for pixel in frame[(y * width + left) * 3..(y * width + right) * 3].chunks_exact(3) {
                    sums.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += u32::from(x));
                }
            }
            let n = ((bottom - top) * (right - left)) as f32;
            values.extend(sums.map(|sum| sum as f32 / n / 63.75 - 2.0));
        }
    }
    values
}

/// Decibels above the floor in mel bands: `(spectra, 1, bands, 1)`, silence 0, a full-scale sine about 2.5.
fn log_mel(audio: &Audio) -> Volume {
    let rate = f64::from(audio.sample_rate_hz);
    let n_fft = ((WINDOW_S * rate) as usize).next_power_of_two().max(64);
    let hop = ((rate / SPECTRA_HZ).round() as usize).max(1);
    let spectra = audio.samples.len().div_ceil(hop);
    let stft = Stft::new(n_fft, hop, spectra, audio.samples.len());
    let bands = mel_bands(n_fft, rate);
    let found = stft.analyse(&audio.samples);
    let mut values = Vec::with_capacity(spectra * BANDS);
    for spectrum in found.chunks_exact(stft.bins()) {
        for band in &bands {
            let power: f32 = band.iter().map(|&(bin, w)| w * spectrum[bin].norm_sqr()).sum();
            values.push(((f64::from(power).sqrt() + FLOOR) / FLOOR).log10() as f32);
        }
    }
    Volume { time: spectra, rows: 1, columns: BANDS, channels: 1, values }
}

/// Triangles over the mel scale (2595 log₁₀(1 + Hz / 700)), each as (bin, weight).
fn mel_bands(n_fft: usize, rate: f64) -> Vec<Vec<(usize, f32)>> {
    let mel = |hz: f64| 2595.0 * (1.0 + hz / 700.0).log10();
    let (low, high) = (mel(BAND_HZ.0), mel(BAND_HZ.1.min(0.5 * rate)));
    let step = (high - low) / (BANDS + 1) as f64;
    // At least two bins wide, so that no band is empty.
    let bin_mels =
        |bin: usize| mel((bin as f64 + 1.0) * rate / n_fft as f64) - mel(bin as f64 * rate / n_fft as f64);
    (0..BANDS)
        .map(|band| {
            let centre = low + (band + 1) as f64 * step;
            let weight = |bin: usize| {
                1.0 - (mel(bin as f64 * rate / n_fft as f64) - centre).abs() / step.max(bin_mels(bin))
            };
            (1..n_fft / 2).map(|bin| (bin, weight(bin) as f32)).filter(|(_, w)| *w > 0.0).collect()
        })
        .collect()
}
