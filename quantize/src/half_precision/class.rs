//! Which nodes can compute in half, by what they do and by what they depend on.

use crate::error::Result;
use avdit_onnx::proto::NodeProto;
use avdit_onnx::{Dim, Model, ValueType};
use std::collections::{BTreeMap, HashSet};

/// What half precision does to an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// It can compute in it.
    Half,
    /// It computes in single precision: sums of many squares or exponentials, functions of large arguments, and every
    /// operator of which nothing is known.
    Single,
    /// It does not compute.
    Moves,
}

impl Class {
    pub(super) fn of(node: &NodeProto) -> Self {
        match (node.domain(), node.op_type()) {
            (
                "" | "ai.onnx",
                "Add" | "Conv" | "Gelu" | "Gemm" | "MatMul" | "Mul" | "Sigmoid" | "Sub" | "Tanh" | "Where",
            )
            | ("com.microsoft", "FastGelu" | "MultiHeadAttention") => Class::Half,
            (
                "" | "ai.onnx",
                "Concat" | "Gather" | "Identity" | "Reshape" | "Slice" | "Split" | "Transpose",
            ) => Class::Moves,
            _ => Class::Single,
        }
    }
}

/// Numbers of an example above which an input is large whatever the others are.
const LARGE: usize = 256;

/// Nodes that depend on none of the large inputs: of a network that is told levels, what it makes of the levels. An
/// input is large if an example of it has more than [`LARGE`] numbers or half of those of the largest input, or a dimension of
/// no known size but the first.
pub(super) fn conditioning(model: &Model) -> Result<HashSet<String>> {
    let numbers = |value: &ValueType| {
        let sizes = value.shape.iter().skip(1).map(|dim| match dim {
            Dim::Known(size) => *size,
            Dim::Symbol(_) => usize::MAX,
        });
        sizes.fold(1usize, usize::saturating_mul)
    };
    let inputs = model.inputs()?;
    let largest = inputs.iter().map(|(_, value)| numbers(value)).max().unwrap_or_default();
    let large = |value: &ValueType| numbers(value) > LARGE.min(largest / 2);
    let mut depends: BTreeMap<&str, bool> =
        inputs.iter().map(|(name, value)| (name.as_str(), large(value))).collect();
    let none_is_small = depends.values().all(|large| *large);
    let mut found = HashSet::new();
    for node in &model.graph().node {
        let known: Vec<bool> =
            node.input.iter().filter_map(|input| depends.get(input.as_str())).copied().collect();
        let on_large = known.contains(&true);
        // What depends on constants alone is nobody's.
        if !known.is_empty() || node.input.is_empty() {
            for output in &node.output {
                depends.insert(output, on_large);
            }
        }
        if !none_is_small && !on_large && !known.is_empty() {
            found.insert(node.name().to_owned());
        }
    }
    Ok(found)
}
