//! What happens in a clip: how the ball moves and what it is like.

use avdit_core::{Noise, Purpose, Stream};

/// A ball that bounces on the ground without tiring.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Scene {
    /// Seconds from one touch of the ground to the next.
    pub period_s: f64,
    /// The touch before the clip begins was so many seconds ago.
    pub since_touch_s: f64,
    /// The greatest height, 0.55 to 1.
    pub apex: f64,
    /// Where the ball is at the start, 0 (left wall) to 1 (right wall).
    pub start: f64,
    /// How fast it drifts to the right, per second.
    pub drift: f64,
    /// Its colour: 0 red over 0.5 green to 1 blue; and its timbre: 0 a pure tone to 1 a rich one.
    pub hue: f64,
    /// Brightness of the sky, 0 to 1.
    pub sky: f64,
    /// Where the noise of its clicks comes from.
    pub(super) clicks: (u64, u32),
}

impl Scene {
    /// What happens in the clip `index` of the world of a seed.
    pub fn new(seed: u64, index: u32) -> Self {
        let between = |element: u32, low: f64, high: f64| {
            low + (high - low) * Noise::new(seed).uniform(Stream::new(Purpose::Clips, 0, index), element)
        };
        let period_s = between(0, 1.1, 2.0);
        Self {
            period_s,
            since_touch_s: between(1, 0.0, period_s),
            apex: between(2, 0.55, 1.0),
            start: between(3, 0.45, 0.55),
            drift: between(4, -0.02, 0.02),
            hue: between(5, 0.0, 1.0),
            sky: between(6, 0.8, 0.85),
            clicks: (seed, index),
        }
    }

    /// Height of the ball above the ground, 0 to 1.
    pub fn height(&self, t_s: f64) -> f64 {
        let u = ((t_s + self.since_touch_s) / self.period_s).fract();
        self.apex * 4.0 * u * (1.0 - u)
    }

    /// Place of the ball between the walls, 0 to 1.
    pub fn place(&self, t_s: f64) -> f64 {
        self.start + self.drift * t_s
    }

    /// When it touches the ground in a clip of `duration_s` seconds.
    pub fn touches_s(&self, duration_s: f64) -> Vec<f64> {
        let first = self.period_s - self.since_touch_s;
        (0..).map(|n| first + f64::from(n) * self.period_s).take_while(|&t| t < duration_s).collect()
    }
}
