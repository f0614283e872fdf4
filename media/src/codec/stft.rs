//! Magnitude spectra of sound at a constant hop, and the way back.

use realfft::num_complex::Complex32;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};
use std::sync::Arc;

/// A short-time Fourier transform: frame k is centred at sample `(k + ½)·hop`, with a periodic Hann window scaled so
/// that a full-scale sine has magnitude 1. Samples outside the sound count as 0.
#[derive(Clone)]
pub struct Stft {
    n_fft: usize,
    hop: usize,
    frames: usize,
    samples: usize,
    window: Vec<f32>,
    /// Sum over frames of window · window at every sample, times the transform's gain; where no frame reaches, 0.
    weight: Vec<f32>,
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
}

/// |x|, without the platform's `hypot`.
pub(crate) fn magnitude(x: Complex32) -> f32 {
    (x.re * x.re + x.im * x.im).sqrt()
}

impl Stft {
    /// Plans the transform of `samples` samples into `frames` spectra.
    pub fn new(n_fft: usize, hop: usize, frames: usize, samples: usize) -> Self {
        let scale = 4.0 / n_fft as f64;
        let hann = |i: usize| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / n_fft as f64).cos();
        let window: Vec<f32> = (0..n_fft).map(|i| (scale * hann(i)) as f32).collect();
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(n_fft), planner.plan_fft_inverse(n_fft));
        let mut stft = Self { n_fft, hop, frames, samples, window, weight: Vec::new(), forward, inverse };
        let mut weight = vec![0f32; samples];
        for k in 0..frames {
            for (i, w) in stft.window.iter().enumerate() {
                if let Some(sum) = stft.sample(k, i).and_then(|s| weight.get_mut(s)) {
                    *sum += w * w * n_fft as f32;
                }
            }
        }
        stft.weight = weight;
        stft
    }

    /// Values of one spectrum.
    pub fn bins(&self) -> usize {
        self.n_fft / 2 + 1
    }

    /// Spectra.
    pub fn frames(&self) -> usize {
        self.frames
    }

    /// The sample that element `i` of the window of frame `k` lies on, if it is not before the sound.
    fn sample(&self, k: usize, i: usize) -> Option<usize> {
        (k * self.hop + self.hop / 2 + i).checked_sub(self.n_fft / 2)
    }

    /// The spectra of a sound, `(frames, bins)`.
    pub fn analyse(&self, sound: &[f32]) -> Vec<Complex32> {
        let mut spectra = vec![Complex32::default(); self.frames * self.bins()];
        let (mut buffer, mut scratch) = (self.forward.make_input_vec(), self.forward.make_scratch_vec());
        for (k, spectrum) in spectra.chunks_exact_mut(self.bins()).enumerate() {
            for (i, (x, w)) in buffer.iter_mut().zip(&self.window).enumerate() {
                *x = w * self.sample(k, i).and_then(|s| sound.get(s)).copied().unwrap_or(0.0);
            }
            self.forward
                .process_with_scratch(&mut buffer, spectrum, &mut scratch)
                .expect("lengths are as planned");
        }
        spectra
    }

    /// The sound whose spectra are nearest to `spectra` (Griffin & Lim 1984, Eq. 6).
    pub fn synthesise(&self, spectra: &[Complex32]) -> Vec<f32> {
        let mut sound = vec![0f32; self.samples];
        let (mut buffer, mut scratch) = (self.inverse.make_output_vec(), self.inverse.make_scratch_vec());
        let mut spectrum = self.inverse.make_input_vec();
        for (k, source) in spectra.chunks_exact(self.bins()).enumerate() {
            spectrum.copy_from_slice(source);
            spectrum[0].im = 0.0;
            spectrum[self.bins() - 1].im = 0.0;
            self.inverse
                .process_with_scratch(&mut spectrum, &mut buffer, &mut scratch)
                .expect("lengths are as planned, the two real bins are real");
            for (i, (x, w)) in buffer.iter().zip(&self.window).enumerate() {
                if let Some(sum) = self.sample(k, i).and_then(|s| sound.get_mut(s)) {
                    *sum += w * x;
                }
            }
        }
        // Below this share of the largest weight only the rim of a window reaches a sample: silence, not noise.
        let least = 1e-3 * self.weight.iter().copied().fold(0.0, f32::max);
        sound.iter_mut().zip(&self.weight).for_each(|(x, &w)| *x = if w > least { *x / w } else { 0.0 });
        sound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, samples: usize) -> Vec<f32> {
        (0..samples).map(|i| (std::f32::consts::TAU * hz * i as f32 / 16_000.0).sin()).collect()
    }

    #[test]
    fn a_full_scale_sine_has_magnitude_1_in_its_bin() {
        let stft = Stft::new(1024, 261, 130, 34_000);
        let spectra = stft.analyse(&sine(1000.0, 34_000)); // bin 64 exactly
        let row = &spectra[50 * 513..51 * 513];
        assert!((row[64].norm() - 1.0).abs() < 1e-3 && row[80].norm() < 1e-3, "{} {}", row[64], row[80]);
    }

    #[test]
    fn synthesis_undoes_analysis_at_a_hop_that_divides_nothing() {
        let stft = Stft::new(1024, 261, 130, 34_000);
        let sound = sine(700.0, 34_000);
        let back = stft.synthesise(&stft.analyse(&sound));
        let worst = sound.iter().zip(&back).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(back.len() == sound.len() && worst < 1e-4, "{worst}");
    }
}
