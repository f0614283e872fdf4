//! The part of a clip that a task leaves to make, where it gives the rest of both modalities.

use avdit_core::{CellMask, Modality};
use avdit_media::codec::Codec;
use std::ops::Range;

/// Frames and samples that are made.
#[derive(Clone, Debug, PartialEq)]
pub struct Part {
    /// Of the pictures.
    pub frames: Range<usize>,
    /// Of the sound.
    pub samples: Range<usize>,
    /// The second at which a continuation begins; none where something is given after it.
    pub continues_from_s: Option<f64>,
}

impl Part {
    /// The part that a mask leaves; `None` where it leaves a modality whole, gives one whole, or leaves several parts.
    pub fn of(mask: &CellMask, codec: &dyn Codec) -> Option<Self> {
        let (grid, layout) = (codec.grid(), codec.layout());
        let frames = made(mask, Modality::Video)?;
        let sound = made(mask, Modality::Audio)?;
        // The first latent frame of pictures holds one, the others equal shares of the rest.
        let latents = layout.video.frames;
        let each = (grid.frames - 1) / (latents - 1).max(1);
        let frame = |latent: usize| if latent == 0 { 0 } else { 1 + (latent - 1) * each };
        let sample = |latent: usize| latent * grid.samples() / layout.audio.frames;
        let edges = |modality: Modality, segments: &Range<usize>| {
            let sizes = layout.segment_frames(modality);
            let at = |segment: usize| sizes[..segment].iter().sum::<usize>();
            at(segments.start)..at(segments.end)
        };
        let (video, audio) = (edges(Modality::Video, &frames), edges(Modality::Audio, &sound));
        let frames = frame(video.start)..frame(video.end);
        let continues = audio.end == layout.audio.frames && frames.end == grid.frames;
        Some(Self {
            continues_from_s: continues.then(|| frames.start as f64 / grid.fps.value()),
            samples: sample(audio.start)..sample(audio.end),
            frames,
        })
    }
}

/// The segments of a modality that are made, if they are some, not all, and follow one another.
fn made(mask: &CellMask, modality: Modality) -> Option<Range<usize>> {
    let segments: Vec<usize> = (0..mask.segments()).filter(|&n| !mask.is_given(modality, n)).collect();
    let (first, last) = (*segments.first()?, *segments.last()?);
    let some = segments.len() < mask.segments() && last - first + 1 == segments.len();
    some.then_some(first..last + 1)
}
