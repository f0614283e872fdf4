//! What rewriting does to graphs: forms, names, types, what is kept, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_onnx::builder::ModelHeader;
use avdit_onnx::{DataType, Dim, GraphBuilder, Model, attribute, tensor};
use avdit_quantize::half_precision::{self, Half, Kept};
use avdit_quantize::{Calibration, Error, Form, Integers, Precision, Ranges, Recipe, int8, units};
use std::collections::BTreeMap;

/// x (batch, 4, 6) times `a`, a norm, Gemm with `b` in front of a Reshape; levels (batch, 2) times `c`, added.
fn model() -> Model {
    let mut graph = GraphBuilder::new("small");
    let batch = || Dim::Symbol("batch".into());
    let x = graph.input("x", DataType::Float, vec![batch(), 4.into(), 600.into()]).unwrap();
    let levels = graph.input("levels", DataType::Float, vec![batch(), 2.into()]).unwrap();
    let weight = |graph: &mut GraphBuilder, name: &str, dims: &[usize]| {
        let n: usize = dims.iter().product();
        let values: Vec<f32> = (0..n).map(|i| ((i * 31 % 17) as f32 - 8.0) / 8.0).collect();
        graph.initializer(tensor::f32s(name, dims, &values).unwrap()).unwrap()
    };
    let a = weight(&mut graph, "a", &[600, 8]);
    let b = weight(&mut graph, "b", &[8, 5]);
    let bias = weight(&mut graph, "b.bias", &[5]);
    let c = weight(&mut graph, "c", &[2, 5]);
    let ones = weight(&mut graph, "ones", &[8]);
    let y = graph.node("MatMul", "first", &[&x, &a], vec![]).unwrap();
    let y = graph.node("LayerNormalization", "norm", &[&y, &ones], vec![attribute::int("axis", -1)]).unwrap();
    let flat = graph.integers(&[-1, 8]).unwrap();
    let y = graph.node("Reshape", "flat", &[&y, &flat], vec![]).unwrap();
    let y = graph.node("Gemm", "second", &[&y, &b, &bias], vec![]).unwrap();
    let back = graph.integers(&[-1, 4, 5]).unwrap();
    let y = graph.node("Reshape", "back", &[&y, &back], vec![]).unwrap();
    let level = graph.node("MatMul", "levels", &[&levels, &c], vec![]).unwrap();
    let shape = graph.integers(&[-1, 1, 5]).unwrap();
    let level = graph.node("Reshape", "levels", &[&level, &shape], vec![]).unwrap();
    let y = graph.node("Add", "", &[&y, &level], vec![]).unwrap();
    graph.output(&y, "y").unwrap();
    let header = ModelHeader {
        opset: 20,
        ir_version: 8,
        producer: "test".into(),
        producer_version: String::new(),
        doc: String::new(),
        metadata: vec![],
    };
    graph.finish(header).unwrap()
}

fn count(model: &Model, op: &str) -> usize {
    model.graph().node.iter().filter(|node| node.op_type() == op).count()
}

fn all(form: Form) -> BTreeMap<String, Form> {
    ["a", "b", "c"].map(|name| (name.to_owned(), form)).into()
}

#[test]
fn units_are_the_matrices_that_activations_are_multiplied_by() {
    let found = units(&mut model()).unwrap();
    let told: Vec<_> = found.iter().map(|unit| (unit.name.as_str(), unit.rows, unit.columns)).collect();
    assert_eq!(told, [("a", 600, 8), ("b", 8, 5), ("c", 2, 5)]);
    assert_eq!(found[1].nodes, ["/second/Gemm"]);
}

