//! Single frames of clips, for a network of pictures.

use crate::error::Result;
use crate::examples::Examples;
use avdit_core::{Latents, Layout};
use std::path::PathBuf;

/// Every frame of every clip as an example of its own; a silent value stands in place of sound.
pub(crate) struct Frames<'a> {
    clips: &'a dyn Examples,
    layout: Layout,
}

impl<'a> Frames<'a> {
    /// On the layout of a network of pictures.
    pub(crate) fn new(clips: &'a dyn Examples, layout: Layout) -> Self {
        Self { clips, layout }
    }

    fn frames(&self) -> usize {
        self.clips.layout().video.frames
    }
}

impl Examples for Frames<'_> {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn count(&self) -> usize {
        self.clips.count() * self.frames()
    }

    fn identity(&self) -> Result<String> {
        self.clips.identity()
    }

    fn codec(&self) -> Option<PathBuf> {
        self.clips.codec()
    }

    fn name(&self, index: usize) -> String {
        format!("frame {} of {}", index % self.frames(), self.clips.name(index / self.frames()))
    }

    fn check(&self) -> Result<()> {
        self.clips.check()
    }

    fn read(&self, index: usize) -> Result<Latents> {
        let (clip, frame) = (index / self.frames(), index % self.frames());
        let video = self.clips.read(clip)?.video;
        let len = video.len() / self.frames();
        Ok(Latents { video: video[frame * len..(frame + 1) * len].to_vec(), audio: vec![0.0], batch: 1 })
    }
}
