//! Spectra of a sound around any time: what both worlds' voices are measured by.

use crate::Audio;
use realfft::RealFftPlanner;

const WINDOW_S: f64 = 0.096;
/// Below this root mean square there is no tone.
const LEAST_RMS: f64 = 0.005;

/// Spectra of a sound around any time.
pub(super) struct Spectrum<'a> {
    audio: &'a Audio,
    window: Vec<f64>,
    fft: std::sync::Arc<dyn realfft::RealToComplex<f64>>,
}

impl<'a> Spectrum<'a> {
    pub(super) fn new(audio: &'a Audio) -> Self {
        let n = (WINDOW_S * f64::from(audio.sample_rate_hz)).round().max(2.0) as usize;
        let window =
            (0..n).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * (i as f64 + 0.5) / n as f64).cos()).collect();
        // Two to four times as long as the window: bins fine enough for the nearest one.
        Self { audio, window, fft: RealFftPlanner::new().plan_fft_forward(4 * n.next_power_of_two()) }
    }

    /// The samples of the window around a time, 0 outside the sound.
    fn samples(&self, t_s: f64) -> impl Iterator<Item = f64> {
        let centre = (t_s * f64::from(self.audio.sample_rate_hz)).round() as isize;
        let first = centre - self.window.len() as isize / 2;
        (0..self.window.len()).map(move |i| {
            let at = usize::try_from(first + i as isize).ok();
            at.and_then(|at| self.audio.samples.get(at)).map_or(0.0, |&x| f64::from(x))
        })
    }

    /// Root mean square around a time.
    pub(super) fn rms(&self, t_s: f64) -> f64 {
        (self.samples(t_s).map(|x| x * x).sum::<f64>() / self.window.len() as f64).sqrt()
    }

    /// Magnitudes around a time; `None` if it is silent there.
    pub(super) fn at(&self, t_s: f64) -> Option<Vec<f64>> {
        if self.rms(t_s) < LEAST_RMS {
            return None;
        }
        let mut buffer = self.fft.make_input_vec();
        let weighted = self.samples(t_s).zip(&self.window).map(|(x, w)| w * x);
        buffer.iter_mut().zip(weighted).for_each(|(x, sample)| *x = sample);
        let mut spectrum = self.fft.make_output_vec();
        self.fft.process(&mut buffer, &mut spectrum).expect("lengths are as planned");
        Some(spectrum.iter().map(|x| x.norm()).collect())
    }

    /// Bins of a spectrum for every Hz.
    pub(super) fn bins_per_hz(&self) -> f64 {
        self.fft.len() as f64 / f64::from(self.audio.sample_rate_hz)
    }

    /// The magnitudes of the first harmonics of a pitch.
    pub(super) fn harmonics<const N: usize>(&self, magnitudes: &[f64], hz: f64) -> [f64; N] {
        let first = hz * self.bins_per_hz();
        std::array::from_fn(|k| {
            magnitudes.get((first * (k + 1) as f64).round() as usize).copied().unwrap_or(0.0)
        })
    }
}
