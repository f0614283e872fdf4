//! External data: `location`, `offset` and `length` of a tensor whose bytes lie in a file beside the model.

use crate::error::{Error, Result};
use crate::proto::tensor_proto::DataLocation;
use crate::proto::{StringStringEntryProto, TensorProto};
use crate::tensor;
use bytes::Bytes;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

/// Where the bytes of a tensor lie.
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Replaces a tensor's data by a reference to a file in the model's folder.
pub(crate) fn refer(tensor: &mut TensorProto, location: &str, offset: u64, length: u64) {
    tensor.raw_data = None;
    tensor.data_location = Some(DataLocation::External as i32);
    tensor.external_data = vec![
        entry("location", location.to_owned()),
        entry("offset", offset.to_string()),
        entry("length", length.to_string()),
    ];
}

/// A key and its value, as external data is told by.
pub(crate) fn entry(key: &str, value: String) -> StringStringEntryProto {
    StringStringEntryProto { key: Some(key.to_owned()), value: Some(value) }
}

/// Reads the bytes of a place.
pub(crate) fn read(place: &Place) -> Result<Bytes> {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(&place.file)?;
        file.seek(SeekFrom::Start(place.offset))?;
        let mut bytes = vec![0; place.length as usize];
        file.read_exact(&mut bytes)?;
        Ok(bytes)
    };
    Ok(read().map_err(Error::io("read", &place.file))?.into())
}

/// Finds the bytes of a tensor of the model at `model`: a file that exists, inside the model's folder, long enough.
pub(crate) fn locate(model: &Path, tensor: &TensorProto) -> Result<Place> {
    let fail = |problem: String| {
        Err(Error::ExternalData { path: model.to_owned(), tensor: tensor.name().to_owned(), problem })
    };
    let get =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value());
    let Some(location) = get("location") else { return fail("it has no location".to_owned()) };
    if location.is_empty() || !Path::new(location).components().all(|c| matches!(c, Component::Normal(_))) {
        return fail(format!("location '{location}' is not a relative path inside the model's folder"));
    }
    let number = |key: &str, default: u64| match get(key) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("{key} '{text}' is not a number")),
    };
    let expected = tensor::byte_len(tensor)? as u64;
    let (offset, length) = match (number("offset", 0), number("length", expected)) {
        (Ok(offset), Ok(length)) => (offset, length),
        (Err(problem), _) | (_, Err(problem)) => return fail(problem),
    };
    if length != expected {
        return fail(format!("it is {length} bytes long, {:?} takes {expected}", tensor.dims));
    }
    let folder = model.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let file = folder.join(location);
    let size = match (file.canonicalize(), folder.canonicalize()) {
        (Err(error), _) => return fail(format!("file {} cannot be opened: {error}", file.display())),
        (Ok(real), Ok(folder)) if !real.starts_with(&folder) => {
            return fail(format!(
                "file {} lies outside the model's folder, at {}",
                file.display(),
                real.display()
            ));
        }
        (Ok(real), _) => real.metadata().map_err(Error::io("read", &file))?.len(),
    };
    if offset.checked_add(length).is_none_or(|end| end > size) {
        let range = format!("{offset}..{}", offset.saturating_add(length));
        return fail(format!("file {} has {size} bytes, bytes {range} are needed", file.display()));
    }
    Ok(Place { file, offset, length })
}
