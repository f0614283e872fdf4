//! A graph under construction.

use crate::check::{infer_node, node_error};
use crate::error::{Error, Result};
use crate::model::Model;
use crate::operators;
use crate::proto::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, StringStringEntryProto,
    TensorProto,
};
use crate::tensor;
use crate::types::{DataType, Dim, ValueType};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Makes a graph node by node, and knows the type of every value made so far.
///
/// Names are paths: `/blocks.3/attn/q/MatMul` is the node that a `MatMul` under the path `attn/q` becomes in the scope
/// `blocks.3`, and the value it makes.
#[derive(Debug, Default)]
pub struct GraphBuilder {
    graph: GraphProto,
    scope: String,
    names: HashSet<String>,
    types: BTreeMap<String, ValueType>,
    integers: HashMap<String, Vec<i64>>,
    constants: HashMap<(i32, Vec<i64>, bytes::Bytes), String>,
    domains: BTreeSet<&'static str>,
}

/// What a model says of itself beside its graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelHeader {
    /// The version of ONNX's operator set.
    pub opset: i64,
    /// The version of the intermediate representation.
    pub ir_version: i64,
    /// Who made it.
    pub producer: String,
    /// The producer's version.
    pub producer_version: String,
    /// What it is.
    pub doc: String,
    /// Metadata, in order.
    pub metadata: Vec<(String, String)>,
}

impl GraphBuilder {
    /// An empty graph.
    pub fn new(name: &str) -> Self {
        Self { graph: GraphProto { name: Some(name.to_owned()), ..Default::default() }, ..Self::default() }
    }

    /// Sets the part of the network that what follows belongs to.
    pub fn set_scope(&mut self, scope: &str) {
        scope.clone_into(&mut self.scope);
    }

    /// The part of the network that what follows belongs to.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The type of a value.
    pub fn value_type(&self, value: &str) -> Option<&ValueType> {
        self.types.get(value)
    }

    /// Declares an input.
    ///
    /// # Errors
    /// [`Error::Value`] if the name is taken.
    pub fn input(&mut self, name: &str, data_type: DataType, shape: Vec<Dim>) -> Result<String> {
        self.claim(name)?;
        let value_type = ValueType { data_type, shape };
        self.graph.input.push(value_type.declare(name));
        self.types.insert(name.to_owned(), value_type);
        Ok(name.to_owned())
    }

    /// Adds a tensor under its own name.
    ///
    /// # Errors
    /// [`Error::Value`] if the name is taken, [`Error::Tensor`] if the data does not fit the dimensions.
    pub fn initializer(&mut self, tensor: TensorProto) -> Result<String> {
        tensor::check_len(&tensor)?;
        let name = tensor.name().to_owned();
        self.claim(&name)?;
        let value_type = ValueType::known(tensor::data_type(&tensor), &tensor::dims(&tensor)?);
        self.types.insert(name.clone(), value_type);
        if let Some(values) = tensor::to_i64s(&tensor) {
            self.integers.insert(name.clone(), values);
        }
        self.graph.initializer.push(tensor);
        Ok(name)
    }

    /// Adds a tensor, or finds the constant that was added with the same content: the name of either. A name that
    /// is taken gets a number.
    ///
    /// # Errors
    /// [`Error::Tensor`] if the data does not fit the dimensions.
    pub fn constant(&mut self, mut tensor: TensorProto) -> Result<String> {
        let data = tensor.raw_data.clone().unwrap_or_default();
        let key = (tensor.data_type(), tensor.dims.clone(), data);
        if let Some(name) = self.constants.get(&key) {
            return Ok(name.clone());
        }
        tensor.name = Some(self.free_name(tensor.name()));
        let name = self.initializer(tensor)?;
        self.constants.insert(key, name.clone());
        Ok(name)
    }

    /// A vector of integers as a constant, named after its values.
    ///
    /// # Errors
    /// As [`GraphBuilder::constant`].
    pub fn integers(&mut self, values: &[i64]) -> Result<String> {
        let name = match values.len() {
            0..=6 => values.iter().map(i64::to_string).collect::<Vec<_>>().join("_"),
            n => format!("{n}_indices"),
        };
        self.constant(tensor::i64s(&format!("int_{name}"), values)?)
    }

