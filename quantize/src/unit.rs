//! What can be quantized: products of activations with a matrix of weights.

use crate::error::{Error, Result};
use avdit_onnx::proto::{GraphProto, NodeProto};
use avdit_onnx::{DataType, Model, attribute, tensor};
use std::collections::{BTreeMap, HashMap};

/// A matrix of weights and the nodes that multiply by it: they are quantized together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The name of the matrix, which is the unit's.
    pub name: String,
    /// Its rows: the width of what is multiplied by it.
    pub rows: usize,
    /// Its columns: the width of the product.
    pub columns: usize,
    /// Names of the nodes, in the graph's order.
    pub nodes: Vec<String>,
}

impl Unit {
    /// Numbers in the matrix.
    pub fn len(&self) -> usize {
        self.rows * self.columns
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

/// The units of a model in the order of their first nodes. Every node gets a name if it has none.
///
/// # Errors
/// [`Error::NotFinite`] naming the weight that holds a number that is not finite; [`Error::Onnx`] if the dimensions of
/// an initializer make no sense.
pub fn units(model: &mut Model) -> Result<Vec<Unit>> {
    name_nodes(model.graph_mut());
    let graph = model.graph();
    let initializers: HashMap<&str, _> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let mut order: Vec<String> = Vec::new();
    let mut found: BTreeMap<&str, Unit> = BTreeMap::new();
    for node in &graph.node {
        let Some(weight) = weight_of(node).and_then(|name| initializers.get(name)) else { continue };
        let [rows, columns] = tensor::dims(weight)?[..] else { continue };
        if tensor::data_type(weight) != DataType::Float || rows == 0 || columns == 0 {
            continue;
        }
        let unit = found.entry(weight.name()).or_insert_with(|| {
            order.push(weight.name().to_owned());
            Unit { name: weight.name().to_owned(), rows, columns, nodes: Vec::new() }
        });
        unit.nodes.push(node.name().to_owned());
    }
    for name in found.keys() {
        let values = tensor::to_f32s(initializers[name]).unwrap_or_default();
        if let Some(index) = values.iter().position(|x| !x.is_finite()) {
            let (what, got) = (format!("weight {name}"), values[index]);
            return Err(Error::NotFinite { what, index, got });
        }
    }
    Ok(order.iter().filter_map(|name| found.remove(name.as_str())).collect())
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