#[test]
fn every_form_keeps_inputs_and_outputs_and_drops_the_matrices() {
    for (form, op) in [
        (Form::Int8Dynamic, "MatMulInteger"),
        (Form::Int8Weight, "DequantizeLinear"),
        (Form::Int4Weight, "MatMulNBits"),
    ] {
        let (source, mut made) = (model(), model());
        int8::rewrite(&mut made, &all(form), &Integers::default().into()).unwrap();
        assert_eq!(count(&made, op), 3, "{form:?}");
        assert_eq!(made.inputs().unwrap(), source.inputs().unwrap());
        assert_eq!(made.outputs().unwrap(), source.outputs().unwrap());
        assert!(["a", "b", "c"].iter().all(|name| made.initializer(name).is_none()), "{form:?}");
        made.check().unwrap();
    }
}

#[test]
fn units_that_are_not_named_stay_as_they_are() {
    let mut made = model();
    int8::rewrite(&mut made, &[("b".to_owned(), Form::Int8Dynamic)].into(), &Integers::default().into())
        .unwrap();
    assert_eq!((count(&made, "MatMul"), count(&made, "Gemm"), count(&made, "MatMulInteger")), (2, 0, 1));
    assert!(made.initializer("a") == model().initializer("a") && made.initializer("b.bias").is_some());
}

#[test]
fn a_unit_that_is_not_there_is_named() {
    let error = int8::rewrite(
        &mut model(),
        &[("d".to_owned(), Form::Int8Weight)].into(),
        &Integers::default().into(),
    );
    assert!(error.unwrap_err().to_string().starts_with("unit d: expected a matrix"));
    let integers = Integers { weight_bits: 6, ..Integers::default() };
    let error = int8::rewrite(&mut model(), &all(Form::Int8Dynamic), &integers.into()).unwrap_err();
    assert_eq!(error.to_string(), "weight_bits: expected 7 or 8, got 6");
}

#[test]
fn a_weight_that_is_not_finite_is_named() {
    let mut broken = model();
    let graph = broken.graph_mut();
    let weight = graph.initializer.iter_mut().find(|tensor| tensor.name() == "b").unwrap();
    let mut values = tensor::to_f32s(weight).unwrap();
    values[7] = f32::INFINITY;
    *weight = tensor::f32s("b", &[8, 5], &values).unwrap();
    let error = units(&mut broken).unwrap_err();
    assert_eq!(error.to_string(), "weight b: value 7 is inf, not a finite number");
}

#[test]
fn half_precision_computes_products_and_keeps_norms_and_what_depends_on_levels() {
    for half in [Half::Fp16, Half::Bf16] {
        let mut made = model();
        let kept = half_precision::kept(&made, half, &BTreeMap::new(), 4.0).unwrap();
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        assert_eq!(names, ["/levels/MatMul", "/norm/LayerNormalization"]);
        half_precision::convert(&mut made, half, &kept).unwrap();
        assert_eq!(made.outputs().unwrap(), model().outputs().unwrap(), "outputs stay single");
        assert_eq!(made.inputs().unwrap(), model().inputs().unwrap());
        let types = made.infer_shapes().unwrap();
        let of = |node: &str| {
            let node = made.graph().node.iter().find(|found| found.name() == node).unwrap();
            types[&node.output[0]].data_type
        };
        assert_eq!(of("/first/MatMul"), half.data_type());
        assert_eq!(of("/second/Gemm"), half.data_type());
        assert_eq!(of("/back/Reshape"), half.data_type(), "what only moves values takes them as they are");
        assert_eq!(of("/norm/LayerNormalization"), DataType::Float);
        assert_eq!(of("/levels/MatMul"), DataType::Float);
        // The graph says each conversion once.
        let casts: Vec<_> = made.graph().node.iter().filter(|node| node.op_type() == "Cast").collect();
        let mut inputs: Vec<_> = casts.iter().map(|cast| (&cast.input[0], &cast.attribute)).collect();
        let before = inputs.len();
        inputs.dedup();
        assert_eq!(inputs.len(), before);
    }
}

