//! Sound as rows of log-magnitudes: one row a latent frame, several spectra side by side.

use super::config::CodecConfig;
use super::griffin_lim::griffin_lim;
use super::stft::{Stft, magnitude};

/// The spectra of a clip on its grid, and the way back.
#[derive(Clone)]
pub(crate) struct Spectra {
    pub(crate) stft: Stft,
    fine_frames: usize,
    floor: f32,
    iterations: usize,
    momentum: f32,
    /// Weight of each bin: the root of how many mel it spans, so that components follow the ear and not the hertz.
    weights: Vec<f32>,
}

impl Spectra {
    pub(crate) fn new(config: &CodecConfig) -> Self {
        let (audio, grid) = (&config.audio, &config.grid);
        let latents: usize = audio.segments.iter().sum();
        let stft = Stft::new(audio.n_fft, config.hop_samples(), latents * audio.fine_frames, grid.samples());
        let hz_per_bin = f64::from(grid.sample_rate_hz) / audio.n_fft as f64;
        let weights =
            (0..stft.bins()).map(|bin| (1.0 + bin as f64 * hz_per_bin / 700.0).powf(-0.5) as f32).collect();
        Self {
            stft,
            fine_frames: audio.fine_frames,
            floor: audio.floor as f32,
            iterations: audio.phase_iterations,
            momentum: audio.phase_momentum as f32,
            weights,
        }
    }

    /// Values of a row.
    pub(crate) fn values(&self) -> usize {
        self.fine_frames * self.stft.bins()
    }

    /// The rows of a sound, `(latent frames, values)`: `weight · ln(magnitude + floor)`.
    pub(crate) fn rows(&self, sound: &[f32]) -> Vec<f32> {
        let spectra = self.stft.analyse(sound);
        let weights = self.weights.iter().cycle();
        spectra.iter().zip(weights).map(|(x, w)| w * libm::logf(magnitude(*x) + self.floor)).collect()
    }

    /// The magnitudes that rows stand for, `(spectra, bins)`. A sine cannot be louder than full scale.
    pub(crate) fn magnitudes(&self, rows: &[f32]) -> Vec<f32> {
        let weights = self.weights.iter().cycle();
        let loudest = libm::logf(1.0 + self.floor);
        rows.iter()
            .zip(weights)
            .map(|(x, w)| (libm::expf((x / w).min(loudest)) - self.floor).max(0.0))
            .collect()
    }

    /// The sound that rows stand for, in ±1.
    pub(crate) fn sound(&self, rows: &[f32]) -> Vec<f32> {
        let mut sound = griffin_lim(&self.stft, &self.magnitudes(rows), self.iterations, self.momentum);
        sound.iter_mut().for_each(|x| *x = x.clamp(-1.0, 1.0));
        sound
    }
}
