//! What rewriting does to graphs: forms, names, types, what is kept, and what is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use avdit_onnx::{DataType, Dim, ExternalData, GraphBuilder, Model, WriteOptions, attribute, tensor};
use avdit_quantize::half_precision::{self, Half, Kept};
use avdit_quantize::{
    Calibration, Dialect, Error, Form, Integers, Precision, Ranges, Recipe, Settings, int8, units,
};
use std::collections::BTreeMap;
use support::{count, header};

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
    graph.finish(header()).unwrap()
}

fn all(form: Form) -> BTreeMap<String, Form> {
    ["a", "b", "c"].map(|name| (name.to_owned(), form)).into()
}

#[test]
fn units_are_the_matrices_that_activations_are_multiplied_by() {
    let found = units(&mut model()).unwrap();
    let told: Vec<_> = found.iter().map(|unit| (unit.name.as_str(), unit.rows, unit.columns)).collect();
    assert_eq!(told, [("a", 600, 8), ("b", 8, 5), ("c", 2, 5)]);
    assert_eq!(found[0].input(), Some("x"));
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
    let error = int8::rewrite(&mut broken, &all(Form::Int8Weight), &Settings::default()).unwrap_err();
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
fn inputs_and_outputs_are_in_half_precision_where_asked_and_where_nodes_in_half_are_at_them() {
    let mut made = model();
    let kept = half_precision::kept(&made, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
    half_precision::convert_with_ports(&mut made, Half::Fp16, &kept).unwrap();
    let types = |ports: Vec<(String, avdit_onnx::ValueType)>| {
        ports.into_iter().map(|(name, value)| (name, value.data_type)).collect::<BTreeMap<_, _>>()
    };
    let (inputs, outputs) = (types(made.inputs().unwrap()), types(made.outputs().unwrap()));
    let levels = made.graph().node.iter().find(|node| node.name() == "/levels/MatMul").unwrap();
    for (name, data_type) in &inputs {
        let expected = if *name == levels.input[0] { DataType::Float } else { DataType::Float16 };
        assert_eq!(*data_type, expected, "{name}");
    }
    assert!(outputs.values().any(|data_type| *data_type == DataType::Float16), "{outputs:?}");
    let casts_of_ports = made.graph().node.iter().filter(|node| {
        node.op_type() == "Cast" && inputs.get(&node.input[0]).is_some_and(|of| *of == DataType::Float)
    });
    assert_eq!(casts_of_ports.count(), 0);
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
        half_ports: false,
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
    std::fs::write(&path, Recipe { half_ports: true, ..recipe.clone() }.to_text().unwrap()).unwrap();
    let refused = Recipe::read(&path).unwrap_err().to_string();
    assert!(refused.contains("half_ports is for fp16 and bf16, and precision is int8"), "{refused}");
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

#[test]
fn known_ranges_are_said_in_the_words_of_the_target() {
    let ranges = ["a", "b", "c"].map(|name| (name.to_owned(), [-1.0, 3.0])).into();
    for (dialect, op, n) in [
        (Dialect::Portable, "MatMulInteger", 3),
        (Dialect::OrtCpu, "MatMulIntegerToFloat", 3),
        (Dialect::TensorRt, "DequantizeLinear", 6),
    ] {
        let settings = Settings {
            integers: Integers { dialect, ..Integers::default() },
            ranges: BTreeMap::clone(&ranges),
            ..Settings::default()
        };
        let mut made = model();
        int8::rewrite(&mut made, &all(Form::Int8Static), &settings).unwrap();
        assert_eq!((count(&made, op), count(&made, "QuantizeLinear")), (n, 3), "{dialect:?}");
        let zero =
            made.graph().initializer.iter().find(|tensor| tensor.name().ends_with("input_zero")).unwrap();
        let signed = dialect == Dialect::TensorRt;
        assert_eq!(tensor::data_type(zero), if signed { DataType::Int8 } else { DataType::Uint8 });
        assert_eq!(zero.raw_data.as_ref().unwrap()[..], [if signed { 0 } else { 64 }]);
        assert_eq!(made.outputs().unwrap(), model().outputs().unwrap());
    }
    let error = int8::rewrite(&mut model(), &all(Form::Int8Static), &Settings::default()).unwrap_err();
    assert!(
        error.to_string().starts_with("range of the input of unit a: expected one from calibration"),
        "{error}"
    );
}

#[test]
fn what_inputs_are_divided_by_weights_are_multiplied_by() {
    let divisors: Vec<f32> = (0..600).map(|i| if i % 2 == 0 { 4.0 } else { 1.0 }).collect();
    let smoothing = [("a".to_owned(), divisors)].into();
    let mut made = model();
    let settings = Settings { smoothing, ..Settings::default() };
    int8::rewrite(&mut made, &all(Form::Int8Dynamic), &settings).unwrap();
    let factors = made.initializer("/first/MatMul/smoothing").unwrap();
    assert_eq!(tensor::to_f32s(factors).unwrap()[..2], [0.25, 1.0]);
    // The scale of a column follows its largest row, which is now one that is multiplied.
    let scales = |model: &Model| tensor::to_f32s(model.initializer("a.scale").unwrap()).unwrap();
    let mut plain = model();
    int8::rewrite(&mut plain, &all(Form::Int8Dynamic), &Settings::default()).unwrap();
    for (smoothed, plain) in scales(&made).iter().zip(scales(&plain)) {
        assert!((smoothed / plain - 4.0).abs() < 0.1, "{smoothed} {plain}");
    }
    let settings = Settings { smoothing: [("a".to_owned(), vec![1.0; 3])].into(), ..Settings::default() };
    let error = int8::rewrite(&mut model(), &all(Form::Int8Dynamic), &settings).unwrap_err();
    assert_eq!(error.to_string(), "channels that the input of unit a is smoothed in: expected 600, got 3");
}

#[test]
fn a_simulation_rounds_what_a_graph_in_half_would_hold_and_nothing_else() {
    let kept = half_precision::kept(&model(), Half::Bf16, &BTreeMap::new(), 4.0).unwrap();
    let mut made = model();
    half_precision::simulate(&mut made, Half::Bf16, &kept, false).unwrap();
    assert_eq!(made.outputs().unwrap(), model().outputs().unwrap());
    let types = made.infer_shapes().unwrap();
    for node in &made.graph().node {
        if node.op_type() != "Cast" {
            for value in node.input.iter().chain(&node.output) {
                let found = types[value].data_type;
                assert!(
                    matches!(found, DataType::Float | DataType::Int64),
                    "{} {value}: {found:?}",
                    node.name()
                );
            }
        }
    }
    // Down and up: the inputs of the product, the Gemm and the sum (two), and the outputs of these three.
    assert_eq!(count(&made, "Cast"), 2 * (4 + 3));
    let rounded = tensor::to_f32s(made.initializer("a").unwrap()).unwrap();
    assert!(rounded.iter().all(|x| x.to_bits() & 0xffff == 0));
}

#[test]
fn a_simulation_of_ports_rounds_an_input_wherever_it_is_taken() {
    // A norm, which is kept, takes the input as well as the product.
    let mut graph = GraphBuilder::new("both");
    let x = graph.input("x", DataType::Float, vec![Dim::Symbol("batch".into()), 8.into()]).unwrap();
    let a = graph.initializer(tensor::f32s("a", &[8, 8], &[0.5; 64]).unwrap()).unwrap();
    let ones = graph.initializer(tensor::f32s("ones", &[8], &[1.0; 8]).unwrap()).unwrap();
    let product = graph.node("MatMul", "product", &[&x, &a], vec![]).unwrap();
    let norm = graph.node("LayerNormalization", "norm", &[&x, &ones], vec![]).unwrap();
    let y = graph.node("Add", "", &[&product, &norm], vec![]).unwrap();
    graph.output(&y, "y").unwrap();
    let source = graph.finish(header()).unwrap();

    let kept = half_precision::kept(&source, Half::Bf16, &BTreeMap::new(), 4.0).unwrap();
    let (mut made, mut simulated) = (source.clone(), source.clone());
    half_precision::convert_with_ports(&mut made, Half::Bf16, &kept).unwrap();
    let ports = [made.inputs().unwrap(), made.outputs().unwrap()].concat();
    assert!(ports.iter().all(|(_, port)| port.data_type == DataType::Bfloat16), "{ports:?}");
    half_precision::simulate(&mut simulated, Half::Bf16, &kept, true).unwrap();
    assert_eq!(simulated.outputs().unwrap(), source.outputs().unwrap());
    let takes_x = |model: &Model| -> Vec<String> {
        let takers = model.graph().node.iter().filter(|node| node.input.iter().any(|input| input == "x"));
        takers.map(|node| node.op_type().to_owned()).collect()
    };
    assert_eq!(takes_x(&simulated), ["Cast"]);
    let mut without = source.clone();
    half_precision::simulate(&mut without, Half::Bf16, &kept, false).unwrap();
    assert_eq!(takes_x(&without), ["Cast", "LayerNormalization"]);
}

#[test]
fn weights_that_lie_in_a_file_give_the_same_graphs_and_are_linked_for_a_while() {
    let folder = std::env::temp_dir().join(format!("avdit-quant-files-{}", std::process::id()));
    std::fs::create_dir_all(folder.join("for-a-while")).unwrap();
    let path = folder.join("model.onnx");
    let options = WriteOptions { external_data: ExternalData::Always, ..WriteOptions::default() };
    model().write(&path, &options).unwrap();
    let outside = Model::read_graph(&path).unwrap();
    assert!(outside.initializer("a").unwrap().raw_data.is_none());
    for form in [Form::Int8Dynamic, Form::Int4Weight] {
        let (mut inside, mut made) = (model(), outside.clone());
        int8::rewrite(&mut inside, &all(form), &Integers::default().into()).unwrap();
        int8::rewrite(&mut made, &all(form), &Integers::default().into()).unwrap();
        assert_eq!(made.into_proto(), inside.into_proto(), "{form:?}");
    }
    let (mut inside, mut made) = (model(), outside.clone());
    for model in [&mut inside, &mut made] {
        let kept = half_precision::kept(model, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
        half_precision::convert(model, Half::Fp16, &kept).unwrap();
    }
    assert_eq!(made.into_proto(), inside.into_proto());

    // One unit is rewritten, the others' weights are the source's own file.
    let mut made = outside.clone();
    int8::rewrite(&mut made, &[("b".to_owned(), Form::Int8Weight)].into(), &Settings::default()).unwrap();
    let linked = folder.join("for-a-while/model.onnx");
    made.write_linked(&linked, &WriteOptions::default()).unwrap();
    let names: Vec<_> =
        std::fs::read_dir(folder.join("for-a-while")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(names.len() == 2 && names.iter().any(|name| name == "model.onnx_link0"), "{names:?}");
    let copied = folder.join("copy.onnx");
    made.write(&copied, &WriteOptions::default()).unwrap();
    let [linked, copied] = [linked, copied].map(|path| Model::read(path).unwrap());
    assert_eq!(linked, copied);
    assert_eq!(linked.initializer("a"), model().initializer("a"));
    std::fs::remove_dir_all(&folder).unwrap();
}
