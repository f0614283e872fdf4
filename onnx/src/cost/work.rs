//! The operations of each operator.

use super::bound::{Bound, Value};
use crate::attribute;
use crate::proto::NodeProto;

/// A node with the shapes of what goes in and out.
pub(super) struct Site<'a> {
    node: &'a NodeProto,
    inputs: Vec<Option<&'a Value>>,
    outputs: Vec<&'a Value>,
}

/// What a node computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Work {
    pub(super) multiply_adds: u64,
    pub(super) other_operations: u64,
}

impl<'a> Site<'a> {
    pub(super) fn of(node: &'a NodeProto, bound: &'a Bound) -> Self {
        let inputs = node.input.iter().map(|name| bound.get(name)).collect();
        let outputs = node.output.iter().filter_map(|name| bound.get(name)).collect();
        Self { node, inputs, outputs }
    }

    fn input(&self, place: usize) -> Option<&'a Value> {
        self.inputs.get(place).copied().flatten()
    }

    fn shape(&self, place: usize) -> Option<&'a [usize]> {
        Some(&self.input(place)?.shape)
    }

    fn elements(&self, place: usize) -> u64 {
        self.input(place).map_or(0, Value::elements)
    }

    fn made(&self) -> u64 {
        self.outputs.first().map_or(0, |value| value.elements())
    }

    pub(super) fn output_bytes(&self) -> u64 {
        self.outputs.iter().map(|value| value.bytes()).sum()
    }
}

/// Whether a node only gives its input another shape.
pub(super) fn is_view(site: &Site<'_>) -> bool {
    view(site.node)
}

pub(super) fn view(node: &NodeProto) -> bool {
    matches!(node.op_type(), "Reshape" | "Identity" | "Squeeze" | "Unsqueeze" | "Flatten")
}

/// Whether a node's first output can be written over an input of its size, element by element.
pub(super) fn in_place(node: &NodeProto) -> bool {
    per_element(node.op_type()).is_some_and(|operations| operations > 0)
        || matches!(node.op_type(), "Softmax" | "Gelu" | "FastGelu" | "BiasGelu" | "QuickGelu" | "Swish")
}

/// Bytes that a node reads of an input.
pub(super) fn read_bytes(site: &Site<'_>, place: usize) -> u64 {
    match (site.node.op_type(), place) {
        _ if is_view(site) => 0,
        ("Gather" | "Slice", 0) => site.output_bytes(),
        // Shapes and axes.
        (
            "Slice" | "Split" | "Expand" | "Tile" | "Pad" | "Resize" | "ReduceMax" | "ReduceMean"
            | "ReduceSum",
            1..,
        ) => 0,
        _ => site.input(place).map_or(0, Value::bytes),
    }
}

/// Operations for each element of the output; `None` for an operator that is not of this kind.
fn per_element(op: &str) -> Option<u64> {
    Some(match op {
        "Cast" | "Concat" | "Expand" | "Flatten" | "Gather" | "Identity" | "Pad" | "Reshape" | "Resize"
        | "Slice" | "Split" | "Squeeze" | "Tile" | "Transpose" | "Unsqueeze" | "Shape" | "Constant"
        | "ConstantOfShape" => 0,
        "Abs" | "Add" | "Clip" | "Cos" | "Div" | "Erf" | "Exp" | "Log" | "Max" | "Min" | "Mul" | "Neg"
        | "Pow" | "Reciprocal" | "Relu" | "Sin" | "Sqrt" | "Sub" | "Tanh" | "Where" | "And" | "Equal"
        | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "Or" => 1,
        // Comparison, product.
        "LeakyRelu" => 2,
        // Comparison, exponential, difference.
        "Elu" => 3,
        // Negation, exponential, addition, division.
        "Sigmoid" => 4,
        _ => return None,
    })
}

/// What a node computes; `None` if there is no rule for its operator.
pub(super) fn of(site: &Site<'_>) -> Option<Work> {
    let op = site.node.op_type();
    let other = |other_operations| Some(Work { other_operations, ..Work::default() });
    if let Some(operations) = per_element(op) {
        return other(operations * site.made());
    }
    let size = site.elements(0);
    match op {
        "MatMul" | "MatMulInteger" | "MatMulNBits" => product(site, false, 0),
        "FusedMatMul" => product(site, attribute::int_or(site.node, "transA", 0) != 0, 0),
        // The sum with the product's offset or bias, and the scale that turns integers into numbers.
        "MatMulIntegerToFloat" | "DynamicQuantizeMatMul" => product(site, false, 2),
        "Gemm" | "FusedGemm" => product(site, attribute::int_or(site.node, "transA", 0) != 0, 1),
        "Conv" | "FusedConv" => convolution(site),
        "ConvTranspose" => transposed(site),
        "LSTM" => lstm(site),
        "Attention" | "MultiHeadAttention" => attention(site),
        // Largest, difference, exponential, sum, quotient.
        "Softmax" => other(5 * size),
        // Sum, difference, square, sum, times the root, weight; and the bias.
        "InstanceNormalization" => other(7 * size),
        "LayerNormalization" => other((6 + u64::from(site.input(2).is_some())) * size),
        // Square, sum, times the root, weight; and what is added before the norm.
        "RMSNormalization" | "SimplifiedLayerNormalization" => other(4 * size),
        "SkipLayerNormalization" => other((7 + added(site, 3) + added(site, 4)) * size),
        "SkipSimplifiedLayerNormalization" => other((5 + added(site, 3)) * size),
        // x³ takes two products, then: times, plus x, times, tanh, plus 1, times x, times ½.
        "Gelu" | "FastGelu" | "BiasGelu" => other((9 + added(site, 1)) * size),
        // x · sigmoid(αx).
        "QuickGelu" | "Swish" => other(6 * size),
        "ReduceMean" | "ReduceSum" | "ReduceMax" => other(size),
        // Least and largest, then: quotient, rounding, offset.
        "DynamicQuantizeLinear" => other(5 * size),
        "QuantizeLinear" | "DequantizeLinear" => other(2 * size),
        _ => None,
    }
}

