//! What can be quantized: products of activations with a matrix of weights, of activations with each other, and the two
//! of attention where one operator holds them.

use crate::error::Result;
use avdit_onnx::proto::{GraphProto, NodeProto, TensorProto};
use avdit_onnx::{DataType, Dim, Model, ValueType, attribute, tensor};
use std::collections::{BTreeMap, HashMap};

/// What a unit multiplies by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A matrix of weights.
    Weights,
    /// Other activations, as attention does.
    Activations,
    /// Both products of an operator of attention.
    Attention(Heads),
}

/// What an operator of attention is asked: q (batch, queries, heads · width), k (batch, keys, heads · width) and
/// v (batch, keys, heads · value_width).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Heads {
    /// How many heads.
    pub heads: usize,
    /// Rows of q.
    pub queries: usize,
    /// Rows of k and v.
    pub keys: usize,
    /// Numbers of q and k in a head.
    pub width: usize,
    /// Numbers of v in a head.
    pub value_width: usize,
}

/// A matrix of weights and the nodes that multiply by it: they are quantized together or not at all. Or one node that
/// multiplies activations by each other, or is attention.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The name of the matrix, or of the node where there is none.
    pub name: String,
    /// What it multiplies by.
    pub kind: Kind,
    /// Rows of the matrix: the width of what is multiplied by it; 0 without one.
    pub rows: usize,
    /// Its columns: the width of the product; 0 without one.
    pub columns: usize,
    /// Names of the nodes, in the graph's order.
    pub nodes: Vec<String>,
    /// The values that are multiplied by the matrix, in that order, each as it was before a `Reshape` that leaves rows
    /// whole: products that share one need not know. Without a matrix, what its node takes first.
    pub inputs: Vec<String>,
}

impl Unit {
    /// Numbers in the matrix.
    pub fn len(&self) -> usize {
        self.rows * self.columns
    }

    /// The value that it takes, if all its nodes take the same.
    pub fn input(&self) -> Option<&str> {
        let first = self.inputs.first()?;
        self.inputs.iter().all(|input| input == first).then_some(first.as_str())
    }

    /// The value that one of its nodes takes, as [`Unit::inputs`] has it.
    pub(crate) fn input_of(&self, node: &str) -> Option<&str> {
        let place = self.nodes.iter().position(|name| name == node)?;
        self.inputs.get(place).map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The weight of a product that can be quantized: the second input of a `MatMul`, or of a plain `Gemm`.
pub(crate) fn weight_of(node: &NodeProto) -> Option<&str> {
    let is_onnx = matches!(node.domain(), "" | "ai.onnx");
    let plain = |name: &str| attribute::find(node, name).is_none_or(|factor| factor.f() == 1.0);
    let straight = |name: &str| attribute::int_or(node, name, 0) == 0;
    let fits = match node.op_type() {
        "MatMul" => true,
        "Gemm" => ["alpha", "beta"].into_iter().all(plain) && ["transA", "transB"].into_iter().all(straight),
        _ => false,
    };
    (is_onnx && fits).then(|| node.input.get(1).map(String::as_str)).flatten()
}

/// Whether a node is attention of q, k and v alone: without a mask, a bias, or what came before.
fn is_attention(node: &NodeProto) -> bool {
    node.domain() == "com.microsoft"
        && node.op_type() == "MultiHeadAttention"
        && (node.input.len(), node.output.len()) == (3, 1)
        && attribute::int_or(node, "unidirectional", 0) == 0
}

/// The sizes of attention, if they are known.
fn heads_of(node: &NodeProto, types: &BTreeMap<String, ValueType>) -> Option<Heads> {
    let heads = usize::try_from(attribute::int_or(node, "num_heads", 0)).ok().filter(|heads| *heads > 0)?;
    let size = |input: usize| match &types.get(&node.input[input])?.shape[..] {
        [_, Dim::Known(rows), Dim::Known(width)] => Some((*rows, *width)),
        _ => None,
    };
    let ((queries, width), (keys, _), (_, value_width)) = (size(0)?, size(1)?, size(2)?);
    Some(Heads { heads, queries, keys, width: width / heads, value_width: value_width / heads })
}

/// The operators that reshape values, by what they make.
pub(crate) fn reshapes(graph: &GraphProto) -> HashMap<&str, &NodeProto> {
    let is_reshape = |node: &&NodeProto| {
        matches!(node.domain(), "" | "ai.onnx") && node.op_type() == "Reshape" && node.output.len() == 1
    };
    graph.node.iter().filter(is_reshape).map(|node| (node.output[0].as_str(), node)).collect()
}

/// The value before a `Reshape` that leaves its rows whole; itself where it is none's.
fn before<'a>(
    value: &'a str,
    reshapes: &HashMap<&str, &'a NodeProto>,
    types: &BTreeMap<String, ValueType>,
) -> &'a str {
    let row = |value: &str| match types.get(value)?.shape.last()? {
        Dim::Known(row) => Some(*row),
        _ => None,
    };
    let source = reshapes.get(value).and_then(|node| node.input.first());
    let whole = |source: &&String| row(source).is_some_and(|width| row(value) == Some(width));
    source.filter(whole).map_or(value, String::as_str)
}

