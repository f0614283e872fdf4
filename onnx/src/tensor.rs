//! Initializers: from values, to values, and into the one form that this crate works with.

use crate::error::{Error, Result};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::{DataLocation, DataType};
use crate::types::element_bytes;
use bytes::Bytes;

/// A tensor from little-endian bytes.
///
/// # Errors
/// [`Error::Tensor`] if the bytes are not as many as `dims` elements of `data_type`.
pub fn raw(name: &str, data_type: DataType, dims: &[usize], data: Bytes) -> Result<TensorProto> {
    let tensor = TensorProto {
        name: Some(name.to_owned()),
        data_type: Some(data_type as i32),
        dims: dims.iter().map(|&dim| dim as i64).collect(),
        raw_data: Some(data),
        ..Default::default()
    };
    check_len(&tensor)?;
    Ok(tensor)
}

/// A tensor of single-precision numbers.
///
/// # Errors
/// As [`raw`].
pub fn f32s(name: &str, dims: &[usize], values: &[f32]) -> Result<TensorProto> {
    raw(name, DataType::Float, dims, values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>().into())
}

/// A vector of 64-bit integers, as shapes, axes and indices are.
///
/// # Errors
/// As [`raw`].
pub fn i64s(name: &str, values: &[i64]) -> Result<TensorProto> {
    let data: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    raw(name, DataType::Int64, &[values.len()], data.into())
}

/// The values of a `Float` tensor; `None` for another type, or if the data lies elsewhere.
pub fn to_f32s(tensor: &TensorProto) -> Option<Vec<f32>> {
    let data = tensor.raw_data.as_ref().filter(|_| data_type(tensor) == DataType::Float)?;
    Some(data.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect())
}

/// The values of an `Int64` tensor; `None` for another type, or if the data lies elsewhere.
pub fn to_i64s(tensor: &TensorProto) -> Option<Vec<i64>> {
    let data = tensor.raw_data.as_ref().filter(|_| data_type(tensor) == DataType::Int64)?;
    Some(data.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes)).collect())
}

/// The type of its elements; `Undefined` if the schema has no such type.
pub fn data_type(tensor: &TensorProto) -> DataType {
    DataType::try_from(tensor.data_type()).unwrap_or(DataType::Undefined)
}

/// Its dimensions.
///
/// # Errors
/// [`Error::Tensor`] if one is negative.
pub fn dims(tensor: &TensorProto) -> Result<Vec<usize>> {
    let dim = |&dim| {
        usize::try_from(dim).map_err(|_| Error::tensor(tensor.name(), format!("dimension {dim} is negative")))
    };
    tensor.dims.iter().map(dim).collect()
}

/// Bytes of its data.
///
/// # Errors
/// [`Error::Tensor`] if its elements have no size of whole bytes, or there are more than memory can address.
pub fn byte_len(tensor: &TensorProto) -> Result<usize> {
    let name = data_type(tensor).as_str_name();
    let element = element_bytes(data_type(tensor))
        .ok_or_else(|| Error::tensor(tensor.name(), format!("elements of type {name} are not supported")))?;
    dims(tensor)?.iter().try_fold(element, |product, &dim| product.checked_mul(dim)).ok_or_else(|| {
        Error::tensor(tensor.name(), format!("dimensions {:?} overflow the size of memory", tensor.dims))
    })
}

/// Whether its data lies in another file.
pub fn is_external(tensor: &TensorProto) -> bool {
    tensor.data_location() == DataLocation::External
}

/// Checks that `raw_data` has as many bytes as the dimensions say.
pub(crate) fn check_len(tensor: &TensorProto) -> Result<()> {
    let (expected, got) = (byte_len(tensor)?, tensor.raw_data.as_ref().map_or(0, Bytes::len));
    if expected == got {
        return Ok(());
    }
    let type_name = data_type(tensor).as_str_name();
    let problem = format!("{type_name} {:?} takes {expected} bytes, got {got}", tensor.dims);
    Err(Error::tensor(tensor.name(), problem))
}

/// Moves data out of the typed fields, which other writers use, into `raw_data`.
pub(crate) fn normalise(tensor: &mut TensorProto) {
    use DataType as T;
    if tensor.raw_data.is_some() || is_external(tensor) {
        return;
    }
    let ints = std::mem::take(&mut tensor.int32_data);
    let data: Vec<u8> = match data_type(tensor) {
        T::Float => std::mem::take(&mut tensor.float_data).iter().flat_map(|x| x.to_le_bytes()).collect(),
        T::Double => std::mem::take(&mut tensor.double_data).iter().flat_map(|x| x.to_le_bytes()).collect(),
        T::Int64 => std::mem::take(&mut tensor.int64_data).iter().flat_map(|x| x.to_le_bytes()).collect(),
        T::Int32 => ints.iter().flat_map(|x| x.to_le_bytes()).collect(),
        T::Uint64 => std::mem::take(&mut tensor.uint64_data).iter().flat_map(|x| x.to_le_bytes()).collect(),
        T::Float16 | T::Bfloat16 | T::Int16 | T::Uint16 => {
            ints.iter().flat_map(|x| (*x as u16).to_le_bytes()).collect()
        }
        T::Int8 | T::Uint8 | T::Bool => ints.iter().map(|x| *x as u8).collect(),
        _ => {
            tensor.int32_data = ints;
            return;
        }
    };
    tensor.raw_data = Some(data.into());
}
