//! Products of activations with each other: units without weights.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use avdit_onnx::{DataType, Dim, GraphBuilder, Model, attribute};
use avdit_quantize::{Form, Heads, Kind, Settings, int8, units};
use support::{count, header};

/// q and k (batch, 4, 6), multiplied as attention does.
fn scores() -> Model {
    let mut graph = GraphBuilder::new("scores");
    let shape = || vec![Dim::Symbol("batch".into()), 4.into(), 6.into()];
    let q = graph.input("q", DataType::Float, shape()).unwrap();
    let k = graph.input("k", DataType::Float, shape()).unwrap();
    let order = vec![attribute::ints("perm", vec![0, 2, 1])];
    let k = graph.node("Transpose", "k", &[&k], order).unwrap();
    let y = graph.node("MatMul", "scores", &[&q, &k], vec![]).unwrap();
    graph.output(&y, "y").unwrap();
    graph.finish(header()).unwrap()
}

#[test]
fn a_product_of_two_activations_is_a_unit_that_is_quantized_as_it_arises() {
    let mut made = scores();
    let found = units(&mut made).unwrap();
    assert_eq!(
        (found.len(), found[0].kind, found[0].name.as_str()),
        (1, Kind::Activations, "/scores/MatMul")
    );
    let forms = |form| [(found[0].name.clone(), form)].into();
    int8::rewrite(&mut made, &forms(Form::Int8Dynamic), &Settings::default()).unwrap();
    assert_eq!((count(&made, "DynamicQuantizeLinear"), count(&made, "MatMulInteger")), (2, 1));
    assert_eq!(made.outputs().unwrap(), scores().outputs().unwrap());
    let error = int8::rewrite(&mut scores(), &forms(Form::Int8Weight), &Settings::default()).unwrap_err();
    assert!(error.to_string().contains("expected int8-dynamic, got int8-weight"), "{error}");
}

/// Attention of q (batch, 4, 6) over k and v (batch, 5, 6), in three heads; v has heads of one number.
fn attention(extra: Vec<avdit_onnx::proto::AttributeProto>) -> Model {
    let mut graph = GraphBuilder::new("attention");
    let shape = |rows: usize, width: usize| vec![Dim::Symbol("batch".into()), rows.into(), width.into()];
    let q = graph.input("q", DataType::Float, shape(4, 6)).unwrap();
    let k = graph.input("k", DataType::Float, shape(5, 6)).unwrap();
    let v = graph.input("v", DataType::Float, shape(5, 3)).unwrap();
    let attributes = [vec![attribute::int("num_heads", 3)], extra].concat();
    let inputs = [&q, &k, &v].map(String::as_str);
    let y = graph.node_in("com.microsoft", "MultiHeadAttention", "attn", &inputs, 1, attributes).unwrap();
    graph.output(&y[0], "y").unwrap();
    graph.finish(header()).unwrap()
}

#[test]
fn attention_that_is_one_operator_is_a_unit_of_both_its_products() {
    let mut made = attention(vec![]);
    let found = units(&mut made).unwrap();
    let heads = Heads { heads: 3, queries: 4, keys: 5, width: 2, value_width: 1 };
    assert_eq!((found.len(), found[0].kind), (1, Kind::Attention(heads)));
    let forms = |form| [(found[0].name.clone(), form)].into();
    int8::rewrite(&mut made, &forms(Form::Int8Dynamic), &Settings::default()).unwrap();
    assert_eq!((count(&made, "MatMulIntegerToFloat"), count(&made, "MultiHeadAttention")), (2, 0));
    assert_eq!(made.outputs().unwrap(), attention(vec![]).outputs().unwrap());
    // Rows are quantized by a scale of their own, which older operator sets do not have.
    assert_eq!((made.opset(""), made.ir_version()), (Some(21), 10));
    for form in [Form::Int8Static, Form::Int8Weight, Form::Int4Weight] {
        let error = int8::rewrite(&mut attention(vec![]), &forms(form), &Settings::default()).unwrap_err();
        let told = format!("which is attention: expected int8-dynamic, got {}", form.name());
        assert!(error.to_string().contains(&told), "{error}");
    }
    // What sees the past alone is another computation.
    assert_eq!(units(&mut attention(vec![attribute::int("unidirectional", 1)])).unwrap(), []);
}
