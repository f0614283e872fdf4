//! The graph of an AVDiT: what it declares, what it is made of, and what is refused.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use avdit_core::Target;
use avdit_export::{Error, ExportOptions, export_denoiser};
use avdit_nets::AvditConfig;
use avdit_onnx::{Model, tensor};
use support::{config, random_weights, spec};

fn export(config: &AvditConfig, options: &ExportOptions) -> Model {
    export_denoiser(config, &random_weights(config), &spec(config), options).unwrap()
}

fn count(model: &Model, op: &str) -> usize {
    model.graph().node.iter().filter(|node| node.op_type() == op).count()
}

fn declared(values: Vec<(String, avdit_onnx::ValueType)>) -> Vec<String> {
    values.into_iter().map(|(name, value_type)| format!("{name} {value_type}")).collect()
}

#[test]
fn inputs_and_outputs_are_those_of_the_specification() {
    let config = config(true, None);
    let model = export(&config, &ExportOptions::default());
    let inputs = [
        "video float (batch, 3, 2, 4, 6)",
        "audio float (batch, 5, 3)",
        "video_timesteps float (batch, 2)",
        "audio_timesteps float (batch, 2)",
    ];
    assert_eq!(declared(model.inputs().unwrap()), inputs);
    let outputs = ["video_noise float (batch, 3, 2, 4, 6)", "audio_noise float (batch, 5, 3)"];
    assert_eq!(declared(model.outputs().unwrap()), outputs);
    assert_eq!((model.opset(""), model.ir_version()), (Some(20), 8));
}

#[test]
fn a_fixed_batch_is_in_every_shape() {
    let config = config(false, Some(3));
    let model = export(&config, &ExportOptions { batch: Some(4), ..ExportOptions::default() });
    assert_eq!(declared(model.inputs().unwrap())[1], "audio float (4, 5, 3)");
    let types = model.infer_shapes().unwrap();
    assert_eq!(types["/blocks.1/attn/Softmax"].to_string(), "float (4, 2, 23, 23)");
}

#[test]
fn taps_become_outputs_only_when_asked_for() {
    let config = config(true, None);
    let model = export(&config, &ExportOptions { taps: true, ..ExportOptions::default() });
    let names: Vec<_> = model.outputs().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["video_noise", "audio_noise", "tokens", "condition", "block0", "block1"]);
}

#[test]
fn slices_are_splits_and_constants_are_in_the_weights() {
    for (qk_norm, adaln_rank) in [(true, None), (false, Some(3))] {
        let config = config(qk_norm, adaln_rank);
        let model = export(&config, &ExportOptions::default());
        assert_eq!(count(&model, "Slice"), 0);
        // Two blocks, the two modalities, and the two final layers; a gather for every chunk of adaLN.
        assert_eq!((count(&model, "Split"), count(&model, "Gather")), (5, 2 * 6 + 2 * 2));
        let types = model.infer_shapes().unwrap();
        assert_eq!(types["/blocks.0/Split:1"].to_string(), "float (batch, 4, 8)");
        assert_eq!(types["/blocks.0/Gather:1"].to_string(), "float (batch, 23, 8)");
        let scalars: Vec<_> =
            model.graph().initializer.iter().filter(|tensor| tensor.dims.is_empty()).collect();
        let names: Vec<_> = scalars.iter().map(|tensor| tensor.name()).collect();
        // Those of the RMS norms alone: neither the scale of attention nor the `1 +` of adaLN is left.
        assert_eq!(names, if qk_norm { vec!["two", "epsilon"] } else { vec![] });
        for tensor in &model.graph().initializer {
            let used =
                model.graph().node.iter().any(|node| node.input.iter().any(|name| name == tensor.name()));
            assert!(used, "{} is not used", tensor.name());
        }
    }
}

#[test]
fn the_scale_of_attention_is_in_q_alone_and_weights_are_transposed() {
    let config = config(false, None);
    let (weights, model) = (random_weights(&config), export(&config, &ExportOptions::default()));
    let get = |name: &str| tensor::to_f32s(model.initializer(name).unwrap()).unwrap();
    let (qkv, d) = (&weights["blocks.1.attn.qkv.weight"].1, config.width);
    // Heads are 4 wide: q is scaled by 1/2. Element (input 1, output 2) was (output, input).
    assert_eq!(get("blocks.1.attn.q.weight")[d + 2], qkv[2 * d + 1] / 2.0);
    assert_eq!(get("blocks.1.attn.k.weight")[d + 2], qkv[(d + 2) * d + 1]);
    assert_eq!(get("blocks.1.attn.v.weight")[d + 2], qkv[(2 * d + 2) * d + 1]);
    let bias = &weights["blocks.1.attn.qkv.bias"].1;
    assert_eq!(
        (get("blocks.1.attn.q.bias")[2], get("blocks.1.attn.k.bias")[2]),
        (bias[2] / 2.0, bias[d + 2])
    );
    let doc = model.initializer("blocks.1.attn.q.weight").unwrap().doc_string();
    assert_eq!(doc, "rows 0..8 of blocks.1.attn.qkv.weight, transposed, times 0.5");
}

