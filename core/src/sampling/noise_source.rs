//! The noise of a run, clip by clip.

use super::SampleRequest;
use crate::error::{Error, Result};
use crate::latents::Latents;
use crate::layout::{Layout, Modality};
use crate::noise::{Noise, Purpose, Stream};

/// Draws noise for every clip of a batch: video, then audio, from one stream per clip.
pub(super) struct NoiseSource<'a> {
    layout: &'a Layout,
    noise: Noise,
    batch: usize,
    first_item: u32,
    clip: Vec<f32>,
}

impl<'a> NoiseSource<'a> {
    pub(super) fn new(layout: &'a Layout, request: &SampleRequest) -> Result<Self> {
        let last = u32::try_from(request.batch).ok().and_then(|n| request.first_item.checked_add(n));
        if request.batch == 0 || last.is_none() {
            let got = format!("{} from clip {}", request.batch, request.first_item);
            return Err(Error::value("clips of a batch", "at least 1, with indices below 2^32", got));
        }
        let clip = vec![0.0; layout.len(Modality::Video) + layout.len(Modality::Audio)];
        let (batch, first_item) = (request.batch, request.first_item);
        Ok(Self { layout, noise: Noise::new(request.seed), batch, first_item, clip })
    }

    pub(super) fn draw(&mut self, purpose: Purpose, step: u32) -> Latents {
        let mut out = Latents::zeros(self.layout, self.batch);
        self.draw_into(purpose, step, &mut out);
        out
    }

    pub(super) fn draw_into(&mut self, purpose: Purpose, step: u32, out: &mut Latents) {
        let split = self.layout.len(Modality::Video);
        for item in 0..self.batch {
            self.noise.normals(Stream::new(purpose, step, self.first_item + item as u32), &mut self.clip);
            let (video, audio) = self.clip.split_at(split);
            out.video[item * video.len()..(item + 1) * video.len()].copy_from_slice(video);
            out.audio[item * audio.len()..(item + 1) * audio.len()].copy_from_slice(audio);
        }
    }
}
