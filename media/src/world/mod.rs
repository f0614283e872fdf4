//! A synthetic world in which sight and sound obey a law, and the measurement of that law on any clip.
//!
//! A ball bounces: its height is the pitch of a tone, its touching the ground a click, its colour the timbre. A
//! model that has learnt the law gives a silent picture its sound and a sound its picture.
//! **Invariant:** a clip depends on the seed, its index and the grid alone, and what one clip does tells nothing
//! about another.

mod agreement;
mod measure;
mod paint;
mod scene;
mod sound;

pub use agreement::{Agreement, Interval, agreement};
pub use measure::{Tracks, ball_height, ball_hue, pitch, timbre, tracks};
pub use scene::Scene;

use crate::{Clip, ClipGrid};

/// The pitch of the tone at height 0.
pub const LOWEST_HZ: f64 = 250.0;
/// Octaves from height 0 to height 1.
pub const OCTAVES: f64 = 2.0;

/// A seeded, endless set of clips.
#[derive(Clone, Copy, Debug)]
pub struct World {
    seed: u64,
    grid: ClipGrid,
}

impl World {
    /// The world of a seed, on a grid.
    pub fn new(seed: u64, grid: ClipGrid) -> Self {
        Self { seed, grid }
    }

    /// What happens in a clip.
    pub fn scene(&self, index: u32) -> Scene {
        Scene::new(self.seed, index)
    }

    /// A clip, with pictures and sound.
    pub fn clip(&self, index: u32) -> Clip {
        let scene = self.scene(index);
        Clip { video: Some(paint::paint(&scene, &self.grid)), audio: Some(sound::sound(&scene, &self.grid)) }
    }
}

/// The middle of a frame in seconds: when it shows the scene, and where its pitch is measured.
pub fn frame_time_s(frame: usize, fps: f64) -> f64 {
    (frame as f64 + 0.5) / fps
}

#[cfg(test)]
mod tests;
