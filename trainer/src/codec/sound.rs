//! What rebuilt sound is judged by: its samples, and its spectra at several resolutions.
//!
//! Spectra are products with fixed bases: the rows of a discrete Fourier transform under a Hann window, moved over the
//! sound as a convolution. At each resolution the levels of all bins and those of bands as wide as the ear's are
//! compared (Zeghidour et al. 2021, Eq. 4 has the latter; Yamamoto et al. 2020 the former).

use crate::ops::convolve;
use avdit_nets::Window;
use candle_core::{Device, Result, Tensor};

/// Windows in samples; spectra are a quarter of one apart.
const WINDOWS: [usize; 4] = [128, 256, 512, 1024];
/// Bins for a band.
const BINS_PER_BAND: usize = 8;
/// Added to magnitudes, relative to a full-scale sine, before the logarithm.
const FLOOR: f64 = 5e-3;
/// Added to their squares before the root, whose slope at 0 is infinite.
const SQUARE_FLOOR: f64 = 1e-8;
/// Weights of the mean absolute difference of the samples, of the bins' levels and of the bands' levels.
const SAMPLES: f64 = 10.0;
const BINS: f64 = 1.0;
const BANDS: f64 = 1.0;

/// The bases of every resolution.
pub(super) struct Spectra(Vec<Resolution>);

struct Resolution {
    window: Window,
    /// (2 · bins, 1, window): cosines, then sines.
    basis: Tensor,
    /// (bands, bins).
    bands: Tensor,
    bins: usize,
}

impl Spectra {
    /// For sound of a sample rate.
    pub(super) fn new(sample_rate_hz: u32) -> Result<Self> {
        let of = |n| Resolution::new(n, f64::from(sample_rate_hz));
        Ok(Self(WINDOWS.into_iter().map(of).collect::<Result<_>>()?))
    }

    /// The loss of sound (B, samples).
    pub(super) fn loss(&self, made: &Tensor, true_: &Tensor) -> Result<Tensor> {
        let mut loss = ((made - true_)?.abs()?.mean_all()? * SAMPLES)?;
        let share = 1.0 / self.0.len() as f64;
        for resolution in &self.0 {
            let ([a, b], [c, d]) = (resolution.levels(made)?, resolution.levels(true_)?);
            let bins = ((a - c)?.abs()?.mean_all()? * (BINS * share))?;
            let bands = ((b - d)?.abs()?.mean_all()? * (BANDS * share))?;
            loss = (loss + (bins + bands)?)?;
        }
        Ok(loss)
    }
}

impl Resolution {
    fn new(n: usize, sample_rate_hz: f64) -> Result<Self> {
        let bins = n / 2 + 1;
        // So that a full-scale sine has magnitude 1.
        let hann =
            |i: usize| (4.0 / n as f64) * (0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / n as f64).cos());
        let angle = |bin: usize, i: usize| std::f64::consts::TAU * (bin * i % n) as f64 / n as f64;
        let mut basis = Vec::with_capacity(2 * bins * n);
        for wave in [f64::cos, f64::sin] {
            basis.extend(
                (0..bins).flat_map(|bin| (0..n).map(move |i| (hann(i) * wave(angle(bin, i))) as f32)),
            );
        }
        let hertz = |bin: usize| bin as f64 * sample_rate_hz / n as f64;
        let bands = (bins / BINS_PER_BAND).max(1);
        let bands_of = triangles(bands, &(0..bins).map(|bin| mel(hertz(bin))).collect::<Vec<_>>());
        let window = Window::new(1).stride(&[n / 4]).padding(&[(n / 2, n / 2)]);
        Ok(Self {
            window,
            basis: Tensor::from_vec(basis, (2 * bins, 1, n), &Device::Cpu)?,
            bands: Tensor::from_vec(bands_of, (bands, bins), &Device::Cpu)?,
            bins,
        })
    }

    /// Log-magnitudes of the bins (B, bins, spectra) and of the bands (B, bands, spectra).
    fn levels(&self, sound: &Tensor) -> Result<[Tensor; 2]> {
        let waves = convolve(&sound.unsqueeze(1)?, &self.basis, None, &self.window)?;
        let (real, imaginary) = (waves.narrow(1, 0, self.bins)?, waves.narrow(1, self.bins, self.bins)?);
        let magnitude = ((real.sqr()? + imaginary.sqr()?)? + SQUARE_FLOOR)?.sqrt()?;
        let bands = self.bands.broadcast_matmul(&magnitude)?;
        Ok([(magnitude + FLOOR)?.log()?, (bands + FLOOR)?.log()?])
    }
}

