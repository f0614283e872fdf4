//! What the builder makes, and what it refuses.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use avdit_onnx::{DataType, Dim, GraphBuilder, attribute, tensor};

#[test]
fn names_are_paths_of_scope_and_layer() {
    let model = support::model();
    let names: Vec<_> = model.graph().node.iter().map(|node| node.name()).collect();
    assert_eq!(names, ["/layer.0/fc/MatMul", "/layer.0/fc/Add", "/layer.0/Gelu"]);
    assert_eq!(model.graph().node[2].output, ["y"], "an output takes its name without a node of its own");
    assert_eq!(model.metadata("key"), Some("value"));
    assert_eq!((model.opset(""), model.opset("com.microsoft")), (Some(20), None));
}

#[test]
fn inputs_and_outputs_have_their_types_with_a_symbolic_batch() {
    let model = support::model();
    let show = |values: Vec<(String, avdit_onnx::ValueType)>| format!("{} {}", values[0].0, values[0].1);
    assert_eq!(show(model.inputs().unwrap()), "x float (batch, 3, 256)");
    assert_eq!(show(model.outputs().unwrap()), "y float (batch, 3, 4)");
}

#[test]
fn equal_constants_are_one_and_names_that_are_taken_get_a_number() {
    let mut graph = GraphBuilder::new("constants");
    let mut constant =
        |name: &str, values: &[f32]| graph.constant(tensor::f32s(name, &[2], values).unwrap()).unwrap();
    assert_eq!(constant("a", &[1.0, 2.0]), "a");
    assert_eq!(constant("b", &[1.0, 2.0]), "a");
    assert_eq!(constant("a", &[1.0, 3.0]), "a_1");
    assert_eq!(graph.integers(&[0, -1]).unwrap(), graph.integers(&[0, -1]).unwrap());
}

#[test]
fn a_name_can_be_given_once_only() {
    let mut graph = GraphBuilder::new("names");
    graph.input("x", DataType::Float, vec![1.into()]).unwrap();
    let error = graph.initializer(tensor::f32s("x", &[1], &[0.0]).unwrap()).unwrap_err();
    assert_eq!(error.to_string(), "value x: the name is taken");
}

#[test]
fn a_value_that_is_two_outputs_gets_a_node_for_the_second() {
    let mut graph = GraphBuilder::new("twice");
    let x = graph.input("x", DataType::Float, vec![1.into()]).unwrap();
    let y = graph.node("Cos", "", &[&x], vec![]).unwrap();
    graph.output(&y, "first").unwrap();
    graph.output("first", "second").unwrap();
    graph.output(&x, "third").unwrap();
    let model = graph.finish(support::header()).unwrap();
    let ops: Vec<_> = model.graph().node.iter().map(|node| node.op_type()).collect();
    assert_eq!(ops, ["Cos", "Identity", "Identity"]);
    assert_eq!(model.outputs().unwrap().len(), 3);
}

