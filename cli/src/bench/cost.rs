//! What a step of a model must multiply, by the graph's own account.

use avdit_onnx::{Model, cost};
use std::path::Path;

/// Multiplications and additions (two for each multiply-add) of one run of the graph for `batch` clips; `None` if the
/// folder holds no graph, or one with operators that cannot be accounted for. Matrix products alone: norms, activations and sums are not
/// counted.
pub fn prediction_flop(folder: &Path, batch: usize) -> Option<f64> {
    let model = Model::read_graph(folder.join("model.onnx")).ok()?;
    let nodes = cost::of(&model, &[("batch", batch)]).ok()?;
    if nodes.iter().any(|node| !node.is_counted) {
        return None;
    }
    let multiply_adds: u64 = nodes.iter().map(|node| node.cost.multiply_adds).sum();
    Some(2.0 * multiply_adds as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{DenoiserSpec, ScheduleKind, Target};
    use avdit_export::{ExportOptions, RandomWeights, export_denoiser};
    use avdit_nets::AvditConfig;
    use avdit_onnx::WriteOptions;

    #[test]
    fn the_products_of_a_network_are_counted_for_every_clip() {
        let config = AvditConfig::preset("tiny").unwrap();
        let (target, schedule) = (Target::V, ScheduleKind::Cosine);
        let spec = DenoiserSpec { layout: config.layout(), target, schedule, timesteps: 1000 };
        let weights = RandomWeights::new(&config, 0);
        let model = export_denoiser(&config, &weights, &spec, &ExportOptions::default()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        model.write(folder.path().join("model.onnx"), &WriteOptions::default()).unwrap();
        // 4 blocks of width 128 over 46 tokens, adaLN of 10 cells, attention; embeddings and ends.
        let (d, tokens, cells) = (128.0, 46.0, 10.0);
        let block = tokens * 12.0 * d * d + 2.0 * tokens * tokens * d + cells * 6.0 * d * d;
        let ends =
            2.0 * d * (20.0 * 64.0 + 26.0 * 32.0) + cells * d * (256.0 + d) + 2.0 * cells * 2.0 * d * d;
        let flop = prediction_flop(folder.path(), 1).unwrap();
        assert_eq!(flop, 2.0 * (4.0 * block + ends));
        assert_eq!(prediction_flop(folder.path(), 3), Some(3.0 * flop));
        assert_eq!(prediction_flop(&folder.path().join("none"), 1), None);
    }
}
