//! The grid of latents: which elements belong to which cell.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Sight or sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Modality {
    /// Picture.
    Video,
    /// Sound.
    Audio,
}

impl Modality {
    /// Both, in the order in which cells are laid out.
    pub const ALL: [Modality; 2] = [Modality::Video, Modality::Audio];

    /// `video` or `audio`.
    pub fn name(self) -> &'static str {
        match self {
            Modality::Video => "video",
            Modality::Audio => "audio",
        }
    }
}

/// The grid of the video latents of one clip: `(frames, channels, height, width)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoLayout {
    /// Latent frames.
    pub frames: usize,
    /// Latent channels.
    pub channels: usize,
    /// Latent rows.
    pub height: usize,
    /// Latent columns.
    pub width: usize,
    /// Latent frames in each time segment; sums to `frames`.
    pub segments: Vec<usize>,
}

/// The grid of the audio latents of one clip: `(frames, channels)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioLayout {
    /// Latent frames.
    pub frames: usize,
    /// Latent channels.
    pub channels: usize,
    /// Latent frames in each time segment; sums to `frames`.
    pub segments: Vec<usize>,
}

/// The grid of both modalities over shared time segments. Cells are numbered video `0..N`, audio `N..2N`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Sight.
    pub video: VideoLayout,
    /// Sound.
    pub audio: AudioLayout,
}

impl Layout {
    /// A layout whose segments have been checked.
    ///
    /// # Errors
    /// [`Error::Count`] if the modalities differ in their number of segments, or a segment list does not sum
    /// to its frames; [`Error::Value`] if a size is 0.
    pub fn new(video: VideoLayout, audio: AudioLayout) -> Result<Self> {
        let layout = Self { video, audio };
        layout.check()?;
        Ok(layout)
    }

    /// Checks a layout that was read from a file.
    ///
    /// # Errors
    /// As [`Layout::new`].
    pub fn check(&self) -> Result<()> {
        let (v, a) = (&self.video, &self.audio);
        for (what, size) in [
            ("video channels", v.channels),
            ("video height", v.height),
            ("video width", v.width),
            ("audio channels", a.channels),
            ("number of segments", v.segments.len()),
        ] {
            if size == 0 {
                return Err(Error::value(what, "at least 1", 0));
            }
        }
        if v.segments.iter().chain(&a.segments).any(|&n| n == 0) {
            return Err(Error::value("frames in a segment", "at least 1", 0));
        }
        Error::check_count(
            "segments of audio (video has the expected number)",
            v.segments.len(),
            a.segments.len(),
        )?;
        Error::check_count("sum of the video segments", v.frames, v.segments.iter().sum())?;
        Error::check_count("sum of the audio segments", a.frames, a.segments.iter().sum())
    }

    /// N, the number of time segments.
    pub fn segments(&self) -> usize {
        self.video.segments.len()
    }

    /// 2N, the number of cells.
    pub fn cells(&self) -> usize {
        2 * self.segments()
    }

    /// Frames in each segment of a modality.
    pub fn segment_frames(&self, modality: Modality) -> &[usize] {
        match modality {
            Modality::Video => &self.video.segments,
            Modality::Audio => &self.audio.segments,
        }
    }

    /// Elements in one latent frame of a modality.
    pub fn frame_len(&self, modality: Modality) -> usize {
        match modality {
            Modality::Video => self.video.channels * self.video.height * self.video.width,
            Modality::Audio => self.audio.channels,
        }
    }

    /// Elements of one clip in a modality.
    pub fn len(&self, modality: Modality) -> usize {
        self.segment_frames(modality).iter().sum::<usize>() * self.frame_len(modality)
    }

    /// The element range of each segment of a modality within one clip; contiguous, in order.
    pub fn segment_ranges(&self, modality: Modality) -> Vec<Range<usize>> {
        let frame_len = self.frame_len(modality);
        let mut start = 0;
        self.segment_frames(modality)
            .iter()
            .map(|n| {
                let range = start..start + n * frame_len;
                start = range.end;
                range
            })
            .collect()
    }

    /// The shape of a batch of latents of a modality: `(B, F, C, H, W)` or `(B, A, Ca)`.
    pub fn shape(&self, modality: Modality, batch: usize) -> Vec<usize> {
        let (v, a) = (&self.video, &self.audio);
        match modality {
            Modality::Video => vec![batch, v.frames, v.channels, v.height, v.width],
            Modality::Audio => vec![batch, a.frames, a.channels],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(audio_segments: Vec<usize>) -> Result<Layout> {
        Layout::new(
            VideoLayout { frames: 3, channels: 2, height: 2, width: 2, segments: vec![1, 2] },
            AudioLayout { frames: 5, channels: 4, segments: audio_segments },
        )
    }

    #[test]
    fn segments_cover_every_element_once() {
        let layout = layout(vec![2, 3]).unwrap();
        assert_eq!(layout.segment_ranges(Modality::Video), vec![0..8, 8..24]);
        assert_eq!(layout.segment_ranges(Modality::Audio), vec![0..8, 8..20]);
        assert_eq!((layout.len(Modality::Video), layout.len(Modality::Audio)), (24, 20));
    }

    #[test]
    fn a_sum_that_differs_from_the_frames_is_named_with_both_sides() {
        let message = layout(vec![2, 2]).unwrap_err().to_string();
        assert_eq!(message, "sum of the audio segments: expected 5, got 4");
        assert!(layout(vec![5]).is_err(), "different numbers of segments");
    }
}
