//! Inputs and outputs in half as well.

use super::class::Class;
use super::{Half, Kept};
use avdit_onnx::proto::{GraphProto, ValueInfoProto, type_proto};
use avdit_onnx::{DataType, ValueType};
use std::collections::{BTreeMap, HashMap, HashSet};

/// Inputs in single precision that some node in half takes, as they are or moved: those that kept nodes alone take, such
/// as timesteps, would only be rounded.
pub(super) fn taken_in_half(
    graph: &GraphProto,
    types: &BTreeMap<String, ValueType>,
    kept: &Kept,
) -> HashSet<String> {
    let is_single = |name: &str| types.get(name).is_some_and(super::is_single);
    let inputs = graph.input.iter().map(ValueInfoProto::name).filter(|name| is_single(name));
    // From which inputs a value was moved.
    let mut origins: HashMap<&str, HashSet<&str>> =
        inputs.map(|name| (name, HashSet::from([name]))).collect();
    let mut taken = HashSet::new();
    for node in &graph.node {
        let from: HashSet<&str> =
            node.input.iter().filter_map(|input| origins.get(input.as_str())).flatten().copied().collect();
        match Class::of(node) {
            Class::Half if !kept.contains_key(node.name()) => {
                taken.extend(from.into_iter().map(str::to_owned));
            }
            Class::Moves if !kept.contains_key(node.name()) => {
                for output in &node.output {
                    origins.insert(output, from.clone());
                }
            }
            _ => {}
        }
    }
    taken
}

/// Declares inputs and outputs as half, where `is_half` says so.
pub(super) fn declare(graph: &mut GraphProto, half: Half, is_half: impl Fn(&str) -> bool) {
    for port in graph.input.iter_mut().chain(&mut graph.output) {
        if !is_half(port.name()) {
            continue;
        }
        let value = port.r#type.as_mut().and_then(|of| of.value.as_mut());
        if let Some(type_proto::Value::TensorType(tensor)) = value
            && tensor.elem_type == Some(DataType::Float as i32)
        {
            tensor.elem_type = Some(half.data_type() as i32);
        }
    }
}
