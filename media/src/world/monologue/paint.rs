//! The pictures of a speech: only the face is coloured, only eyes and mouth are dark.

use super::scene::Speech;
use crate::world::colour::colour;
use crate::world::frame_time_s;
use crate::{ClipGrid, Video};

/// Half the width and half the height of the face, in heights of the picture.
const FACE: (f64, f64) = (0.40, 0.38);
/// Brightness of eyes and mouth.
const DARK: f64 = 0.1;
/// Radius of an eye, and where it is beside and above the middle of the face.
const EYE: (f64, f64, f64) = (0.05, 0.16, 0.14);
/// Half the width of the mouth, how far its middle is below that of the face, and half its height when closed and
/// when wide open.
pub(super) const MOUTH: (f64, f64, f64, f64) = (0.20, 0.15, 0.008, 0.11);

/// Where the face's middle is at a pitch of 0 and of 1, in heights of the picture from its top.
pub(super) const CENTRES: (f64, f64) = (0.59, 0.41);

pub(super) fn paint(speech: &Speech, grid: &ClipGrid) -> Video {
    let frames =
        (0..grid.frames).map(|frame| picture(speech, grid, frame_time_s(frame, grid.fps.value()))).collect();
    Video { width: grid.width, height: grid.height, fps: grid.fps, frames }
}

fn picture(speech: &Speech, grid: &ClipGrid, t_s: f64) -> Vec<u8> {
    let unit = grid.height.min(grid.width) as f64;
    let centre_y = CENTRES.0 + (CENTRES.1 - CENTRES.0) * speech.pitch(t_s);
    let opening = MOUTH.2 + (MOUTH.3 - MOUTH.2) * speech.loudness(t_s);
    let skin = colour(speech.hue);
    // How much of a pixel lies within a shape whose rim is so far away, in heights of the picture.
    let cover = |to_rim: f64| (to_rim * unit + 0.5).clamp(0.0, 1.0);
    let mut bytes = Vec::with_capacity(grid.width * grid.height * 3);
    for y in 0..grid.height {
        let dy = (y as f64 + 0.5 - 0.5 * grid.height as f64) / unit + 0.5 - centre_y;
        for x in 0..grid.width {
            let dx = (x as f64 + 0.5 - 0.5 * grid.width as f64) / unit;
            let from_middle = (dx / FACE.0).hypot(dy / FACE.1);
            let face = cover((1.0 - from_middle) * FACE.0.min(FACE.1));
            let eye = cover(EYE.0 - (dx.abs() - EYE.1).hypot(dy + EYE.2));
            let below = (dy - MOUTH.1).abs();
            let mouth = cover(opening - below) * cover(MOUTH.0 - dx.abs());
            let dark = eye.max(mouth);
            let shade = 1.0 - 0.06 * from_middle * from_middle;
            let pixel = skin.map(|c| {
                let skin = c * shade + dark * (DARK - c * shade);
                speech.wall + face * (skin - speech.wall)
            });
            bytes.extend(pixel.map(|c| (255.0 * c).round() as u8));
        }
    }
    bytes
}
