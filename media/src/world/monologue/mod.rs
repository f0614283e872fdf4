//! The world of a speaking face.
//!
//! Its mouth opens with the loudness of the voice, its head rises with the voice's pitch. Who speaks is heard in
//! the formant and seen in the colour, the same through the clip.

mod measure;
mod paint;
mod scene;
mod sound;

pub use measure::{Face, Voice, face, head_tracks, voice};
pub use scene::Speech;

use crate::{Audio, ClipGrid, Video};

/// The lowest pitch of a voice.
const LOWEST_HZ: f64 = 160.0;
/// Octaves from the lowest pitch to the highest.
const OCTAVES: f64 = 1.0;
/// The formant of the reddest face.
const FORMANT_HZ: f64 = 600.0;
/// Octaves from there to the formant of the bluest.
const FORMANT_OCTAVES: f64 = 2.0;
/// Root mean square of the loudest voice.
const LOUDEST_RMS: f64 = 0.25;

pub(super) fn clip(speech: &Speech, grid: &ClipGrid) -> (Video, Audio) {
    (paint::paint(speech, grid), sound::sound(speech, grid))
}
