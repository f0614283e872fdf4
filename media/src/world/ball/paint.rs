//! The pictures of a scene: everything but the ball is grey, so that colour alone tells where the ball is.

use super::scene::Scene;
use crate::world::colour::colour;
use crate::world::frame_time_s;
use crate::{ClipGrid, Video};

/// Radius of the ball, in heights of the picture.
const RADIUS: f64 = 1.0 / 7.0;
/// Height of the ground, in heights of the picture.
const GROUND: f64 = 1.0 / 16.0;
/// Brightness of the ground, in brightness of the sky.
const GROUND_SHADE: f64 = 0.55;

/// Where the ball's centre is at a height of 0 and of 1, in heights of the picture from its top.
pub(super) const CENTRES: (f64, f64) = (1.0 - GROUND - RADIUS, RADIUS);

pub(super) fn paint(scene: &Scene, grid: &ClipGrid) -> Video {
    let frames =
        (0..grid.frames).map(|frame| picture(scene, grid, frame_time_s(frame, grid.fps.value()))).collect();
    Video { width: grid.width, height: grid.height, fps: grid.fps, frames }
}

fn picture(scene: &Scene, grid: &ClipGrid, t_s: f64) -> Vec<u8> {
    let (width, height) = (grid.width as f64, grid.height as f64);
    let radius = RADIUS * height.min(width);
    let centre_y = height * (CENTRES.0 + (CENTRES.1 - CENTRES.0) * scene.height(t_s));
    let centre_x = radius + scene.place(t_s) * (width - 2.0 * radius);
    let ball = colour(scene.hue);
    let mut bytes = Vec::with_capacity(grid.width * grid.height * 3);
    for y in 0..grid.height {
        let middle_y = y as f64 + 0.5;
        let in_ground = (middle_y - (1.0 - GROUND) * height + 0.5).clamp(0.0, 1.0);
        let sky = scene.sky * (0.9 + 0.1 * middle_y / height);
        let grey = sky * (1.0 - in_ground * (1.0 - GROUND_SHADE));
        for x in 0..grid.width {
            let distance = (x as f64 + 0.5 - centre_x).hypot(middle_y - centre_y);
            let cover = (radius - distance + 0.5).clamp(0.0, 1.0);
            let shade = 1.0 - 0.15 * (distance / radius).powi(2);
            bytes.extend(ball.map(|c| (255.0 * (grey + cover * (c * shade - grey))).round() as u8));
        }
    }
    bytes
}
