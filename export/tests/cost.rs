//! What an exported network costs, against the formula of its architecture.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::sampler::StepForm;
use avdit_core::{DenoiserSpec, ScheduleKind, Target};
use avdit_export::{ExportOptions, Lowering, WeightMap, export_denoiser, export_network};
use avdit_nets::av_dit::FusionForm;
use avdit_nets::{AvDitConfig, AvditConfig};
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
    export_denoiser(config, &weights, &spec, options).unwrap()
}

#[test]
fn multiply_adds_are_those_of_the_formula() {
    let small = AvditConfig { depth: 2, ..AvditConfig::preset("small").unwrap() };
    let low_rank =
        AvditConfig { adaln_rank: Some(24), mlp_ratio: 3.0, ..AvditConfig::preset("tiny").unwrap() };
    for config in [AvditConfig::preset("tiny").unwrap(), small, low_rank] {
        let model = exported(&config);
        for batch in [1, 3] {
            let nodes = cost::of(&model, &[("batch", batch)]).unwrap();
            assert!(nodes.iter().all(|node| node.is_counted));
            let got: u64 = nodes.iter().map(|node| node.cost.multiply_adds).sum();
            assert_eq!(got, batch as u64 * config.multiply_adds(), "batch {batch}");
        }
    }
}

#[test]
fn multiply_adds_of_an_av_dit_are_those_of_the_formula_in_every_form() {
    let text = r#"{"width":16,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    let config: AvDitConfig = serde_json::from_str(text).unwrap();
    for fusion_form in [FusionForm::Lora, FusionForm::Frozen, FusionForm::Cross] {
        let separate = AvDitConfig { fusion_form, ..config.clone() };
        for config in [separate.in_merged_form(), separate] {
            let zeros = |p: avdit_nets::Parameter| (p.name.clone(), (p.shape.clone(), vec![0.0; p.len()]));
            let weights: WeightMap = config.parameters().into_iter().map(zeros).collect();
            for lowering in [Lowering::Portable, Lowering::OrtCpu] {
                let options = ExportOptions { lowering, ..ExportOptions::default() };
                let model = export_network(&config, &weights, &options).unwrap();
                let nodes = cost::of(&model, &[("batch", 1)]).unwrap();
                assert!(nodes.iter().all(|node| node.is_counted));
                let got: u64 = nodes.iter().map(|node| node.cost.multiply_adds).sum();
                assert_eq!(got, config.multiply_adds(), "{} {lowering}", fusion_form.name());
            }
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
    let all = 2.0 * config.multiply_adds() as f64;
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