#[test]
fn a_value_beyond_half_precision_keeps_its_nodes_and_names_it() {
    let measured = [("/first/MatMul".to_owned(), 30_000.0), ("/second/Gemm".to_owned(), f32::NAN)].into();
    let kept = half_precision::kept(&model(), Half::Fp16, &measured, 4.0).unwrap();
    assert_eq!(kept["/first/MatMul"], "/first/MatMul reaches 3.0000e4, 4 times which float16 does not hold");
    assert!(kept.contains_key("/second/Gemm"), "NaN is beyond everything");
    let kept = half_precision::kept(&model(), Half::Fp16, &measured, 1.0).unwrap();
    assert!(!kept.contains_key("/first/MatMul"));
    let kept = half_precision::kept(&model(), Half::Bf16, &measured, 4.0).unwrap();
    assert!(!kept.contains_key("/first/MatMul"));
}

#[test]
fn a_weight_beyond_half_precision_stays_single() {
    let mut made = model();
    let weight = made.graph_mut().initializer.iter_mut().find(|tensor| tensor.name() == "a").unwrap();
    *weight = tensor::f32s("a", &[600, 8], &vec![1e6; 4800]).unwrap();
    let kept = half_precision::kept(&made, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
    assert!(kept["/first/MatMul"].starts_with("a reaches 1.0000e6"));
    half_precision::convert(&mut made, Half::Fp16, &kept).unwrap();
    assert_eq!(tensor::data_type(made.initializer("a").unwrap()), DataType::Float);
}

#[test]
fn an_operator_of_which_nothing_is_known_is_kept() {
    let mut made = model();
    for node in &mut made.graph_mut().node {
        if node.op_type() == "LayerNormalization" {
            node.op_type = Some("Softmax".into());
            node.input.truncate(1);
        }
    }
    let kept = half_precision::kept(&made, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
    assert_eq!(kept["/norm/LayerNormalization"], "Softmax is kept in single precision");
    for node in &mut made.graph_mut().node {
        if node.op_type() == "Softmax" {
            node.op_type = Some("Mystery".into());
        }
    }
    let error = int8::rewrite(&mut made, &all(Form::Int8Weight), &Integers::default().into()).unwrap_err();
    assert!(error.to_string().contains("Mystery"), "{error}");
}

#[test]
fn a_recipe_makes_the_same_graph_again() {
    let folder = std::env::temp_dir().join(format!("avdit-quant-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join("quant.toml");
    let recipe = Recipe {
        schema: Recipe::SCHEMA.into(),
        precision: Precision::Int8Dynamic,
        budget_snr_db: 20.0,
        integers: Integers { weight_bits: 7, ..Integers::default() },
        units: all(Form::Int8Dynamic),
        ranges: Ranges::Percentile,
        smoothing: BTreeMap::new(),
        kept: [("norm".to_owned(), "because".to_owned())].into(),
    };
    std::fs::write(&path, recipe.to_text().unwrap()).unwrap();
    let read = Recipe::read(&path).unwrap();
    assert_eq!(read, recipe);
    let (mut first, mut second) = (model(), model());
    recipe.apply(&mut first, &Calibration::default()).unwrap();
    read.apply(&mut second, &Calibration::default()).unwrap();
    assert_eq!(first, second);
    std::fs::write(&path, recipe.to_text().unwrap().replace("avdit-quant/1", "avdit-quant/9")).unwrap();
    assert!(matches!(Recipe::read(&path), Err(Error::Recipe { .. })));
    std::fs::write(&path, "units = 3").unwrap();
    assert!(Recipe::read(&path).unwrap_err().to_string().contains("quant.toml: "));
    std::fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_kept_node_that_is_not_there_is_refused() {
    let kept: Kept = [("/third/MatMul".to_owned(), "because".to_owned())].into();
    let error = half_precision::convert(&mut model(), Half::Fp16, &kept).unwrap_err();
    assert_eq!(error.to_string(), "kept node /third/MatMul: expected a node of the graph, got no such one");
}
