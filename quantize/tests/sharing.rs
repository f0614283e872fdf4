//! Products of one value: it is quantized once for all of them, whatever they reshape it to.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use avdit_onnx::{DataType, Dim, GraphBuilder, Model, tensor};
use avdit_quantize::{Dialect, Form, Integers, Settings, int8, units};
use std::collections::BTreeMap;
use support::{count, header};

/// x (batch, 4, 6) doubled, times `v` as it is, and as rows times `q` and `k`; times `odd` in rows of 3.
fn model() -> Model {
    let mut graph = GraphBuilder::new("shared");
    let x = graph.input("x", DataType::Float, vec![Dim::Symbol("batch".into()), 4.into(), 6.into()]).unwrap();
    let x = graph.node("Add", "twice", &[&x, &x], vec![]).unwrap();
    let mut parts = Vec::new();
    for (name, width, sizes) in [("q", 6, vec![-1, 6]), ("k", 6, vec![-1, 6]), ("odd", 3, vec![-1, 3])] {
        let weight = tensor::f32s(name, &[width, 5], &vec![0.5; width * 5]).unwrap();
        let weight = graph.initializer(weight).unwrap();
        let bias =
            graph.initializer(tensor::f32s(&format!("{name}.bias"), &[5], &[1.0; 5]).unwrap()).unwrap();
        let sizes = graph.integers(&sizes).unwrap();
        let rows = graph.node("Reshape", &format!("{name}/rows"), &[&x, &sizes], vec![]).unwrap();
        parts.push(graph.node("Gemm", name, &[&rows, &weight, &bias], vec![]).unwrap());
    }
    let v = graph.initializer(tensor::f32s("v", &[6, 5], &[0.5; 30]).unwrap()).unwrap();
    parts.push(graph.node("MatMul", "v", &[&x, &v], vec![]).unwrap());
    for (i, part) in parts.iter().enumerate() {
        graph.output(part, &format!("y{i}")).unwrap();
    }
    graph.finish(header()).unwrap()
}

fn rewritten(names: &[&str], form: Form, dialect: Dialect) -> Model {
    let ranges = names.iter().map(|name| ((*name).to_owned(), [-1.0, 1.0])).collect();
    let integers = Integers { dialect, ..Integers::default() };
    let settings = Settings { ranges, integers, ..Settings::default() };
    let forms: BTreeMap<String, Form> = names.iter().map(|name| ((*name).to_owned(), form)).collect();
    let mut made = model();
    int8::rewrite(&mut made, &forms, &settings).unwrap();
    assert_eq!(made.outputs().unwrap(), model().outputs().unwrap());
    made
}

#[test]
fn units_take_the_value_that_they_share_and_another_width_is_another_value() {
    let found = units(&mut model()).unwrap();
    let inputs: Vec<_> = found.iter().map(|unit| (unit.name.as_str(), unit.input().unwrap())).collect();
    let x = "/twice/Add";
    assert_eq!(inputs, [("q", x), ("k", x), ("odd", "/odd/rows/Reshape"), ("v", x)]);
}

#[test]
fn a_shared_value_is_quantized_once_and_its_integers_are_reshaped() {
    for (form, dialect, op) in [
        (Form::Int8Dynamic, Dialect::Portable, "DynamicQuantizeLinear"),
        (Form::Int8Static, Dialect::Portable, "QuantizeLinear"),
        (Form::Int8Static, Dialect::OrtCpu, "QuantizeLinear"),
    ] {
        let made = rewritten(&["q", "k", "v", "odd"], form, dialect);
        // One for q, k and v, one for what is in other rows; one of the integers for q and k, one of the floats.
        assert_eq!((count(&made, op), count(&made, "Reshape")), (2, 2), "{form:?} {dialect:?}");
        let types = made.infer_shapes().unwrap();
        let of_integers = made.graph().node.iter().filter(|node| {
            node.op_type() == "Reshape" && types[&node.output[0]].data_type == DataType::Uint8
        });
        assert_eq!(of_integers.count(), 1, "{form:?} {dialect:?}");
    }
}

#[test]
fn a_value_that_one_product_takes_and_the_graphs_of_tensorrt_are_quantized_where_they_are_taken() {
    let alone = rewritten(&["q"], Form::Int8Dynamic, Dialect::Portable);
    assert_eq!((count(&alone, "DynamicQuantizeLinear"), count(&alone, "Reshape")), (1, 3));
    let quantize = alone.graph().node.iter().find(|node| node.op_type() == "DynamicQuantizeLinear").unwrap();
    assert_eq!(quantize.input, ["/q/rows/Reshape"]);
    let pairs = rewritten(&["q", "k", "v"], Form::Int8Static, Dialect::TensorRt);
    assert_eq!((count(&pairs, "QuantizeLinear"), count(&pairs, "Reshape")), (3, 3));
}
