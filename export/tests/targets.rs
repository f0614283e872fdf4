//! Graphs for a target: what each is made of.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use avdit_export::{ExportOptions, Lowering, export_denoiser};
use avdit_nets::AvditConfig;
use avdit_onnx::proto::NodeProto;
use avdit_onnx::{Model, attribute, tensor};
use support::{config, random_weights, spec};

fn export(config: &AvditConfig, lowering: Lowering, batch: Option<usize>) -> Model {
    let options = ExportOptions { lowering, batch, ..ExportOptions::default() };
    export_denoiser(config, &random_weights(config), &spec(config), &options).unwrap()
}

/// Every target on networks with and without norms of q and k, for any batch and a fixed one.
fn every_graph() -> Vec<(Lowering, AvditConfig, Model)> {
    let networks = [config(true, None), config(false, Some(3))];
    let mut graphs = Vec::new();
    for (network, batch) in networks.iter().flat_map(|network| [(network, None), (network, Some(2))]) {
        let graph = |target| (target, network.clone(), export(network, target, batch));
        graphs.extend(Lowering::ALL.map(graph));
    }
    graphs
}

fn nodes<'m>(model: &'m Model, op: &str) -> Vec<&'m NodeProto> {
    model.graph().node.iter().filter(|node| node.op_type() == op).collect()
}

fn producer<'m>(model: &'m Model, value: &str) -> Option<&'m NodeProto> {
    model.graph().node.iter().find(|node| node.output.iter().any(|output| output == value))
}

#[test]
fn attention_is_one_operator_in_every_block_where_the_target_has_it() {
    for (target, network, model) in every_graph() {
        let fused = if target.is_plain_onnx() { 0 } else { network.depth };
        assert_eq!(nodes(&model, "MultiHeadAttention").len(), fused, "{target}");
        assert_eq!(nodes(&model, "Softmax").len(), network.depth - fused, "{target}");
        // The patches of the video are transposed in any case, and back again.
        assert_eq!(nodes(&model, "Transpose").len(), 2 + 4 * (network.depth - fused), "{target}");
        for node in nodes(&model, "MultiHeadAttention") {
            assert_eq!(attribute::int_or(node, "num_heads", 0), network.heads as i64);
            // Heads are 4 wide.
            assert_eq!(attribute::find(node, "scale").unwrap().f(), 0.5);
            assert!(node.name().ends_with("/attn/MultiHeadAttention"), "{}", node.name());
        }
    }
}

#[test]
fn operators_of_onnx_runtime_are_declared_and_nowhere_but_in_its_graphs() {
    for (target, _, model) in every_graph() {
        let own = model.graph().node.iter().any(|node| !node.domain().is_empty());
        assert_eq!(own, !target.is_plain_onnx(), "{target}");
        assert_eq!(model.opset("com.microsoft").is_some(), own, "{target}");
        assert_eq!(model.metadata("avdit.lowering"), Some(target.name()));
    }
}

#[test]
fn biased_layers_are_one_operator_on_ort_cpu() {
    let network = config(true, None);
    let model = export(&network, Lowering::OrtCpu, None);
    // Of each block: adaLN, q, k, proj, fc1, fc2; two embeddings, two of the levels, two final layers of two each.
    assert_eq!(nodes(&model, "Gemm").len(), 6 * network.depth + 2 + 2 + 4);
    let products: Vec<_> = nodes(&model, "MatMul").iter().map(|node| node.name().to_owned()).collect();
    assert_eq!(products, ["/blocks.0/attn/v/MatMul", "/blocks.1/attn/v/MatMul"], "v has no bias");
    // Between the layers of an MLP there is the GELU alone.
    let gelu = producer(&model, &producer(&model, "/blocks.0/mlp/fc2/Gemm").unwrap().input[0]).unwrap();
    assert_eq!((gelu.op_type(), producer(&model, &gelu.input[0]).unwrap().op_type()), ("Gelu", "Gemm"));
}

#[test]
fn no_reshape_follows_another_or_changes_nothing() {
    for (target, _, model) in every_graph() {
        let types = model.infer_shapes().unwrap();
        for node in nodes(&model, "Reshape") {
            assert_ne!(types[&node.input[0]], types[&node.output[0]], "{target}: {}", node.name());
            let before = producer(&model, &node.input[0]).map(NodeProto::op_type);
            assert_ne!(before, Some("Reshape"), "{target}: {}", node.name());
        }
    }
}

#[test]
fn modulation_is_one_layer_norm_on_cuda() {
    let network = config(true, None);
    let model = export(&network, Lowering::OrtCuda, None);
    let norms = nodes(&model, "LayerNormalization");
    assert_eq!(norms.len(), 2 * network.depth + 2);
    for norm in norms {
        let gathered: Vec<_> =
            norm.input[1..].iter().map(|x| producer(&model, x).unwrap().op_type()).collect();
        assert_eq!(gathered, ["Gather", "Gather"], "scale and shift of {} are of the tokens", norm.name());
    }
}

#[test]
fn constants_are_in_the_weights_for_every_target() {
    for (target, network, model) in every_graph() {
        let scalars = model.graph().initializer.iter().filter(|tensor| tensor.dims.is_empty());
        let names: Vec<_> = scalars.map(|tensor| tensor.name().to_owned()).collect();
        let expected: &[&str] = if network.qk_norm { &["two", "epsilon"] } else { &[] };
        assert_eq!(names, expected, "{target}");
        assert!(nodes(&model, "Slice").is_empty(), "{target}");
    }
}

#[test]
fn the_bias_of_the_values_is_in_the_projection() {
    let network = config(true, None);
    let (weights, d) = (random_weights(&network), network.width);
    let (w, b) = (&weights["blocks.1.attn.proj.weight"].1, &weights["blocks.1.attn.proj.bias"].1);
    let v = &weights["blocks.1.attn.qkv.bias"].1[2 * d..];
    for target in Lowering::ALL {
        let model = export(&network, target, None);
        assert!(model.initializer("blocks.1.attn.v.bias").is_none(), "{target}");
        let is = tensor::to_f32s(model.initializer("blocks.1.attn.proj.bias").unwrap()).unwrap();
        for (i, is) in is.iter().enumerate() {
            let expected = b[i] + (0..d).map(|j| w[i * d + j] * v[j]).sum::<f32>();
            assert!((is - expected).abs() < 1e-5 * expected.abs().max(1.0), "{target} {i}: {is} {expected}");
        }
    }
}

#[test]
fn targets_are_called_by_their_names() {
    for target in Lowering::ALL {
        assert_eq!(target.name().parse::<Lowering>().unwrap(), target);
        assert_eq!(serde_json::to_string(&target).unwrap(), format!("\"{target}\""));
    }
    let said = "cuda".parse::<Lowering>().unwrap_err().to_string();
    assert_eq!(said, "target of an export: expected portable, ort-cpu, ort-cuda, tensorrt, got cuda");
}
