//! The sound of a scene: a tone as high as the ball, as rich as its colour, and a click whenever it touches the ground.

use super::scene::Scene;
use super::{LOWEST_HZ, OCTAVES};
use crate::{Audio, ClipGrid};
use avdit_core::{Noise, Purpose, Stream};

const TONE_AMPLITUDE: f64 = 0.4;
const CLICK_AMPLITUDE: f64 = 0.35;
const CLICK_DECAY_S: f64 = 0.008;
/// Harmonics of the richest tone, the first of amplitude 1.
const RICHEST: [f64; 4] = [1.0, 0.75, 0.5, 0.3];

pub(super) fn sound(scene: &Scene, grid: &ClipGrid) -> Audio {
    let rate = f64::from(grid.sample_rate_hz);
    let weights: Vec<f64> =
        RICHEST.iter().enumerate().map(|(k, w)| if k == 0 { *w } else { w * scene.hue }).collect();
    let amplitude = TONE_AMPLITUDE / weights.iter().map(|w| w * w).sum::<f64>().sqrt();
    let mut phase = 0.0;
    let mut samples: Vec<f32> = (0..grid.samples())
        .map(|i| {
            let hz = LOWEST_HZ * (OCTAVES * scene.height(i as f64 / rate)).exp2();
            phase = (phase + hz / rate).fract();
            let harmonic = |(k, w): (usize, &f64)| w * (std::f64::consts::TAU * phase * (k + 1) as f64).sin();
            (amplitude * weights.iter().enumerate().map(harmonic).sum::<f64>()) as f32
        })
        .collect();
    for (n, touch_s) in scene.touches_s(grid.duration_s()).into_iter().enumerate() {
        click(&mut samples, (touch_s * rate) as usize, rate, scene.clicks, n as u32);
    }
    Audio { sample_rate_hz: grid.sample_rate_hz, samples }
}

/// Noise that dies away, without its low part, where the tone is.
fn click(samples: &mut [f32], start: usize, rate: f64, (seed, index): (u64, u32), n: u32) {
    let mut noise = vec![0f32; (5.0 * CLICK_DECAY_S * rate) as usize + 1];
    Noise::new(seed).normals(Stream::new(Purpose::Clips, 1 + n, index), &mut noise);
    for (i, (sample, pair)) in samples[start..].iter_mut().zip(noise.windows(2)).enumerate() {
        let loud = CLICK_AMPLITUDE * (-(i as f64) / rate / CLICK_DECAY_S).exp();
        *sample = (*sample + loud as f32 * 0.5 * (pair[1] - pair[0])).clamp(-1.0, 1.0);
    }
}