/// Operator, shapes of its inputs, integers of further inputs, attributes as (name, value).
type Case =
    (&'static str, &'static [&'static [usize]], &'static [&'static [i64]], &'static [(&'static str, i64)]);

/// The shape of the first output of an operator on inputs that all have a batch `b` in front.
fn shape_of((op, inputs, constants, attributes): Case) -> Result<String, String> {
    let mut graph = GraphBuilder::new("op");
    let mut names = Vec::new();
    for (i, dims) in inputs.iter().enumerate() {
        let shape =
            std::iter::once(Dim::Symbol("b".to_owned())).chain(dims.iter().map(|&d| d.into())).collect();
        names.push(graph.input(&format!("x{i}"), DataType::Float, shape).unwrap());
    }
    for values in constants {
        names.push(graph.integers(values).unwrap());
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let attributes = attributes.iter().map(|(name, value)| attribute::int(name, *value)).collect();
    let n_outputs = if op == "Split" { constants[0].len() } else { 1 };
    let made = graph.node_in("", op, "", &names, n_outputs, attributes).map_err(|error| error.to_string())?;
    Ok(graph.value_type(&made[0]).unwrap().to_string())
}

#[test]
fn shapes_follow_from_the_inputs() {
    let cases: [(Case, &str); 15] = [
        (("Add", &[&[5, 4], &[5, 4]], &[], &[]), "(b, 5, 4)"),
        (("Add", &[&[5, 4], &[1, 4]], &[], &[]), "(b, 5, 4)"),
        (("MatMul", &[&[2, 5, 4], &[2, 4, 3]], &[], &[]), "(b, 2, 5, 3)"),
        (("Concat", &[&[5, 4], &[2, 4]], &[], &[("axis", 1)]), "(b, 7, 4)"),
        (("Gather", &[&[5, 4]], &[&[0, 4, 4]], &[("axis", 1)]), "(b, 3, 4)"),
        (("Reshape", &[&[5, 4]], &[&[0, 2, 10]], &[]), "(b, 2, 10)"),
        (("Reshape", &[&[5, 4]], &[&[0, -1, 2]], &[]), "(b, 10, 2)"),
        (("Slice", &[&[5, 4]], &[&[1], &[3], &[1]], &[]), "(b, 2, 4)"),
        (("Slice", &[&[5, 4]], &[&[-3], &[i64::MAX], &[1]], &[]), "(b, 3, 4)"),
        (("Split", &[&[5, 4]], &[&[1, 3]], &[("axis", -1)]), "(b, 5, 1)"),
        (("Transpose", &[&[5, 4]], &[], &[]), "(4, 5, b)"),
        (("ReduceMax", &[&[5, 4]], &[&[-1]], &[]), "(b, 5, 1)"),
        (("ReduceMean", &[&[5, 4]], &[&[-1]], &[]), "(b, 5, 1)"),
        (("ReduceMean", &[&[5, 4]], &[&[-1]], &[("keepdims", 0)]), "(b, 5)"),
        (("Softmax", &[&[5, 4]], &[], &[]), "(b, 5, 4)"),
    ];
    for (case, expected) in cases {
        assert_eq!(shape_of(case), Ok(format!("float {expected}")), "{case:?}");
    }
}

#[test]
fn integers_have_the_type_that_is_told_and_a_scale_for_every_block() {
    let op = "QuantizeLinear";
    let cases: [(Case, &str); 4] = [
        ((op, &[&[5, 4], &[4]], &[], &[("output_dtype", 0)]), "uint8 (b, 5, 4)"),
        ((op, &[&[5, 4], &[5, 1]], &[], &[("axis", -1), ("block_size", 4)]), "uint8 (b, 5, 4)"),
        (
            (op, &[&[5, 4], &[5, 1]], &[], &[("axis", 2), ("block_size", 4), ("output_dtype", 3)]),
            "int8 (b, 5, 4)",
        ),
        ((op, &[&[5, 4], &[5, 2]], &[], &[("axis", 2), ("block_size", 3)]), "uint8 (b, 5, 4)"),
    ];
    for (case, expected) in cases {
        assert_eq!(shape_of(case), Ok(expected.to_owned()), "{case:?}");
    }
    let cases: [(Case, &str); 2] = [
        (
            (op, &[&[5, 4], &[5, 1]], &[], &[("axis", 2), ("block_size", 3)]),
            "scales (b, 5, 1) are not one for every 3 values of (b, 5, 4) along axis 2",
        ),
        ((op, &[&[5, 4], &[5, 1]], &[], &[("output_dtype", 1)]), "quantizes to FLOAT"),
    ];
    for (case, expected) in cases {
        let error = shape_of(case).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn an_operator_set_is_raised_and_never_lowered() {
    let mut model = support::model();
    model.raise_opset(21, 10);
    assert_eq!((model.opset(""), model.ir_version()), (Some(21), 10));
    model.raise_opset(20, 8);
    assert_eq!((model.opset(""), model.ir_version()), (Some(21), 10));
}

#[test]
fn what_does_not_fit_is_refused_with_the_node_and_both_sides() {
    let cases: [(Case, &str); 13] = [
        (("Add", &[&[5, 4], &[5, 3]], &[], &[]), "shapes (b, 5, 4) and (b, 5, 3) do not broadcast"),
        (("MatMul", &[&[5, 4], &[5, 4]], &[], &[]), "shapes (b, 5, 4) and (b, 5, 4) cannot be multiplied"),
        (("Concat", &[&[5, 4], &[5, 3]], &[], &[("axis", 1)]), "do not join along axis 1"),
        (("Concat", &[&[5, 4], &[5, 4]], &[], &[("axis", 0)]), "do not join along axis 0"),
        (("Gather", &[&[5, 4]], &[&[0, 5]], &[("axis", 1)]), "index 5 lies outside the 5 entries of axis 1"),
        (("Gather", &[&[5, 4]], &[&[0]], &[("axis", 3)]), "axis 3 lies outside rank 3"),
        (("Reshape", &[&[5, 4]], &[&[0, 3, 10]], &[]), "shape (b, 5, 4) cannot become [0, 3, 10]"),
        (("Reshape", &[&[5, 4]], &[&[1, 5, 4]], &[]), "shape (b, 5, 4) cannot become [1, 5, 4]"),
        (("Reshape", &[&[5, 4], &[3]], &[], &[]), "input 1 (x1) is not an int64 initializer"),
        (("Slice", &[&[5, 4]], &[&[0], &[1], &[0]], &[]), "axis 0 has no known size"),
        (("Split", &[&[5, 4]], &[&[1, 4]], &[("axis", 2)]), "axis 2 of (b, 5, 4) cannot be cut into [1, 4]"),
        (("Cos", &[&[1], &[1]], &[], &[]), "it takes 1 inputs, got 2"),
        (("DeformConv", &[&[1]], &[], &[]), "the operator is not known"),
    ];
    for (case, expected) in cases {
        let message = shape_of(case).unwrap_err();
        assert!(message.starts_with(&format!("node /{0} ({0}): ", case.0)), "{message}");
        assert!(message.contains(expected), "{message}");
    }
}
