//! What an exported network costs, against the formula of its architecture.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::sampler::StepForm;
use avdit_core::{DenoiserSpec, ScheduleKind, Target};
use avdit_export::{ExportOptions, Lowering, WeightMap, export_avdit};
use avdit_nets::AvditConfig;
use avdit_onnx::{Model, cost};

/// The network with zeros for weights.
fn exported(config: &AvditConfig) -> Model {
    exported_as(config, &ExportOptions::default())
}

fn exported_as(config: &AvditConfig, options: &ExportOptions) -> Model {
    let layout = config.layout();
    let spec = DenoiserSpec { layout, target: Target::V, schedule: ScheduleKind::Cosine, timesteps: 1000 };
    let zeros = |p: avdit_nets::Parameter| (p.name.clone(), (p.shape.clone(), vec![0.0; p.len()]));
    let weights: WeightMap = config.parameters().into_iter().map(zeros).collect();
    export_avdit(config, &weights, &spec, options).unwrap()
}

/// Multiply-adds of one example: every linear layer on its rows, and q·kᵀ and its product with v.
fn multiply_adds(config: &AvditConfig) -> u64 {
    let (d, video, tokens) = (config.width, config.video_tokens(), config.tokens());
    let (audio, cells) = (config.audio.frames, 2 * config.video.segments.len());
    let patch = config.video.channels * config.video.patch * config.video.patch;
    let hidden = (d as f64 * config.mlp_ratio) as usize;
    let ends = 2 * (video * patch * d + audio * config.audio.channels * d);
    let levels = cells * (256 * d + d * d);
    let block = tokens * (4 * d * d + 2 * d * hidden) + 2 * tokens * tokens * d + cells * d * 6 * d;
    (ends + levels + config.depth * block + 2 * cells * d * 2 * d) as u64
}

#[test]
fn multiply_adds_are_those_of_the_formula() {
    let small = AvditConfig { depth: 2, ..AvditConfig::preset("small").unwrap() };
    for config in [AvditConfig::preset("tiny").unwrap(), small] {
        let model = exported(&config);
        for batch in [1, 3] {
            let nodes = cost::of(&model, &[("batch", batch)]).unwrap();
            assert!(nodes.iter().all(|node| node.is_counted));
            let got: u64 = nodes.iter().map(|node| node.cost.multiply_adds).sum();
            assert_eq!(got, batch as u64 * multiply_adds(&config), "batch {batch}");
        }
    }
}

#[test]
fn a_step_of_small_takes_21_4_gflop_in_its_blocks() {
    let config = AvditConfig::preset("small").unwrap();
    let (d, tokens) = (config.width as f64, config.tokens() as f64);
    let blocks = 2.0 * 12.0 * (12.0 * tokens * d * d + 2.0 * tokens * tokens * d);
    assert_eq!((blocks / 1e8).round() / 10.0, 21.4);
    // the embeddings, the levels, adaLN on the cells and the final layers make 1.2 % more
    let all = 2.0 * multiply_adds(&config) as f64;
    assert!((all / blocks - 1.0117).abs() < 1e-3, "{}", all / blocks);
}

#[test]
fn every_operator_of_every_form_and_target_is_counted() {
    let config = AvditConfig::preset("tiny").unwrap();
    for lowering in Lowering::ALL {
        for (freeze, step) in
            [(None, None), (Some(4), None), (None, Some(StepForm::EVERY)), (Some(4), Some(StepForm::EVERY))]
        {
            let options = ExportOptions { lowering, freeze, step, ..ExportOptions::default() };
            let nodes = cost::of(&exported_as(&config, &options), &[("batch", 1)]).unwrap();
            let left: Vec<_> = nodes.iter().filter(|node| !node.is_counted).map(|node| &node.op).collect();
            assert!(left.is_empty(), "{lowering}, {freeze:?}, {step:?}: {left:?}");
        }
    }
}
