//! Types of values: element type and shape, where a dimension may be a symbol.

use crate::proto::tensor_shape_proto::{Dimension, dimension::Value as DimValue};
use crate::proto::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};
use std::fmt;

pub use crate::proto::tensor_proto::DataType;

/// Bytes of one element; `None` for strings, for what is packed below a byte, and for `Undefined`.
pub fn element_bytes(data_type: DataType) -> Option<usize> {
    use DataType as T;
    match data_type {
        T::Float | T::Int32 | T::Uint32 => Some(4),
        T::Int64 | T::Uint64 | T::Double | T::Complex64 => Some(8),
        T::Float16 | T::Bfloat16 | T::Int16 | T::Uint16 => Some(2),
        T::Int8 | T::Uint8 | T::Bool => Some(1),
        T::Float8e4m3fn | T::Float8e4m3fnuz | T::Float8e5m2 | T::Float8e5m2fnuz | T::Float8e8m0 => Some(1),
        T::Complex128 => Some(16),
        _ => None,
    }
}

/// One dimension of a shape.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Dim {
    /// A size.
    Known(usize),
    /// A size that is known when the graph runs, such as `batch`.
    Symbol(String),
}

impl From<usize> for Dim {
    fn from(size: usize) -> Self {
        Dim::Known(size)
    }
}

impl fmt::Display for Dim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dim::Known(size) => write!(f, "{size}"),
            Dim::Symbol(name) => f.write_str(name),
        }
    }
}

/// Element type and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ValueType {
    /// The type of its elements.
    pub data_type: DataType,
    /// Its dimensions.
    pub shape: Vec<Dim>,
}

impl ValueType {
    /// A type of known dimensions.
    pub fn known(data_type: DataType, dims: &[usize]) -> Self {
        Self { data_type, shape: dims.iter().copied().map(Dim::Known).collect() }
    }

    /// The declaration of a value of this type.
    pub fn declare(&self, name: &str) -> ValueInfoProto {
        let dimension = |dim: &Dim| {
            let value = match dim {
                Dim::Known(size) => DimValue::DimValue(*size as i64),
                Dim::Symbol(name) => DimValue::DimParam(name.clone()),
            };
            Dimension { value: Some(value), ..Default::default() }
        };
        let shape = TensorShapeProto { dim: self.shape.iter().map(dimension).collect() };
        let tensor = type_proto::Tensor { elem_type: Some(self.data_type as i32), shape: Some(shape) };
        let value = Some(type_proto::Value::TensorType(tensor));
        let r#type = Some(TypeProto { value, ..Default::default() });
        ValueInfoProto { name: Some(name.to_owned()), r#type, ..Default::default() }
    }

    /// The type that a declaration states; `None` if it is not a tensor or some dimension has neither size nor name.
    pub fn of(declaration: &ValueInfoProto) -> Option<Self> {
        let type_proto::Value::TensorType(tensor) = declaration.r#type.as_ref()?.value.as_ref()? else {
            return None;
        };
        let dim = |dimension: &Dimension| match dimension.value.as_ref()? {
            DimValue::DimValue(size) => usize::try_from(*size).ok().map(Dim::Known),
            DimValue::DimParam(name) => Some(Dim::Symbol(name.clone())),
        };
        let shape = tensor.shape.as_ref()?.dim.iter().map(dim).collect::<Option<Vec<_>>>()?;
        let data_type = DataType::try_from(tensor.elem_type()).ok()?;
        Some(Self { data_type, shape })
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.data_type.as_str_name().to_ascii_lowercase(), show(&self.shape))
    }
}

/// `(batch, 46, 128)`.
pub(crate) fn show(shape: &[Dim]) -> String {
    let dims: Vec<_> = shape.iter().map(Dim::to_string).collect();
    format!("({})", dims.join(", "))
}