    /// A node of one output, under `path` of the scope: the value it makes.
    ///
    /// # Errors
    /// [`Error::Node`] if the operator is not known or the inputs do not fit it.
    pub fn node(
        &mut self,
        op: &str,
        path: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> Result<String> {
        let mut outputs = self.node_in("", op, path, inputs, 1, attributes)?;
        Ok(outputs.remove(0))
    }

    /// A node of any domain and number of outputs: the values it makes.
    ///
    /// # Errors
    /// As [`GraphBuilder::node`].
    pub fn node_in(
        &mut self,
        domain: &str,
        op: &str,
        path: &str,
        inputs: &[&str],
        n_outputs: usize,
        attributes: Vec<AttributeProto>,
    ) -> Result<Vec<String>> {
        let parts = [self.scope.as_str(), path, op].into_iter().filter(|part| !part.is_empty());
        let name = self.free_name(&format!("/{}", parts.collect::<Vec<_>>().join("/")));
        self.names.insert(name.clone());
        let output = |i| if n_outputs == 1 { name.clone() } else { format!("{name}:{i}") };
        let node = NodeProto {
            name: Some(name.clone()),
            op_type: Some(op.to_owned()),
            domain: Some(domain.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: (0..n_outputs).map(output).collect(),
            attribute: attributes,
            ..Default::default()
        };
        let operator =
            operators::find(domain, op).ok_or_else(|| node_error(&node, "the operator is not known"))?;
        let constants = |name: &str| self.integers.get(name).cloned();
        let inferred = infer_node(operator, &node, &self.types, &constants)?;
        self.types.extend(node.output.iter().cloned().zip(inferred));
        self.domains.insert(operator.domain);
        let outputs = node.output.clone();
        self.graph.node.push(node);
        Ok(outputs)
    }

    /// Makes a value an output of the graph, under a name of its own.
    ///
    /// # Errors
    /// [`Error::Value`] if the name is taken or the value does not exist.
    pub fn output(&mut self, value: &str, name: &str) -> Result<()> {
        self.claim(name)?;
        let value_type =
            self.types.get(value).cloned().ok_or_else(|| Error::value(value, "it does not exist"))?;
        self.graph.output.push(value_type.declare(name));
        self.types.insert(name.to_owned(), value_type);
        let is_output = |output: &&mut String| *output == value;
        let made = self.graph.node.iter_mut().flat_map(|node| &mut node.output).find(is_output);
        match made {
            Some(output) if !self.graph.output.iter().any(|other| other.name() == value) => {
                name.clone_into(output);
                let uses = self.graph.node.iter_mut().flat_map(|node| &mut node.input);
                uses.filter(|input| *input == value).for_each(|input| name.clone_into(input));
                self.types.remove(value);
            }
            _ => self.graph.node.push(NodeProto {
                name: Some(format!("/{name}/Identity")),
                op_type: Some("Identity".to_owned()),
                input: vec![value.to_owned()],
                output: vec![name.to_owned()],
                ..Default::default()
            }),
        }
        Ok(())
    }

    /// The finished model, checked.
    ///
    /// # Errors
    /// As [`Model::check`].
    pub fn finish(self, header: ModelHeader) -> Result<Model> {
        let import = |domain: &str, version| OperatorSetIdProto {
            domain: Some(domain.to_owned()),
            version: Some(version),
        };
        let mut opset_import = vec![import("", header.opset)];
        opset_import
            .extend(self.domains.iter().filter(|domain| !domain.is_empty()).map(|domain| import(domain, 1)));
        let entry = |(key, value)| StringStringEntryProto { key: Some(key), value: Some(value) };
        let model = Model::from_proto(ModelProto {
            ir_version: Some(header.ir_version),
            opset_import,
            producer_name: Some(header.producer),
            producer_version: Some(header.producer_version),
            doc_string: Some(header.doc),
            metadata_props: header.metadata.into_iter().map(entry).collect(),
            graph: Some(self.graph),
            ..Default::default()
        })?;
        model.check()?;
        Ok(model)
    }

    fn claim(&mut self, name: &str) -> Result<()> {
        if self.names.insert(name.to_owned()) { Ok(()) } else { Err(Error::value(name, "the name is taken")) }
    }

    fn free_name(&self, name: &str) -> String {
        if !self.names.contains(name) {
            return name.to_owned();
        }
        let numbered = (1..).map(|i| format!("{name}_{i}"));
        numbered.into_iter().find(|name| !self.names.contains(name)).expect("there is no end of numbers")
    }
}
