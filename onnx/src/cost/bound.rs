//! The shape of every value as numbers.

use crate::check::infer_node;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::proto::NodeProto;
use crate::tensor;
use crate::types::{DataType, Dim, ValueType, element_bytes};
use std::collections::{BTreeMap, HashMap};

/// A value whose shape is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value {
    pub(super) shape: Vec<usize>,
    pub(super) data_type: DataType,
}

impl Value {
    pub(super) fn elements(&self) -> u64 {
        self.shape.iter().map(|&size| size as u64).product()
    }

    /// Elements below a byte are packed in none of what is counted here; they count as one byte.
    pub(super) fn bytes(&self) -> u64 {
        self.elements() * element_bytes(self.data_type).unwrap_or(1) as u64
    }
}

/// Every value of a graph by name.
pub(super) struct Bound {
    values: BTreeMap<String, Value>,
}

impl Bound {
    pub(super) fn of(model: &Model, sizes: &[(&str, usize)]) -> Result<Self> {
        let sizes: HashMap<&str, usize> = sizes.iter().copied().collect();
        let size = |value: &str, dim: &Dim| match dim {
            Dim::Known(size) => Ok(*size),
            Dim::Symbol(name) => product(name, &sizes).ok_or_else(|| {
                let known: Vec<_> = sizes.keys().copied().collect();
                let known = known.join(", ");
                Error::model(format!(
                    "value {value} has the dimension '{name}', sizes are given for: {known}"
                ))
            }),
        };
        let bind = |(name, value_type): (String, ValueType)| {
            let shape = value_type.shape.iter().map(|dim| size(&name, dim)).collect::<Result<_>>()?;
            Ok((name, Value { shape, data_type: value_type.data_type }))
        };
        Ok(Self { values: types(model)?.into_iter().map(bind).collect::<Result<_>>()? })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.values.get(name)
    }

    pub(super) fn bytes(&self, name: &str) -> u64 {
        self.values.get(name).map_or(0, Value::bytes)
    }
}

/// The size of `batch`, or of a product such as `106*batch`.
fn product(symbol: &str, sizes: &HashMap<&str, usize>) -> Option<usize> {
    let factor = |text: &str| sizes.get(text).copied().or_else(|| text.parse().ok());
    symbol
        .split('*')
        .map(|text| factor(text.trim()))
        .try_fold(1usize, |product, size| product.checked_mul(size?))
}

/// As [`Model::infer_shapes`], but a node of an unknown operator is taken at its word.
fn types(model: &Model) -> Result<BTreeMap<String, ValueType>> {
    let is_known = |node: &NodeProto| crate::operators::find(node.domain(), node.op_type()).is_some();
    if model.graph().node.iter().all(is_known) {
        return model.infer_shapes();
    }
    let graph = model.graph();
    let integers: HashMap<_, _> =
        graph.initializer.iter().filter_map(|t| Some((t.name(), tensor::to_i64s(t)?))).collect();
    let declared: HashMap<_, _> = graph
        .value_info
        .iter()
        .chain(&graph.output)
        .filter_map(|declaration| Some((declaration.name(), ValueType::of(declaration)?)))
        .collect();
    let mut types: BTreeMap<String, ValueType> = model.inputs()?.into_iter().collect();
    for initializer in &graph.initializer {
        let value_type = ValueType::known(tensor::data_type(initializer), &tensor::dims(initializer)?);
        types.insert(initializer.name().to_owned(), value_type);
    }
    for node in &graph.node {
        let outputs = match crate::operators::find(node.domain(), node.op_type()) {
            Some(operator) => infer_node(operator, node, &types, &|name| integers.get(name).cloned()),
            None => {
                let problem = "the operator is not known, and the model declares no type for its output";
                let of = |name: &String| {
                    let declared = declared.get(name.as_str()).cloned();
                    declared.ok_or_else(|| crate::check::node_error(node, format!("{problem} {name}")))
                };
                node.output.iter().filter(|name| !name.is_empty()).map(of).collect()
            }
        }?;
        types.extend(node.output.iter().filter(|name| !name.is_empty()).cloned().zip(outputs));
    }
    Ok(types)
}
