//! The voice: harmonics of a moving pitch under a formant that stays.

use super::scene::Speech;
use super::{FORMANT_HZ, FORMANT_OCTAVES, LOUDEST_RMS, LOWEST_HZ, OCTAVES};
use crate::{Audio, ClipGrid};
use std::f64::consts::TAU;

/// Samples between two shapes of the spectrum.
const BLOCK: usize = 32;
const HARMONICS: usize = 16;
/// Width of the formant, as the standard deviation of a bell over octaves.
const FORMANT_WIDTH: f64 = 0.35;
/// Amplitude of the formant's harmonics beside that of the first.
const FORMANT_AMPLITUDE: f64 = 0.9;

pub(super) fn sound(speech: &Speech, grid: &ClipGrid) -> Audio {
    let rate = f64::from(grid.sample_rate_hz);
    let formant_hz = FORMANT_HZ * (FORMANT_OCTAVES * speech.hue).exp2();
    let mut samples = Vec::with_capacity(grid.samples());
    let mut phase = 0.0;
    for from in (0..grid.samples()).step_by(BLOCK) {
        let t_s = (from as f64 + 0.5 * BLOCK as f64) / rate;
        let hz = LOWEST_HZ * (OCTAVES * speech.pitch(t_s)).exp2();
        let weights = spectrum(hz, formant_hz, rate);
        for i in from..(from + BLOCK).min(grid.samples()) {
            phase = (phase + hz / rate).fract();
            let harmonic = |(k, w): (usize, &f64)| w * (TAU * phase * (k + 1) as f64).sin();
            let voice: f64 = weights.iter().enumerate().map(harmonic).sum();
            samples.push((speech.loudness(i as f64 / rate) * voice).clamp(-1.0, 1.0) as f32);
        }
    }
    Audio { sample_rate_hz: grid.sample_rate_hz, samples }
}

/// Amplitudes of the harmonics, of one root mean square whatever pitch and formant are.
fn spectrum(hz: f64, formant_hz: f64, rate: f64) -> [f64; HARMONICS] {
    let shape: [f64; HARMONICS] = std::array::from_fn(|k| {
        let harmonic_hz = hz * (k + 1) as f64;
        let octaves = (harmonic_hz / formant_hz).log2() / FORMANT_WIDTH;
        let bell = FORMANT_AMPLITUDE * (-0.5 * octaves * octaves).exp();
        if harmonic_hz < 0.5 * rate { bell + f64::from(u8::from(k == 0)) } else { 0.0 }
    });
    let power: f64 = 0.5 * shape.iter().map(|w| w * w).sum::<f64>();
    shape.map(|w| w * LOUDEST_RMS / power.sqrt().max(1e-9))
}
