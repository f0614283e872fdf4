//! What a forward pass of a DiT costs.

use super::DitConfig;
use crate::timestep::FEATURES;

impl DitConfig {
    /// Multiply-adds of all matrix products of one forward pass on one picture.
    pub fn multiply_adds(&self) -> u64 {
        let (d, n, hidden) = (self.width, self.tokens(), self.hidden());
        let pixels = self.patch * self.patch;
        let ends = n * pixels * d * (self.channels + self.output_channels());
        let level = FEATURES * d + d * d;
        let block = n * (4 * d * d + 2 * d * hidden) + 2 * n * n * d + 6 * d * d;
        (ends + level + self.depth * block + 2 * d * d) as u64
    }
}
