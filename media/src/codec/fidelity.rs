//! What any codec loses, measured in one way, so that codecs can be set side by side.

use super::fit::ClipSource;
use super::stft::{Stft, magnitude};
use super::{Codec, check_audio, check_video};
use crate::Clip;
use crate::error::{Error, Result};
use avdit_core::Modality;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// Window of the spectra in samples, and the distance between them.
const WINDOW: usize = 1024;
const HOP: usize = 256;
/// Magnitude, relative to a full-scale sine, from which levels count.
const FLOOR: f64 = 0.01;

/// What a codec makes of clips, against the clips themselves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fidelity {
    /// The kind of codec.
    pub codec: String,
    /// Clips it was measured on.
    pub clips: usize,
    /// Values of the video latents of a clip.
    pub video_latents: usize,
    /// Values of the audio latents of a clip.
    pub audio_latents: usize,
    /// Peak signal-to-noise ratio of the pictures, from the mean square over all of them.
    pub video_psnr_db: f64,
    /// Root mean square difference of the levels of all bins of spectra of 1,024 samples; levels count from −40 dB of a
    /// full-scale sine up.
    pub audio_log_spectral_distance_db: f64,
    /// Power of the sound over that of the difference, sample by sample; below 0 where phases are not kept.
    pub audio_snr_db: f64,
}

#[derive(Clone, Copy, Default)]
struct Sums {
    pixels: f64,
    pixel_squares: f64,
    bins: f64,
    level_squares: f64,
    power: f64,
    error: f64,
}

/// Measures a codec on all the clips of a source, on all cores.
///
/// # Errors
/// [`Error::Value`] if there are none; as [`Codec::encode`] and [`Codec::decode`]; those of the source.
pub fn fidelity(codec: &dyn Codec, source: &dyn ClipSource) -> Result<Fidelity> {
    if source.is_empty() {
        return Err(Error::value("clips to measure the codec on", "at least 1", 0));
    }
    let grid = codec.grid();
    let stft = Stft::new(WINDOW, HOP, grid.samples().div_ceil(HOP), grid.samples());
    let measure = |index: usize| -> Result<Sums> {
        let clip = source.clip(index)?;
        let back = codec.decode(&codec.encode(&clip)?)?;
        losses(codec, &stft, &clip, &back)
    };
    let parts: Vec<Sums> = (0..source.len()).into_par_iter().map(measure).collect::<Result<_>>()?;
    let sum = |of: fn(&Sums) -> f64| parts.iter().map(of).sum::<f64>();
    let decibel = |ratio: f64| 10.0 * ratio.log10();
    Ok(Fidelity {
        codec: codec.name().to_owned(),
        clips: parts.len(),
        video_latents: codec.layout().len(Modality::Video),
        audio_latents: codec.layout().len(Modality::Audio),
        video_psnr_db: decibel(255f64.powi(2) / (sum(|s| s.pixel_squares) / sum(|s| s.pixels)).max(1e-6)),
        audio_log_spectral_distance_db: (sum(|s| s.level_squares) / sum(|s| s.bins)).sqrt(),
        audio_snr_db: decibel(sum(|s| s.power).max(1e-12) / sum(|s| s.error).max(1e-12)),
    })
}

fn losses(codec: &dyn Codec, stft: &Stft, a: &Clip, b: &Clip) -> Result<Sums> {
    let missing = || Error::value("clip to compare", "pictures and sound", "less");
    let mut sums = Sums::default();
    let (x, y) = (a.video.as_ref().ok_or_else(missing)?, b.video.as_ref().ok_or_else(missing)?);
    check_video(&codec.grid(), y)?;
    for (x, y) in x.frames.iter().flatten().zip(y.frames.iter().flatten()) {
        sums.pixels += 1.0;
        sums.pixel_squares += (f64::from(*x) - f64::from(*y)).powi(2);
    }
    let (x, y) = (a.audio.as_ref().ok_or_else(missing)?, b.audio.as_ref().ok_or_else(missing)?);
    check_audio(&codec.grid(), y)?;
    for (x, y) in x.samples.iter().zip(&y.samples) {
        sums.power += f64::from(*x).powi(2);
        sums.error += (f64::from(*x) - f64::from(*y)).powi(2);
    }
    let level = |m: f32| 20.0 * (f64::from(m) + FLOOR).log10();
    for (x, y) in stft.analyse(&x.samples).iter().zip(&stft.analyse(&y.samples)) {
        sums.bins += 1.0;
        sums.level_squares += (level(magnitude(*x)) - level(magnitude(*y))).powi(2);
    }
    Ok(sums)
}
