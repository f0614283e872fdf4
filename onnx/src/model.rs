//! A model as a whole.

use crate::error::{Error, Result};
use crate::external;
use crate::proto::tensor_proto::DataType;
use crate::proto::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto, ValueInfoProto};
use crate::tensor;
use crate::types::ValueType;
use bytes::Bytes;
use std::path::{Path, PathBuf};

/// A `ModelProto` that has a graph, with the data of every initializer in `raw_data`, or in files beside the model that it
/// was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    proto: ModelProto,
    /// The file that external data lies beside.
    pub(crate) origin: Option<PathBuf>,
}

impl Model {
    /// A model from its message.
    ///
    /// # Errors
    /// [`Error::Model`] if it has no graph.
    pub fn from_proto(mut proto: ModelProto) -> Result<Self> {
        let graph = proto.graph.as_mut().ok_or_else(|| Error::model("it has no graph"))?;
        graph.initializer.iter_mut().for_each(tensor::normalise);
        Ok(Self { proto, origin: None })
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

    /// Declares a version of an operator set, unless one is declared.
    pub fn import(&mut self, domain: &str, version: i64) {
        if self.opset(domain).is_none() {
            let import = OperatorSetIdProto { domain: Some(domain.to_owned()), version: Some(version) };
            self.proto.opset_import.push(import);
        }
    }

    /// Makes the version of ONNX's own operator set, and that of the format, at least these. Versions beyond them stay.
    pub fn raise_opset(&mut self, opset: i64, ir_version: i64) {
        self.import("", opset);
        for import in &mut self.proto.opset_import {
            if same_domain(import.domain(), "") && import.version() < opset {
                import.version = Some(opset);
            }
        }
        self.proto.ir_version = Some(self.proto.ir_version().max(ir_version));
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

    /// The bytes of an initializer, from memory or from the file that they lie in.
    ///
    /// # Errors
    /// [`Error::ExternalData`] if they lie elsewhere and cannot be found, [`Error::Io`] if they cannot be read.
    pub fn data(&self, tensor: &TensorProto) -> Result<Bytes> {
        if !tensor::is_external(tensor) {
            return Ok(tensor.raw_data.clone().unwrap_or_default());
        }
        let origin = self.origin.as_deref().unwrap_or(Path::new(""));
        external::read(&external::locate(origin, tensor)?)
    }

    /// The values of a `Float` initializer, wherever they lie; `None` for another type.
    ///
    /// # Errors
    /// As [`Model::data`].
    pub fn floats(&self, tensor: &TensorProto) -> Result<Option<Vec<f32>>> {
        if !tensor::is_external(tensor) {
            return Ok(tensor::to_f32s(tensor));
        }
        if tensor::data_type(tensor) != DataType::Float {
            return Ok(None);
        }
        let data = self.data(tensor)?;
        Ok(Some(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()))
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
