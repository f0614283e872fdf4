//! A small model for the tests.
#![allow(dead_code, reason = "each test file uses its part")]

use avdit_onnx::builder::ModelHeader;
use avdit_onnx::{DataType, Dim, GraphBuilder, Model, attribute, tensor};

pub(crate) fn header() -> ModelHeader {
    ModelHeader {
        opset: 20,
        ir_version: 8,
        producer: "test".to_owned(),
        producer_version: "0".to_owned(),
        doc: "gelu(x·W + b)".to_owned(),
        metadata: vec![("key".to_owned(), "value".to_owned())],
    }
}

/// `y = gelu(x·W + b)` with W (256, 4), x (batch, 3, 256).
pub(crate) fn model() -> Model {
    let mut graph = GraphBuilder::new("small");
    let x = graph
        .input("x", DataType::Float, vec![Dim::Symbol("batch".to_owned()), 3.into(), 256.into()])
        .unwrap();
    graph.set_scope("layer.0");
    let weight: Vec<f32> = (0..1024).map(|i| i as f32 / 7.0).collect();
    let weight = graph.initializer(tensor::f32s("weight", &[256, 4], &weight).unwrap()).unwrap();
    let bias = graph.initializer(tensor::f32s("bias", &[4], &[0.5; 4]).unwrap()).unwrap();
    let y = graph.node("MatMul", "fc", &[&x, &weight], vec![]).unwrap();
    let y = graph.node("Add", "fc", &[&y, &bias], vec![]).unwrap();
    let y = graph.node("Gelu", "", &[&y], vec![attribute::string("approximate", "tanh")]).unwrap();
    graph.output(&y, "y").unwrap();
    graph.finish(header()).unwrap()
}
