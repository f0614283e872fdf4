//! Every way in which a model can contradict itself is found and named.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use avdit_onnx::Model;
use avdit_onnx::proto::{ModelProto, NodeProto};

/// What the check says of the small model after a change.
fn message(change: impl FnOnce(&mut ModelProto)) -> String {
    let mut proto = support::model().into_proto();
    change(&mut proto);
    let checked = Model::from_proto(proto).and_then(|model| model.check());
    checked.expect_err("the change must be found").to_string()
}

fn node(proto: &mut ModelProto, i: usize) -> &mut NodeProto {
    &mut proto.graph.as_mut().unwrap().node[i]
}

#[test]
fn the_small_model_is_accepted() {
    support::model().check().unwrap();
}

#[test]
fn names() {
    let said = message(|proto| node(proto, 1).name = node(proto, 0).name.clone());
    assert_eq!(said, "node /layer.0/fc/MatMul (Add): another node has the same name");
    let said = message(|proto| node(proto, 1).output[0] = "x".to_owned());
    assert_eq!(said, "value x: it is defined twice");
    let said = message(|proto| proto.graph.as_mut().unwrap().node.swap(0, 1));
    assert_eq!(said, "node /layer.0/fc/Add (Add): input /layer.0/fc/MatMul is not defined before it");
    let said = message(|proto| node(proto, 0).input[1] = "lost".to_owned());
    assert_eq!(said, "node /layer.0/fc/MatMul (MatMul): input lost is not defined before it");
    let said = message(|proto| node(proto, 2).output[0] = "z".to_owned());
    assert_eq!(said, "value y: it is declared, but nothing makes it");
}

#[test]
fn operators() {
    let said = message(|proto| node(proto, 2).op_type = Some("Mish".to_owned()));
    assert_eq!(said, "node /layer.0/Gelu (Mish): the operator is not known");
    let said = message(|proto| {
        node(proto, 2).op_type = Some("FastGelu".to_owned());
        node(proto, 2).domain = Some("com.microsoft".to_owned());
    });
    let expected =
        "node /layer.0/Gelu (com.microsoft.FastGelu): the model declares no opset of domain 'com.microsoft'";
    assert_eq!(said, expected);
    let said = message(|proto| proto.opset_import[0].version = Some(17));
    assert_eq!(said, "node /layer.0/Gelu (Gelu): it needs opset 20, the model declares 17");
    let said = message(|proto| node(proto, 1).input.truncate(1));
    assert_eq!(said, "node /layer.0/fc/Add (Add): it takes 2 inputs, got 1");
}

#[test]
fn types_and_shapes() {
    let said = message(|proto| node(proto, 0).input.swap(0, 1));
    let expected =
        "node /layer.0/fc/MatMul (MatMul): shapes (256, 4) and (batch, 3, 256) cannot be multiplied";
    assert_eq!(said, expected);
    let said = message(|proto| {
        let graph = proto.graph.as_mut().unwrap();
        let bias = graph.initializer.iter_mut().find(|tensor| tensor.name() == "bias").unwrap();
        (bias.data_type, bias.raw_data) = (Some(7), Some(vec![0; 32].into()));
    });
    assert_eq!(said, "node /layer.0/fc/Add (Add): inputs of type FLOAT and INT64");
    let said = message(|proto| {
        let graph = proto.graph.as_mut().unwrap();
        graph.output[0].r#type = graph.input[0].r#type.clone();
    });
    assert_eq!(said, "value y: declared as float (batch, 3, 256), but it is float (batch, 3, 4)");
    let said = message(|proto| proto.graph.as_mut().unwrap().input[0].r#type = None);
    assert_eq!(said, "value x: it has no complete tensor type");
}

#[test]
fn data() {
    let said =
        message(|proto| proto.graph.as_mut().unwrap().initializer[1].raw_data = Some(vec![0; 15].into()));
    assert_eq!(said, "tensor bias: FLOAT [4] takes 16 bytes, got 15");
    let said = message(|proto| proto.graph.as_mut().unwrap().initializer[1].name = Some("weight".to_owned()));
    assert_eq!(said, "tensor weight: another initializer has the same name");
    let said = message(|proto| proto.graph.as_mut().unwrap().initializer[1].dims = vec![-4]);
    assert_eq!(said, "tensor bias: dimension -4 is negative");
    let said = message(|proto| proto.graph.as_mut().unwrap().initializer[1].dims = vec![i64::MAX, i64::MAX]);
    assert!(said.contains("overflow"), "{said}");
    let said = message(|proto| proto.graph.as_mut().unwrap().initializer[1].data_type = Some(99));
    assert_eq!(said, "tensor bias: elements of type UNDEFINED are not supported");
}

#[test]
fn the_model_as_a_whole() {
    assert_eq!(message(|proto| proto.graph = None), "model: it has no graph");
    assert_eq!(message(|proto| proto.graph.as_mut().unwrap().output.clear()), "model: it has no outputs");
    assert_eq!(message(|proto| proto.ir_version = Some(2)), "model: IR version 2 is not supported");
}
