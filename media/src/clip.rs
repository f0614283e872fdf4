//! A clip in memory, and the grid of pixels and samples that a model sees.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A positive fraction, such as a frame rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rational {
    /// Numerator.
    pub num: u32,
    /// Denominator.
    pub den: u32,
}

impl Rational {
    /// `num / den`.
    pub fn new(num: u32, den: u32) -> Self {
        Self { num, den }
    }

    /// Its value.
    pub fn value(self) -> f64 {
        f64::from(self.num) / f64::from(self.den)
    }
}

impl fmt::Display for Rational {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.den == 1 { write!(f, "{}", self.num) } else { write!(f, "{}/{}", self.num, self.den) }
    }
}

/// Pictures at a constant rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Video {
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Frames per second.
    pub fps: Rational,
    /// One buffer a frame: `height · width · 3` bytes, sRGB, row-major.
    pub frames: Vec<Vec<u8>>,
}

impl Video {
    /// Seconds from the first frame's start to the last frame's end.
    pub fn duration_s(&self) -> f64 {
        self.frames.len() as f64 / self.fps.value()
    }
}

/// Mono sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Audio {
    /// Samples per second.
    pub sample_rate_hz: u32,
    /// Samples, nominally in ±1.
    pub samples: Vec<f32>,
}

impl Audio {
    /// Seconds.
    pub fn duration_s(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate_hz)
    }
}

/// What a file holds: pictures, sound, or both.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Sight.
    pub video: Option<Video>,
    /// Sound.
    pub audio: Option<Audio>,
}

/// The pixels and samples of a clip as a model sees it; `prepare` brings every clip onto it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipGrid {
    /// Video frames: 1 + 4·k for a codec whose first latent is one frame and each other one four.
    pub frames: usize,
    /// Frames per second.
    pub fps: Rational,
    /// Pixels in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Audio samples per second.
    pub sample_rate_hz: u32,
}

impl ClipGrid {
    /// Seconds of a clip.
    pub fn duration_s(&self) -> f64 {
        self.frames as f64 / self.fps.value()
    }

    /// Audio samples of a clip.
    pub fn samples(&self) -> usize {
        (self.duration_s() * f64::from(self.sample_rate_hz)).round() as usize
    }
}
