//! Whether a model says what it means: names, operators, types, shapes, data.

use crate::error::{Error, Result};
use crate::infer::Site;
use crate::model::Model;
use crate::operators::{self, Operator};
use crate::proto::{NodeProto, TensorProto};
use crate::tensor;
use crate::types::ValueType;
use std::collections::{BTreeMap, HashMap, HashSet};

impl Model {
    /// Checks the model, without reading any file.
    ///
    /// # Errors
    /// The first disagreement, in the order initializers, inputs, nodes, outputs: a name that is used twice or
    /// before it is defined, an operator that is not known or whose domain is not declared, types or shapes that do
    /// not fit, data of the wrong length. The error names the node, value or tensor.
    pub fn check(&self) -> Result<()> {
        if self.ir_version() < 3 {
            return Err(Error::model(format!("IR version {} is not supported", self.ir_version())));
        }
        let types = self.infer_shapes()?;
        let graph = self.graph();
        if graph.output.is_empty() {
            return Err(Error::model("it has no outputs"));
        }
        for declaration in graph.output.iter().chain(&graph.value_info) {
            let name = declaration.name();
            let inferred =
                types.get(name).ok_or_else(|| Error::value(name, "it is declared, but nothing makes it"))?;
            let declared =
                ValueType::of(declaration).ok_or_else(|| Error::value(name, "it has no complete type"))?;
            if *inferred != declared {
                return Err(Error::value(name, format!("declared as {declared}, but it is {inferred}")));
            }
        }
        Ok(())
    }

    /// The type of every value in the graph, by name.
    ///
    /// # Errors
    /// As [`Model::check`], apart from what concerns outputs.
    pub fn infer_shapes(&self) -> Result<BTreeMap<String, ValueType>> {
        let graph = self.graph();
        let initializers = named_initializers(&graph.initializer)?;
        let constants = |name: &str| initializers.get(name).and_then(|tensor| tensor::to_i64s(tensor));
        let mut types = BTreeMap::new();
        for (name, tensor) in &initializers {
            types.insert(
                (*name).to_owned(),
                ValueType::known(tensor::data_type(tensor), &tensor::dims(tensor)?),
            );
        }
        for (name, value_type) in self.inputs()? {
            define(&mut types, &name, value_type)?;
        }
        let mut node_names = HashSet::new();
        for node in &graph.node {
            if !node.name().is_empty() && !node_names.insert(node.name()) {
                return Err(node_error(node, "another node has the same name"));
            }
            let operator = self.operator(node)?;
            for (output, value_type) in
                node.output.iter().zip(infer_node(operator, node, &types, &constants)?)
            {
                define(&mut types, output, value_type)?;
            }
        }
        Ok(types)
    }

    fn operator(&self, node: &NodeProto) -> Result<&'static Operator> {
        let operator = operators::find(node.domain(), node.op_type())
            .ok_or_else(|| node_error(node, "the operator is not known"))?;
        let version = self.opset(node.domain()).ok_or_else(|| {
            node_error(node, format!("the model declares no opset of domain '{}'", node.domain()))
        })?;
        if version < operator.since {
            let since = operator.since;
            return Err(node_error(node, format!("it needs opset {since}, the model declares {version}")));
        }
        Ok(operator)
    }
}

fn named_initializers(initializers: &[TensorProto]) -> Result<HashMap<&str, &TensorProto>> {
    let mut named = HashMap::new();
    for tensor in initializers {
        if tensor.name().is_empty() {
            return Err(Error::tensor("''", "an initializer has no name"));
        }
        if !tensor::is_external(tensor) {
            tensor::check_len(tensor)?;
        }
        if named.insert(tensor.name(), tensor).is_some() {
            return Err(Error::tensor(tensor.name(), "another initializer has the same name"));
        }
    }
    Ok(named)
}

fn define(types: &mut BTreeMap<String, ValueType>, name: &str, value_type: ValueType) -> Result<()> {
    if name.is_empty() {
        return Ok(());
    }
    match types.insert(name.to_owned(), value_type) {
        None => Ok(()),
        Some(_) => Err(Error::value(name, "it is defined twice")),
    }
}

/// The types of a node's outputs.
pub(crate) fn infer_node(
    operator: &Operator,
    node: &NodeProto,
    types: &BTreeMap<String, ValueType>,
    constants: &dyn Fn(&str) -> Option<Vec<i64>>,
) -> Result<Vec<ValueType>> {
    for (what, range, got) in
        [("inputs", &operator.inputs, node.input.len()), ("outputs", &operator.outputs, node.output.len())]
    {
        if !range.contains(&got) {
            let expected = match (*range.start(), *range.end()) {
                (low, high) if low == high => format!("{low}"),
                (low, usize::MAX) => format!("at least {low}"),
                (low, high) => format!("{low} to {high}"),
            };
            return Err(node_error(node, format!("it takes {expected} {what}, got {got}")));
        }
    }
    let mut inputs = Vec::new();
    for name in &node.input {
        let known = types.get(name);
        if known.is_none() && !name.is_empty() {
            return Err(node_error(node, format!("input {name} is not defined before it")));
        }
        inputs.push(known);
    }
    (operator.infer)(&Site { node, inputs, constants }).map_err(|problem| node_error(node, problem))
}

pub(crate) fn node_error(node: &NodeProto, problem: impl Into<String>) -> Error {
    let op = match node.domain() {
        "" => node.op_type().to_owned(),
        domain => format!("{domain}.{}", node.op_type()),
    };
    Error::Node { node: node.name().to_owned(), op, problem: problem.into() }
}
