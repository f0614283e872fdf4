//! What a forward pass of an AV-DiT costs.

use super::{AvDitConfig, FusionForm, LoraForm, fusion};
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
        (ends + self.of_levels() + self.depth * block) as u64
    }

    /// Multiply-adds of what is made of the levels outside of blocks.
    fn of_levels(&self) -> usize {
        let d = self.width;
        2 * self.segments() * (FEATURES * d + d * d + 2 * d * d)
    }

    /// Those of [`AvDitConfig::multiply_adds`] in which activations meet frozen weights.
    pub fn frozen_multiply_adds(&self) -> u64 {
        let (d, l, la) = (self.width, self.frame_tokens(), self.audio_tokens());
        let (v, cells) = (self.video.frames * l, 2 * self.segments());
        let shared = self.parts.fusion && self.fusion_form != FusionForm::Cross;
        let attended = v + la + if shared { l + la } else { 0 };
        let block = cells * 6 * d * d + attended * 4 * d * d + (v + la) * 2 * d * self.backbone().hidden();
        let ends = 3 * self.patch * self.patch * d * v * self.video.channels;
        (ends + self.of_levels() + self.depth * block) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The matrices of the frozen tensors, each by the rows that meet it.
    #[test]
    fn frozen_products_are_those_of_the_frozen_matrices() {
        for fusion_form in [FusionForm::Lora, FusionForm::Frozen, FusionForm::Cross] {
            let config = AvDitConfig { fusion_form, depth: 3, ..AvDitConfig::published() };
            let (v, l, la) = (config.video_tokens(), config.frame_tokens(), config.audio_tokens());
            let cells = 2 * config.segments();
            let rows = |name: &str| match name {
                _ if name.contains("adaLN") || name.starts_with("t_embedder") => cells,
                _ if name.contains(".attn.") && fusion_form == FusionForm::Cross => v + la,
                _ if name.contains(".attn.") => v + la + l + la,
                _ if name.contains(".mlp.") => v + la,
                _ => v,
            };
            let marked = config.marked_parameters();
            let frozen = marked.iter().filter(|(p, trained)| !trained && p.shape.len() > 1);
            let expected: usize = frozen.map(|(p, _)| rows(&p.name) * p.len()).sum();
            assert_eq!(config.frozen_multiply_adds(), expected as u64, "{}", fusion_form.name());
        }
    }
}