/// The name of the unit that a node belongs to, if it is one's.
pub(crate) fn unit_of<'a>(node: &'a NodeProto, weights: &HashMap<&str, &TensorProto>) -> Option<&'a str> {
    if is_attention(node) {
        return Some(node.name());
    }
    if weight_of(node).is_some_and(|name| weights.contains_key(name)) {
        return weight_of(node);
    }
    let [a, b] = &node.input[..] else { return None };
    let is_product = weight_of(node).is_some() && node.op_type() == "MatMul";
    let computed = [a, b].into_iter().all(|name| !weights.contains_key(name.as_str()));
    (is_product && computed).then(|| node.name())
}

/// The units of a model in the order of their first nodes. Every node gets a name if it has none.
///
/// # Errors
/// [`Error::Onnx`](crate::Error::Onnx) if the graph is not sound.
pub fn units(model: &mut Model) -> Result<Vec<Unit>> {
    name_nodes(model.graph_mut());
    let types = model.infer_shapes()?;
    let graph = model.graph();
    let weights: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let is_float = |name: &String| types.get(name).is_some_and(|value| value.data_type == DataType::Float);
    let reshapes = reshapes(graph);
    let mut order: Vec<&str> = Vec::new();
    let mut found: BTreeMap<&str, Unit> = BTreeMap::new();
    for node in &graph.node {
        let Some(name) = unit_of(node, &weights) else { continue };
        let (kind, rows, columns) = match weights.get(name) {
            Some(weight) => {
                let [rows, columns] = tensor::dims(weight)?[..] else { continue };
                if tensor::data_type(weight) != DataType::Float || rows == 0 || columns == 0 {
                    continue;
                }
                (Kind::Weights, rows, columns)
            }
            None if !node.input.iter().all(is_float) => continue,
            None if is_attention(node) => match heads_of(node, &types) {
                Some(heads) => (Kind::Attention(heads), 0, 0),
                None => continue,
            },
            None => (Kind::Activations, 0, 0),
        };
        let unit = found.entry(name).or_insert_with(|| {
            order.push(name);
            let (name, nodes, inputs) = (name.to_owned(), Vec::new(), Vec::new());
            Unit { name, kind, rows, columns, nodes, inputs }
        });
        unit.nodes.push(node.name().to_owned());
        let input = node.input[0].as_str();
        let input = if kind == Kind::Weights { before(input, &reshapes, &types) } else { input };
        unit.inputs.push(input.to_owned());
    }
    Ok(order.iter().filter_map(|name| found.remove(name)).collect())
}

/// Gives a name to every node that has none, since recipes and reports speak of nodes by name.
fn name_nodes(graph: &mut GraphProto) {
    for node in &mut graph.node {
        if node.name().is_empty() {
            let output = node.output.first().cloned().unwrap_or_default();
            node.name = Some(format!("{}:{output}", node.op_type()));
        }
    }
}
