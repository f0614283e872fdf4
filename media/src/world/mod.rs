//! Synthetic worlds in which sight and sound obey a law, and the measurement of that law on any clip.
//!
//! **Ball:** a ball bounces: its height is the pitch of a tone, its touching the ground a click, its colour the
//! timbre. **Monologue:** a face speaks: its mouth opens with the loudness of a voice, its head rises with the
//! voice's pitch, its colour is the voice's timbre. A model that has learnt a law gives a silent picture its sound
//! and a sound its picture; one that has learnt who speaks goes on with the same face and the same voice.
//! **Invariant:** a clip depends on the seed, its index and the grid alone, and what one clip does tells nothing
//! about another.

mod agreement;
mod ball;
mod colour;
mod identity;
mod monologue;
mod spectrum;
mod tracks;

pub use crate::metrics::Interval;
pub use agreement::{Agreement, agreement};
pub use ball::{LOWEST_HZ, OCTAVES, Scene, ball_height, ball_hue, pitch, timbre, tracks};
pub use identity::{Identity, IdentityAgreement, Kept, identity, identity_agreement};
pub use monologue::{Face, Speech, Voice, face, head_tracks, voice};
pub use tracks::{Tracks, tracks_of};

use crate::error::{Error, Result};
use crate::{Audio, Clip, ClipGrid, Video};
use std::fmt;
use std::str::FromStr;

/// The worlds there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorldKind {
    /// A ball whose height is heard.
    Ball,
    /// A face whose voice is seen.
    Monologue,
}

impl WorldKind {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Ball, Self::Monologue];
}

impl fmt::Display for WorldKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ball => "ball",
            Self::Monologue => "monologue",
        })
    }
}

impl FromStr for WorldKind {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|kind| kind.to_string() == name);
        found.ok_or_else(|| Error::value("world", "ball or monologue", name))
    }
}

/// A seeded, endless set of clips.
#[derive(Clone, Copy, Debug)]
pub struct World {
    kind: WorldKind,
    seed: u64,
    grid: ClipGrid,
}

impl World {
    /// The ball's world of a seed, on a grid.
    pub fn new(seed: u64, grid: ClipGrid) -> Self {
        Self::of(WorldKind::Ball, seed, grid)
    }

    /// The world of a kind and a seed, on a grid.
    pub fn of(kind: WorldKind, seed: u64, grid: ClipGrid) -> Self {
        Self { kind, seed, grid }
    }

    /// Which world it is.
    pub fn kind(&self) -> WorldKind {
        self.kind
    }

    /// A clip, with pictures and sound.
    pub fn clip(&self, index: u32) -> Clip {
        let (video, audio) = match self.kind {
            WorldKind::Ball => ball::clip(&Scene::new(self.seed, index), &self.grid),
            WorldKind::Monologue => monologue::clip(&Speech::new(self.seed, index), &self.grid),
        };
        Clip { video: Some(video), audio: Some(audio) }
    }
}

/// The middle of a frame in seconds: when it shows the scene, and where its sound is measured.
pub fn frame_time_s(frame: usize, fps: f64) -> f64 {
    (frame as f64 + 0.5) / fps
}

/// The pictures and the sound of a clip.
fn both(clip: &Clip) -> Result<(&Video, &Audio)> {
    let missing = |what| Error::value("clip to measure", format!("a clip with {what}"), "none");
    let video = clip.video.as_ref().ok_or_else(|| missing("pictures"))?;
    let audio = clip.audio.as_ref().ok_or_else(|| missing("sound"))?;
    Ok((video, audio))
}

/// The middles of all frames in seconds.
fn frame_times_s(video: &Video) -> Vec<f64> {
    (0..video.frames.len()).map(|f| frame_time_s(f, video.fps.value())).collect()
}

#[cfg(test)]
mod tests;
