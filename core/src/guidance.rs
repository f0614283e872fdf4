//! Guidance towards the given cells, without a null token.
//!
//! The unconditional prediction is the same network's with the given cells replaced by fresh noise at level T:
//! ε = ε_u + s·(ε_c − ε_u). Every target is affine in ε at fixed latents and levels, and the factors add up to 1, so
//! the same combination of predictions serves all targets.

use crate::latents::{Latents, Levels};
use crate::layout::{Layout, Modality};
use crate::task::CellMask;
use std::ops::Range;

/// The buffers of the second evaluation.
pub(crate) struct Guidance {
    /// Noise for the given cells.
    pub(crate) fresh: Latents,
    /// The latents without what is given.
    pub(crate) noisy: Latents,
    /// Their levels.
    pub(crate) levels: Levels,
    /// What the network predicts from them.
    pub(crate) unconditional: Latents,
    /// Given cells: modality, elements, and index of the level.
    given: Vec<(Modality, Range<usize>, usize)>,
    scale: f32,
    top: f32,
}

impl Guidance {
    pub(crate) fn new(layout: &Layout, mask: &CellMask, batch: usize, scale: f64, timesteps: usize) -> Self {
        let zeros = || Latents::zeros(layout, batch);
        let mut given = Vec::new();
        for modality in Modality::ALL {
            let (len, ranges) = (layout.len(modality), layout.segment_ranges(modality));
            for item in 0..batch {
                for (segment, range) in ranges.iter().enumerate().filter(|(n, _)| mask.is_given(modality, *n))
                {
                    let elements = item * len + range.start..item * len + range.end;
                    given.push((modality, elements, item * ranges.len() + segment));
                }
            }
        }
        Self {
            fresh: zeros(),
            noisy: zeros(),
            levels: Levels::repeat(&vec![0.0; layout.cells()], batch),
            unconditional: zeros(),
            given,
            scale: scale as f32,
            top: timesteps as f32,
        }
    }

    /// Takes over the present latents and levels, with noise at level T in the given cells.
    pub(crate) fn prepare(&mut self, x: &Latents, levels: &Levels) {
        self.noisy.video.copy_from_slice(&x.video);
        self.noisy.audio.copy_from_slice(&x.audio);
        self.levels.video.copy_from_slice(&levels.video);
        self.levels.audio.copy_from_slice(&levels.audio);
        for (modality, elements, level) in &self.given {
            let fresh = &self.fresh.get(*modality)[elements.clone()];
            self.noisy.get_mut(*modality)[elements.clone()].copy_from_slice(fresh);
            match modality {
                Modality::Video => self.levels.video[*level] = self.top,
                Modality::Audio => self.levels.audio[*level] = self.top,
            }
        }
    }

    /// Replaces the conditional prediction by the guided one.
    pub(crate) fn combine(&self, prediction: &mut Latents) {
        for modality in Modality::ALL {
            let pairs = prediction.get_mut(modality).iter_mut().zip(self.unconditional.get(modality));
            for (conditional, &unconditional) in pairs {
                *conditional = unconditional + self.scale * (*conditional - unconditional);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::{AudioLayout, VideoLayout};

    #[test]
    fn given_cells_become_noise_at_the_highest_level_and_the_rest_stays() {
        let video = VideoLayout { frames: 2, channels: 1, height: 1, width: 1, segments: vec![1, 1] };
        let layout =
            Layout::new(video, AudioLayout { frames: 3, channels: 1, segments: vec![1, 2] }).unwrap();
        let mask = CellMask::parse("video:1;audio:1", 2).unwrap();
        let mut guidance = Guidance::new(&layout, &mask, 2, 3.0, 1000);
        guidance.fresh = Latents { batch: 2, video: vec![-1.0; 4], audio: vec![-2.0; 6] };
        let x =
            Latents { batch: 2, video: vec![1.0, 2.0, 3.0, 4.0], audio: vec![5.0, 6.0, 7.0, 8.0, 9.0, 10.0] };
        guidance.prepare(&x, &Levels::repeat(&[400.0, 0.0, 300.0, 0.0], 2));
        assert_eq!(guidance.noisy.video, [1.0, -1.0, 3.0, -1.0]);
        assert_eq!(guidance.noisy.audio, [5.0, -2.0, -2.0, 8.0, -2.0, -2.0]);
        assert_eq!(guidance.levels, Levels::repeat(&[400.0, 1000.0, 300.0, 1000.0], 2));

        guidance.unconditional = Latents { batch: 2, video: vec![1.0; 4], audio: vec![2.0; 6] };
        let mut prediction = Latents { batch: 2, video: vec![1.5; 4], audio: vec![1.0; 6] };
        guidance.combine(&mut prediction);
        // 1 + 3·(1.5 − 1) and 2 + 3·(1 − 2)
        assert_eq!((prediction.video[0], prediction.audio[5]), (2.5, -1.0));
    }
}
