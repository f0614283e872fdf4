//! What a graph in half precision computes, on an engine that does not compute in it: every value that would be held in
//! half is rounded to it and back.

use super::class::Class;
use super::{Half, Kept, SMALL, check_kept, is_single, ports};
use crate::edit::{Edit, cast_once};
use crate::error::Result;
use avdit_onnx::proto::NodeProto;
use avdit_onnx::{DataType, Model, ValueType, tensor};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Rewrites a model so that its numbers are those of [`convert`](super::convert), up to the order of sums: inputs,
/// weights and outputs of every node that would compute in `half` are rounded to it, and it computes in single
/// precision. Large weights are rounded even where kept nodes take them, as they are stored in half there too. With
/// `with_ports` its numbers are those of [`convert_with_ports`](super::convert_with_ports): inputs that are in half there are
/// rounded wherever they are taken.
///
/// # Errors
/// As [`convert`](super::convert).
pub fn simulate(model: &mut Model, half: Half, kept: &Kept, with_ports: bool) -> Result<()> {
    check_kept(model, kept)?;
    let types = model.infer_shapes()?;
    let mut edit = Edit::of(model.graph());
    let mut rounded = HashMap::new();
    let mut casts = HashMap::new();
    let in_half = |node: &&NodeProto| Class::of(node) == Class::Half && !kept.contains_key(node.name());
    let taken: HashSet<String> =
        model.graph().node.iter().filter(in_half).flat_map(|node| node.input.clone()).collect();
    let source = model.clone();
    let graph = model.graph_mut();
    for tensor in &mut graph.initializer {
        let Some(values) = source.floats(tensor)? else { continue };
        let fits = values.iter().all(|x| x.abs() <= half.largest());
        if taken.contains(tensor.name()) || (fits && values.len() >= SMALL) {
            let values: Vec<f32> = values.into_iter().map(|x| half.round(x)).collect();
            let dims = tensor::dims(tensor)?;
            *tensor = tensor::f32s(tensor.name(), &dims, &values)?;
        }
    }
    let constants: Vec<String> = graph.initializer.iter().map(|tensor| tensor.name().to_owned()).collect();
    for name in constants {
        rounded.insert(name.clone(), name);
    }
    let ports = if with_ports { ports::taken_in_half(source.graph(), &types, kept) } else { HashSet::new() };
    let mut rounded_ports = HashMap::new();
    for port in ports {
        let up = round(&mut edit, &mut rounded, &mut casts, half, &port);
        rounded_ports.insert(port, up);
    }
    for node in &model.graph().node {
        let mut new = node.clone();
        for input in &mut new.input {
            if let Some(up) = rounded_ports.get(input.as_str()) {
                input.clone_from(up);
            }
        }
        if Class::of(node) == Class::Half && !kept.contains_key(node.name()) {
            for input in &mut new.input {
                if types.get(input.as_str()).is_some_and(is_single) {
                    *input = round(&mut edit, &mut rounded, &mut casts, half, input);
                }
            }
        }
        edit.nodes.push(new);
        round_outputs(&mut edit, node, kept, &types, half);
    }
    edit.finish(model, &[]);
    Ok(model.check()?)
}

/// The value rounded, once.
fn round(
    edit: &mut Edit,
    rounded: &mut HashMap<String, String>,
    casts: &mut HashMap<(String, i32), String>,
    half: Half,
    value: &str,
) -> String {
    if let Some(name) = rounded.get(value) {
        return name.clone();
    }
    let down = cast_once(edit, casts, value, half.data_type());
    let up = cast_once(edit, casts, &down, DataType::Float);
    rounded.insert(value.to_owned(), up.clone());
    up
}

/// Values that a node in half puts out: their name stays, and what it computed gets another.
fn round_outputs(
    edit: &mut Edit,
    node: &NodeProto,
    kept: &Kept,
    types: &BTreeMap<String, ValueType>,
    half: Half,
) {
    if Class::of(node) != Class::Half || kept.contains_key(node.name()) {
        return;
    }
    for (i, output) in node.output.iter().enumerate() {
        if types.get(output.as_str()).is_some_and(is_single) {
            let inner = edit.fresh(&format!("{output}/exact"));
            let Some(last) = edit.nodes.iter_mut().rev().find(|made| made.name() == node.name()) else {
                continue;
            };
            last.output[i].clone_from(&inner);
            let down = edit.cast(&inner, half.data_type());
            edit.cast(&down, DataType::Float);
            edit.rename_last(output);
        }
    }
}
