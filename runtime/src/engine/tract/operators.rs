//! What in a graph tract cannot take, found before it tries.

use std::collections::BTreeSet;
use tract_onnx::pb;

/// Operators of other domains that tract would take for ONNX's operator of the same name, whose inputs differ.
const MISTAKEN: [(&str, &str); 1] = [("com.microsoft", "Attention")];

const HINT: &str = "\n\nhint: `avdit export --target portable` writes a graph that it runs";

/// More axes than any tensor has.
const MAX_RANK: u64 = 64;

/// Why tract cannot take a graph, if that can be seen in its nodes.
pub(super) fn refusal(onnx: &tract_onnx::Onnx, graph: &pb::GraphProto) -> Option<String> {
    if let Some(names) = missing(onnx, graph) {
        let hint = if names.contains("com.microsoft") { HINT } else { "" };
        return Some(format!("it does not have the operators {names}{hint}"));
    }
    let own_threads = ("com.microsoft", "MultiHeadAttention");
    if graph.node.iter().any(|node| (node.domain.as_str(), node.op_type.as_str()) == own_threads) {
        let reason =
            "its com.microsoft.MultiHeadAttention takes threads that it was not given, and twice the time";
        return Some(format!("{reason}{HINT}"));
    }
    graph.node.iter().find_map(|node| {
        let wrong = node.attribute.iter().find(|attribute| is_endless(&node.op_type, attribute))?;
        let value = if wrong.name == "axis" { format!("{}", wrong.i) } else { format!("{:?}", wrong.ints) };
        Some(format!("{} {value} of node {} ({}) names no axes", wrong.name, node.name, node.op_type))
    })
}

/// Axes from which tract does not return: a transposition that is none, an axis that no tensor has.
fn is_endless(op: &str, attribute: &pb::AttributeProto) -> bool {
    match attribute.name.as_str() {
        "perm" if op == "Transpose" => {
            let mut sorted = attribute.ints.clone();
            sorted.sort_unstable();
            !sorted.iter().enumerate().all(|(i, axis)| i as i64 == *axis)
        }
        "axis" => attribute.i.unsigned_abs() > MAX_RANK,
        _ => false,
    }
}

/// The operators that stop a graph, by name, each once.
fn missing(onnx: &tract_onnx::Onnx, graph: &pb::GraphProto) -> Option<String> {
    let is_missing = |node: &&pb::NodeProto| {
        let mistaken = MISTAKEN.contains(&(node.domain.as_str(), node.op_type.as_str()));
        mistaken || !onnx.op_register.0.contains_key(&node.op_type)
    };
    let name = |node: &pb::NodeProto| match node.domain.as_str() {
        "" => node.op_type.clone(),
        domain => format!("{domain}.{}", node.op_type),
    };
    let names: BTreeSet<_> = graph.node.iter().filter(is_missing).map(name).collect();
    if names.is_empty() { None } else { Some(names.into_iter().collect::<Vec<_>>().join(", ")) }
}
