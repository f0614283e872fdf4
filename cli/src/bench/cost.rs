//! What a step of a network must multiply, from the network's own description.

use avdit_export::ModelConfig;
use avdit_nets::AvditConfig;
use std::path::Path;

/// Features of a level before the network's embedding of it.
const LEVEL_FEATURES: usize = 256;

/// Multiplications and additions (two for each multiply-add) of one prediction for `batch` clips; `None` if the
/// network of the folder is not known. Matrix products alone: norms, activations and sums are not counted.
pub fn prediction_flop(folder: &Path, batch: usize) -> Option<f64> {
    let config = ModelConfig::read(folder).ok()?;
    (config.architecture == "avdit").then(|| 2.0 * avdit_multiply_adds(&config.network) * batch as f64)
}

fn avdit_multiply_adds(config: &AvditConfig) -> f64 {
    let (d, tokens, cells) = (config.width, config.tokens(), 2 * config.video.segments.len());
    let (video, audio) = (config.video_tokens(), config.audio.frames);
    let patch = config.video.channels * config.video.patch * config.video.patch;
    let ends = video * patch * d + audio * config.audio.channels * d; // in, and the same out
    let levels = cells * (LEVEL_FEATURES * d + d * d);
    let (shared, modulation) = match config.adaln_rank {
        Some(rank) => (cells * d * 6 * d, cells * (d * rank + rank * 6 * d)),
        None => (0, cells * d * 6 * d),
    };
    let attention = 2 * tokens * tokens * d; // q·kᵀ and its product with v
    let hidden = (d as f64 * config.mlp_ratio) as usize;
    let block = modulation + tokens * d * (4 * d + 2 * hidden) + attention; // qkv and proj; fc1 and fc2
    let last = 2 * cells * d * 2 * d; // shift and scale of either modality
    (2 * ends + levels + shared + config.depth * block + last) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_network_takes_twenty_one_gigaflop_a_step() {
        let small = AvditConfig::preset("small").unwrap();
        // 12 blocks: 426 tokens × 12 · 384² and attention 2 · 426² · 384; the rest is 1 %.
        let blocks = 12.0 * (426.0 * 12.0 * 384.0 * 384.0 + 2.0 * 426.0 * 426.0 * 384.0);
        let all = avdit_multiply_adds(&small);
        assert!(all > blocks && all < 1.02 * blocks, "{all} {blocks}");
        assert!((2e-9 * blocks - 21.4).abs() < 0.1);
    }
}