/// The mel scale (O'Shaughnessy 1987).
fn mel(hertz: f64) -> f64 {
    2595.0 * (1.0 + hertz / 700.0).log10()
}

/// `count` overlapping triangles over the mel of the bins, each a mean of the bins under it: (count, bins). A triangle
/// too narrow for a bin of its own takes the nearest.
fn triangles(count: usize, mels: &[f64]) -> Vec<f32> {
    let step = mels[mels.len() - 1] / (count + 1) as f64;
    let mut all = Vec::with_capacity(count * mels.len());
    for band in 1..=count {
        let middle = band as f64 * step;
        let mut weights: Vec<f64> =
            mels.iter().map(|mel| (1.0 - (mel - middle).abs() / step).max(0.0)).collect();
        if weights.iter().sum::<f64>() == 0.0 {
            let distance = |bin: &usize| (mels[*bin] - middle).abs();
            let nearest = (0..mels.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)));
            weights[nearest.unwrap_or(0)] = 1.0;
        }
        let sum: f64 = weights.iter().sum();
        all.extend(weights.iter().map(|weight| (weight / sum) as f32));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hertz: f64, amplitude: f64) -> Tensor {
        let wave =
            |i: usize| (amplitude * (std::f64::consts::TAU * hertz * i as f64 / 16_000.0).sin()) as f32;
        Tensor::from_vec((0..8000).map(wave).collect::<Vec<_>>(), (1, 8000), &Device::Cpu).unwrap()
    }

    #[test]
    fn a_sine_has_its_own_amplitude_in_its_bin_and_silence_elsewhere() {
        for n in WINDOWS {
            let resolution = Resolution::new(n, 16_000.0).unwrap();
            let bin = n / 8;
            let levels = &resolution.levels(&sine(2000.0, 0.5)).unwrap()[0];
            let row = levels.narrow(2, levels.dim(2).unwrap() / 2, 1).unwrap().flatten_all().unwrap();
            let row = row.to_vec1::<f32>().unwrap();
            let level = |magnitude: f64| (magnitude + FLOOR).ln() as f32;
            assert!((row[bin] - level(0.5)).abs() < 1e-2, "{n}: {}", row[bin]);
            assert!((row[bin + bin / 2] - level(0.0)).abs() < 5e-2, "{n}: {}", row[bin + bin / 2]);
        }
    }

    #[test]
    fn every_band_is_a_mean_of_bins() {
        for n in WINDOWS {
            let bands = Resolution::new(n, 16_000.0).unwrap().bands;
            for sum in bands.sum(1).unwrap().to_vec1::<f32>().unwrap() {
                assert!((sum - 1.0).abs() < 1e-5, "{n}: {sum}");
            }
        }
    }

    #[test]
    fn the_loss_is_none_for_the_same_sound_and_grows_with_the_difference() {
        let spectra = Spectra::new(16_000).unwrap();
        let value =
            |made: &Tensor| spectra.loss(made, &sine(440.0, 0.5)).unwrap().to_scalar::<f32>().unwrap();
        assert_eq!(value(&sine(440.0, 0.5)), 0.0);
        let (quieter, other) = (value(&sine(440.0, 0.4)), value(&sine(700.0, 0.5)));
        assert!(0.0 < quieter && quieter < other, "{quieter} {other}");
    }
}