#[test]
fn one_is_added_to_the_biases_of_the_scales_alone() {
    for (adaln_rank, name) in
        [(None, "blocks.0.adaLN_modulation.1.bias"), (Some(3), "blocks.0.adaLN_modulation.up.bias")]
    {
        let config = config(true, adaln_rank);
        let (weights, model) = (random_weights(&config), export(&config, &ExportOptions::default()));
        let (was, is) = (&weights[name].1, tensor::to_f32s(model.initializer(name).unwrap()).unwrap());
        for (i, (was, is)) in was.iter().zip(is).enumerate() {
            // shift, scale, gate, shift, scale, gate
            let offset = if matches!(i / config.width, 1 | 4) { 1.0 } else { 0.0 };
            assert_eq!(is, was + offset, "{name} {i}");
        }
    }
}

#[test]
fn taps_change_nothing_in_the_weights() {
    let config = config(true, Some(3));
    let plain = export(&config, &ExportOptions::default());
    let tapped = export(&config, &ExportOptions { taps: true, ..ExportOptions::default() });
    assert_eq!(plain.graph().initializer.len(), tapped.graph().initializer.len());
    for tensor in &plain.graph().initializer {
        assert!(tapped.initializer(tensor.name()).unwrap() == tensor, "{}", tensor.name());
    }
}

#[test]
fn weights_that_are_not_the_networks_are_named() {
    let config = config(true, None);
    let refuse = |change: fn(&mut avdit_export::WeightMap)| {
        let mut weights = random_weights(&config);
        change(&mut weights);
        export_denoiser(&config, &weights, &spec(&config), &ExportOptions::default()).unwrap_err().to_string()
    };
    let said = refuse(|weights| drop(weights.remove("blocks.1.mlp.fc1.bias")));
    assert_eq!(said, "parameter blocks.1.mlp.fc1.bias: the network expects [16], the weights do not have it");
    let said = refuse(|weights| weights.get_mut("blocks.0.attn.proj.weight").unwrap().0 = vec![4, 16]);
    assert_eq!(
        said,
        "parameter blocks.0.attn.proj.weight: the network expects [8, 8], the weights have [4, 16]"
    );
    let said = refuse(|weights| {
        weights.insert("head.weight".to_owned(), (vec![1], vec![0.0]));
        weights.insert("blocks.2.x".to_owned(), (vec![1], vec![0.0]));
    });
    assert_eq!(said, "the network does not use 2 of the weights: blocks.2.x, head.weight");
    let said = refuse(|weights| weights.get_mut("modality_embed").unwrap().1[3] = f32::NAN);
    assert_eq!(said, "parameter modality_embed: value 3 is NaN, not a finite number");
    let said = refuse(|weights| weights.get_mut("modality_embed").unwrap().1.truncate(15));
    assert_eq!(said, "values of parameter modality_embed: expected the elements of [2, 8], got 15");
}

#[test]
fn options_and_specifications_that_do_not_fit_are_refused() {
    let config = config(true, None);
    let refuse = |options: ExportOptions| {
        let weights = random_weights(&config);
        export_denoiser(&config, &weights, &spec(&config), &options).unwrap_err().to_string()
    };
    let said = refuse(ExportOptions { opset: 17, ..ExportOptions::default() });
    assert_eq!(said, "opset of an export: expected 20 to 22, got 17");
    let said = refuse(ExportOptions { batch: Some(0), ..ExportOptions::default() });
    assert_eq!(said, "batch of an export: expected at least 1, got 0");

    let mut other = spec(&config);
    other.target = Target::V;
    export_denoiser(&config, &random_weights(&config), &other, &ExportOptions::default()).unwrap();
    other.layout.audio.channels = 4;
    let error =
        export_denoiser(&config, &random_weights(&config), &other, &ExportOptions::default()).unwrap_err();
    assert!(
        matches!(error, Error::Mismatch { .. }) && error.to_string().starts_with("layout of the denoiser")
    );
}

#[test]
fn the_model_says_what_it_is() {
    let config = config(true, Some(3));
    let model = export(&config, &ExportOptions::default());
    let network: AvditConfig = serde_json::from_str(model.metadata("avdit.network").unwrap()).unwrap();
    let said: avdit_core::DenoiserSpec = serde_json::from_str(model.metadata("avdit.spec").unwrap()).unwrap();
    assert_eq!((network, said), (config.clone(), spec(&config)));
}
