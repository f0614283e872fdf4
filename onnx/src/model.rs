//! A model as a whole.

use crate::error::{Error, Result};
use crate::proto::{GraphProto, ModelProto, TensorProto, ValueInfoProto};
use crate::tensor;
use crate::types::ValueType;

/// A `ModelProto` that has a graph, with the data of every initializer in `raw_data`.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    proto: ModelProto,
}

impl Model {
    /// A model from its message.
    ///
    /// # Errors
    /// [`Error::Model`] if it has no graph.
    pub fn from_proto(mut proto: ModelProto) -> Result<Self> {
        let graph = proto.graph.as_mut().ok_or_else(|| Error::model("it has no graph"))?;
        graph.initializer.iter_mut().for_each(tensor::normalise);
        Ok(Self { proto })
    }

    /// Its message.
    pub fn proto(&self) -> &ModelProto {
        &self.proto
    }

    /// Its message, taken.
    pub fn into_proto(self) -> ModelProto {
        self.proto
    }

    /// Its graph.
    pub fn graph(&self) -> &GraphProto {
        self.proto.graph.as_ref().expect("from_proto has seen it")
    }

    /// Its graph, to change.
    pub fn graph_mut(&mut self) -> &mut GraphProto {
        self.proto.graph.as_mut().expect("from_proto has seen it")
    }

    /// The version of the intermediate representation.
    pub fn ir_version(&self) -> i64 {
        self.proto.ir_version()
    }

    /// The declared version of an operator set; `""` is ONNX's own.
    pub fn opset(&self, domain: &str) -> Option<i64> {
        let import = self.proto.opset_import.iter().find(|import| same_domain(import.domain(), domain))?;
        Some(import.version())
    }

    /// The initializer of a name.
    pub fn initializer(&self, name: &str) -> Option<&TensorProto> {
        self.graph().initializer.iter().find(|tensor| tensor.name() == name)
    }

    /// Bytes of all initializers that are in memory.
    pub fn data_bytes(&self) -> u64 {
        let len = |tensor: &TensorProto| tensor.raw_data.as_ref().map_or(0, |data| data.len() as u64);
        self.graph().initializer.iter().map(len).sum()
    }

    /// The model's metadata under a key.
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.proto.metadata_props.iter().find(|entry| entry.key() == key).map(|entry| entry.value())
    }

    /// Names and types of the inputs that are not initializers, in order.
    ///
    /// # Errors
    /// [`Error::Value`] if one has no complete type.
    pub fn inputs(&self) -> Result<Vec<(String, ValueType)>> {
        let free = self.graph().input.iter().filter(|input| self.initializer(input.name()).is_none());
        free.map(typed).collect()
    }

    /// Names and types of the outputs, in order.
    ///
    /// # Errors
    /// [`Error::Value`] if one has no complete type.
    pub fn outputs(&self) -> Result<Vec<(String, ValueType)>> {
        self.graph().output.iter().map(typed).collect()
    }
}

fn typed(declaration: &ValueInfoProto) -> Result<(String, ValueType)> {
    let value_type = ValueType::of(declaration)
        .ok_or_else(|| Error::value(declaration.name(), "it has no complete tensor type"))?;
    Ok((declaration.name().to_owned(), value_type))
}

/// `ai.onnx` is another name of the empty domain.
pub(crate) fn same_domain(a: &str, b: &str) -> bool {
    let canonical = |domain: &str| if domain == "ai.onnx" { String::new() } else { domain.to_owned() };
    canonical(a) == canonical(b)
}
