//! Inputs and outputs of a graph in 16 bits.

use crate::support::{change, engines, latents, model, one_thread, relative};
use avdit_core::{Latents, Levels};
use avdit_onnx::proto::type_proto::Value;
use avdit_onnx::proto::{GraphProto, NodeProto, ValueInfoProto};
use avdit_onnx::{DataType, attribute};
use avdit_runtime::{EngineKind, open};
use half::{bf16, f16};
use std::path::Path;

/// The type and the name of a port, from which `inner` is cast or which is cast into it.
fn narrow(port: &mut ValueInfoProto, element: DataType) -> (String, String) {
    let Some(Value::TensorType(tensor)) = port.r#type.as_mut().and_then(|of| of.value.as_mut()) else {
        panic!("not a tensor")
    };
    tensor.elem_type = Some(element as i32);
    (port.name().to_owned(), format!("{}/single", port.name()))
}

fn cast(from: &str, into: &str, element: DataType) -> NodeProto {
    NodeProto {
        name: Some(format!("/{into}/Cast")),
        op_type: Some("Cast".into()),
        input: vec![from.into()],
        output: vec![into.into()],
        attribute: vec![attribute::int("to", i64::from(element as i32))],
        ..NodeProto::default()
    }
}

/// Latents go in and come out as `element`; levels stay, and the network computes in single precision.
fn in_16_bits(graph: &mut GraphProto, element: DataType) {
    let mut renamed = Vec::new();
    let mut first = Vec::new();
    for input in graph.input.iter_mut().filter(|input| !input.name().ends_with("timesteps")) {
        let (name, inner) = narrow(input, element);
        first.push(cast(&name, &inner, DataType::Float));
        renamed.push((name, inner));
    }
    for output in &mut graph.output {
        let (name, inner) = narrow(output, element);
        graph.node.push(cast(&inner, &name, element));
        renamed.push((name, inner));
    }
    let n = graph.node.len() - graph.output.len();
    for value in graph.node[..n].iter_mut().flat_map(|node| node.input.iter_mut().chain(&mut node.output)) {
        if let Some((_, inner)) = renamed.iter().find(|(name, _)| name == value) {
            value.clone_from(inner);
        }
    }
    graph.node.splice(0..0, first);
}

fn predicted(folder: &Path, kind: EngineKind, round: impl Fn(f32) -> f32) -> Vec<f32> {
    let mut engine = open(folder, kind, &one_thread()).unwrap();
    let mut noisy = latents(engine.spec(), 1);
    noisy.video.iter_mut().chain(&mut noisy.audio).for_each(|x| *x = round(*x));
    let mut out = Latents::zeros(&engine.spec().layout, 1);
    let levels = Levels::repeat(&[10.0, 400.0, 0.0, 999.0], 1);
    engine.predict(&noisy, &levels, &mut out).unwrap();
    [out.video, out.audio].concat()
}

#[test]
fn latents_in_16_bits_are_rounded_on_the_way_in_and_on_the_way_out_and_nowhere_else() {
    let round = |element: DataType| match element {
        DataType::Float16 => |x: f32| f16::from_f32(x).to_f32(),
        _ => |x: f32| bf16::from_f32(x).to_f32(),
    };
    let single = model();
    for kind in engines() {
        for element in [DataType::Float16, DataType::Bfloat16] {
            let folder = model();
            change(folder.path(), |model| in_16_bits(model.graph_mut(), element));
            if (kind, element) == (EngineKind::Tract, DataType::Bfloat16) {
                let error = open(folder.path(), kind, &one_thread()).err().unwrap().to_string();
                assert!(error.contains("bfloat16, which tract does not compute in"), "{error}");
                continue;
            }
            let round = round(element);
            let wanted: Vec<f32> = predicted(single.path(), kind, round).into_iter().map(round).collect();
            let found = predicted(folder.path(), kind, |x| x);
            // Casts may change how an engine fuses: a value that lies between two of 16 bits may go to the other one.
            let step = if element == DataType::Float16 { 1e-3 } else { 8e-3 };
            let off = relative(&wanted, &found);
            assert!(off <= step, "{kind} {element:?}: {off:.1e}");
            let same = wanted.iter().zip(&found).filter(|(a, b)| a.to_bits() == b.to_bits()).count();
            assert!(same * 10 >= wanted.len() * 9, "{kind} {element:?}: {same} of {}", wanted.len());
            assert!(found.iter().all(|x| round(*x).to_bits() == x.to_bits()), "{kind} {element:?}");
        }
    }
}
