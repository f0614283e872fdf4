//! Which operators of a graph tract does not have.

use std::collections::BTreeSet;
use tract_onnx::pb;

/// Operators of other domains that tract would take for ONNX's operator of the same name, whose inputs differ.
const MISTAKEN: [(&str, &str); 1] = [("com.microsoft", "Attention")];

/// The operators that stop a graph, by name, each once.
pub(super) fn missing(onnx: &tract_onnx::Onnx, graph: &pb::GraphProto) -> Option<String> {
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
