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
