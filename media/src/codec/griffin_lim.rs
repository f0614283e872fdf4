//! Sound from magnitudes alone.

use super::stft::{Stft, magnitude};
use avdit_core::{Noise, Purpose, Stream};
use realfft::num_complex::Complex32;

/// A sound whose spectra have about the magnitudes given: the fast Griffin-Lim algorithm (Perraudin et al. 2013,
/// algorithm 2) from random phases that depend on nothing but their index.
///
/// # Shapes
/// `magnitudes`: `(frames, bins)` of `stft`.
pub fn griffin_lim(stft: &Stft, magnitudes: &[f32], iterations: usize, momentum: f32) -> Vec<f32> {
    let (noise, stream) = (Noise::new(0), Stream::new(Purpose::Phase, 0, 0));
    let mut estimate: Vec<Complex32> = magnitudes
        .iter()
        .enumerate()
        .map(|(i, &m)| {
            let (sin, cos) = libm::sincos(std::f64::consts::TAU * noise.uniform(stream, i as u32));
            Complex32::new(m * cos as f32, m * sin as f32)
        })
        .collect();
    let mut previous: Option<Vec<Complex32>> = None;
    for _ in 0..iterations {
        let consistent = stft.analyse(&stft.synthesise(&estimate));
        for (i, target) in estimate.iter_mut().enumerate() {
            let now = consistent[i];
            let ahead = previous.as_ref().map_or(now, |before| now + (now - before[i]) * momentum);
            let size = magnitude(ahead);
            *target = if size > 1e-12 {
                ahead * (magnitudes[i] / size)
            } else {
                Complex32::new(magnitudes[i], 0.0)
            };
        }
        previous = Some(consistent);
    }
    stft.synthesise(&estimate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn convergence(stft: &Stft, target: &[f32], sound: &[f32]) -> f64 {
        let got = stft.analyse(sound);
        let error: f64 = target.iter().zip(&got).map(|(t, g)| f64::from(t - magnitude(*g)).powi(2)).sum();
        (error / target.iter().map(|&t| f64::from(t).powi(2)).sum::<f64>()).sqrt()
    }

    #[test]
    fn a_gliding_tone_is_found_again_from_its_magnitudes() {
        let stft = Stft::new(1024, 261, 60, 16_000);
        let sound: Vec<f32> = (0..16_000)
            .map(|i| {
                let t = i as f32 / 16_000.0;
                0.5 * (std::f32::consts::TAU * (300.0 * t + 200.0 * t * t)).sin()
            })
            .collect();
        let target: Vec<f32> = stft.analyse(&sound).iter().map(|x| magnitude(*x)).collect();
        let few = convergence(&stft, &target, &griffin_lim(&stft, &target, 1, 0.99));
        let many = convergence(&stft, &target, &griffin_lim(&stft, &target, 60, 0.99));
        assert!(many < 0.15 && many < 0.5 * few, "relative error {few} after 1 iteration, {many} after 60");
    }
}
