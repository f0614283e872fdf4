//! What a codec loses: clips against themselves after encoding and decoding.

use super::fit::ClipSource;
use super::stft::magnitude;
use super::{Codec, LinearCodec};
use crate::error::{Error, Result};
use crate::{Audio, Video};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

/// The loss of a codec, over clips.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reconstruction {
    /// Clips it was measured on.
    pub clips: usize,
    /// Peak signal-to-noise ratio of the pictures, from the mean square over all of them.
    pub video_psnr_db: f64,
    /// Root mean square difference of the levels of all bins, after the phase has been reconstructed; levels
    /// count from the codec's floor up.
    pub audio_log_spectral_distance_db: f64,
    /// Norm of the difference of the magnitudes, relative to theirs, after the phase has been reconstructed.
    pub audio_spectral_convergence: f64,
}

/// Sums over the clips measured.
#[derive(Clone, Copy, Default)]
struct Sums {
    pixels: f64,
    pixel_squares: f64,
    bins: f64,
    level_squares: f64,
    magnitude_errors: f64,
    magnitudes: f64,
}

impl LinearCodec {
    fn losses(&self, source: &dyn ClipSource, index: usize) -> Result<Sums> {
        let clip = source.clip(index)?;
        let back = self.decode(&self.encode(&clip)?)?;
        let both = "a clip that was encoded has pictures and sound";
        let (video, audio) = (clip.video.expect(both), clip.audio.expect(both));
        let (video_back, audio_back) = (back.video.expect(both), back.audio.expect(both));
        let mut sums = Sums::default();
        add_pictures(&mut sums, &video, &video_back);
        self.add_sound(&mut sums, &audio, &audio_back);
        Ok(sums)
    }

    fn add_sound(&self, sums: &mut Sums, a: &Audio, b: &Audio) {
        let floor = self.config.audio.floor;
        let level = |m: f64| 20.0 * (m + floor).log10();
        let (a, b) = (self.spectra.stft.analyse(&a.samples), self.spectra.stft.analyse(&b.samples));
        for (x, y) in a.iter().zip(&b) {
            let (x, y) = (f64::from(magnitude(*x)), f64::from(magnitude(*y)));
            sums.bins += 1.0;
            sums.level_squares += (level(x) - level(y)).powi(2);
            sums.magnitude_errors += (x - y).powi(2);
            sums.magnitudes += x * x;
        }
    }
}

fn add_pictures(sums: &mut Sums, a: &Video, b: &Video) {
    for (x, y) in a.frames.iter().flatten().zip(b.frames.iter().flatten()) {
        sums.pixels += 1.0;
        sums.pixel_squares += (f64::from(*x) - f64::from(*y)).powi(2);
    }
}

/// Measures a codec on some of the clips of a source.
pub(super) fn reconstruction(
    codec: &LinearCodec,
    source: &dyn ClipSource,
    indices: &[usize],
) -> Result<Reconstruction> {
    if indices.is_empty() {
        return Err(Error::value("clips to measure the codec on", "at least 1", 0));
    }
    let parts: Vec<Sums> =
        indices.par_iter().map(|&index| codec.losses(source, index)).collect::<Result<_>>()?;
    let sum = |of: fn(&Sums) -> f64| parts.iter().map(of).sum::<f64>();
    let mean_square = sum(|s| s.pixel_squares) / sum(|s| s.pixels);
    Ok(Reconstruction {
        clips: indices.len(),
        video_psnr_db: 10.0 * (255f64.powi(2) / mean_square.max(1e-6)).log10(),
        audio_log_spectral_distance_db: (sum(|s| s.level_squares) / sum(|s| s.bins)).sqrt(),
        audio_spectral_convergence: (sum(|s| s.magnitude_errors) / sum(|s| s.magnitudes).max(1e-12)).sqrt(),
    })
}

impl LinearCodec {
    /// Measures what is lost of clips.
    ///
    /// # Errors
    /// [`Error::Value`] if there are none; as [`Codec::encode`].
    pub fn measure(&self, source: &dyn ClipSource) -> Result<Reconstruction> {
        reconstruction(self, source, &(0..source.len()).collect::<Vec<_>>())
    }
}
