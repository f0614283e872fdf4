//! What a forward pass of an AV-DiT costs.

use super::{AvDitConfig, LoraForm, fusion};
use crate::timestep::FEATURES;

impl AvDitConfig {
    /// Multiply-adds of all matrix products of one forward pass on one clip.
    pub fn multiply_adds(&self) -> u64 {
        let (d, m, l, la) = (self.width, self.video.frames, self.frame_tokens(), self.audio_tokens());
        let (v, hidden, pixels) = (m * l, self.backbone().hidden(), self.patch * self.patch);
        let cells = 2 * self.segments();
        let attention =
            |tokens: usize, groups: usize| 4 * tokens * d * d + 2 * groups * (tokens / groups).pow(2) * d;
        let lora = |tokens: usize, rank: usize| match self.lora {
            LoraForm::Separate => 8 * tokens * d * rank,
            LoraForm::Merged => 0,
        };
        let mut block = cells * 6 * d * d + attention(v, m) + attention(la, 1) + (v + la) * 2 * d * hidden;
        for (site, rank) in self.lora_sites() {
            block += lora(if site == "fusion" { l + la } else { la }, rank);
        }
        if self.parts.temporal {
            let narrow = d / self.temporal_ratio;
            block += v * (2 * d * narrow + 2 * d * d) + l * m * m * (narrow + d);
        }
        if self.parts.fusion {
            block += fusion::multiply_adds(self);
        }
        if self.parts.audio_adapter {
            block += la * 2 * d * (d / self.adapter_ratio);
        }
        let ends = 3 * pixels * d * (v * self.video.channels + la * self.audio.channels);
        let levels = cells * (FEATURES * d + d * d + 2 * d * d);
        (ends + levels + self.depth * block) as u64
    }
}
