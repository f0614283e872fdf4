//! The world of a bouncing ball.

mod measure;
mod paint;
mod scene;
mod sound;

pub use measure::{ball_height, ball_hue, pitch, timbre, tracks};
pub use scene::Scene;

use crate::{Audio, ClipGrid, Video};

/// The pitch of the tone at height 0.
pub const LOWEST_HZ: f64 = 250.0;
/// Octaves from height 0 to height 1.
pub const OCTAVES: f64 = 2.0;

pub(super) fn clip(scene: &Scene, grid: &ClipGrid) -> (Video, Audio) {
    (paint::paint(scene, grid), sound::sound(scene, grid))
}
