//! What a forward pass of an AVDiT costs.

use super::AvditConfig;
use crate::timestep::FEATURES;

impl AvditConfig {
    /// Multiply-adds of all matrix products of one forward pass on one example: linear layers, q·kᵀ and weights·v. A
    /// backward pass makes twice as many.
    pub fn multiply_adds(&self) -> u64 {
        let (d, n, hidden) = (self.width, self.tokens(), self.hidden());
        let cells = 2 * self.video.segments.len();
        let embed = self.video_tokens() * self.patch_len() * d + self.audio.frames * self.audio.channels * d;
        let levels = cells * (FEATURES * d + d * d);
        let (shared, modulation) = match self.adaln_rank {
            None => (0, cells * d * 6 * d),
            Some(rank) => (cells * d * 6 * d, cells * (d * rank + rank * 6 * d)),
        };
        let block = n * (4 * d * d + 2 * d * hidden) + 2 * n * n * d + modulation;
        // The last layers predict what the first ones embedded, each under its own modulation.
        let last = embed + 2 * cells * d * 2 * d;
        (embed + levels + shared + self.depth * block + last) as u64
    }
}