/// 1 if an optional operand of a sum is there.
fn added(site: &Site<'_>, place: usize) -> u64 {
    u64::from(site.input(place).is_some())
}

/// Each element of the output sums as many products as the first matrix is wide.
fn product(site: &Site<'_>, first_is_transposed: bool, per_output: u64) -> Option<Work> {
    let shape = site.shape(0)?;
    let place = shape.len().checked_sub(if first_is_transposed { 2 } else { 1 })?;
    let has_bias = per_output > 0 && (site.node.op_type() != "Gemm" || site.input(2).is_some());
    let other_operations = if has_bias { per_output * site.made() } else { 0 };
    Some(Work { multiply_adds: site.made() * shape[place] as u64, other_operations })
}

/// Each element of the output sums over the window and the channels of its group: all of a filter but its first
/// dimension.
fn convolution(site: &Site<'_>) -> Option<Work> {
    let filter: u64 = site.shape(1)?.get(1..)?.iter().map(|&size| size as u64).product();
    let other_operations = added(site, 2) * site.made();
    Some(Work { multiply_adds: site.made() * filter, other_operations })
}

/// Each element of the input is multiplied with all of a filter but its first dimension.
fn transposed(site: &Site<'_>) -> Option<Work> {
    let filter: u64 = site.shape(1)?.get(1..)?.iter().map(|&size| size as u64).product();
    let other_operations = added(site, 2) * site.made();
    Some(Work { multiply_adds: site.elements(0) * filter, other_operations })
}

/// Four gates see the input and the state; then, for each cell, three sigmoids, two hyperbolic tangents, three products
/// and a sum, and the gates' biases.
fn lstm(site: &Site<'_>) -> Option<Work> {
    let [_, _, cells] = site.shape(2)? else { return None };
    let states = site.made();
    let multiply_adds = 4 * (site.elements(0) * *cells as u64 + states * *cells as u64);
    Some(Work { multiply_adds, other_operations: (18 + 8 * added(site, 3)) * states })
}

/// `softmax(q·kᵀ)·v`: as many products for each score as a head of q is wide, as many for each element of the output
/// as there are keys; 5 operations of the softmax and the scale for each score.
fn attention(site: &Site<'_>) -> Option<Work> {
    let size = |x: usize| x as u64;
    let of = |queries: u64, keys: u64, scores: u64, mixed: u64, projected: u64| {
        Some(Work { multiply_adds: projected + queries * keys + mixed * keys, other_operations: 6 * scores })
    };
    let heads = |name: &str| u64::try_from(attribute::int_or(site.node, name, 1)).ok();
    match (site.node.domain(), site.node.op_type()) {
        // x (batch, rows, width) times weights (width, q + k + v), and then attention of each row to all.
        ("com.microsoft", "Attention") => {
            let ([batch, rows, width], [_, columns]) = (site.shape(0)?, site.shape(1)?) else { return None };
            let all = size(*batch) * size(*rows);
            let q = size(*columns) / 3;
            let scores = all * size(*rows) * heads("num_heads")?;
            of(all * q, size(*rows), scores, site.made(), all * size(*width) * size(*columns))
        }
        // q (batch, rows, width), k (batch, keys, width), v (batch, keys, width).
        ("com.microsoft", _) => {
            let ([batch, rows, _], [_, keys, ..]) = (site.shape(0)?, site.shape(1)?) else { return None };
            let scores = size(*batch) * size(*rows) * size(*keys) * heads("num_heads")?;
            of(site.elements(0), size(*keys), scores, site.made(), 0)
        }
        // q, k, v (batch, heads, rows, width), or (batch, rows, heads · width) with the heads told apart.
        _ => match (site.shape(0)?, site.shape(1)?) {
            ([batch, q_heads, rows, _], [_, _, keys, _]) => {
                let scores = size(*batch) * size(*q_heads) * size(*rows) * size(*keys);
                of(site.elements(0), size(*keys), scores, site.made(), 0)
            }
            ([batch, rows, _], [_, keys, _]) => {
                let scores = size(*batch) * heads("q_num_heads")? * size(*rows) * size(*keys);
                of(site.elements(0), size(*keys), scores, site.made(), 0)
            }
            _ => None,
        },
    }
}
