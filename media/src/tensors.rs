//! Files of named f32 tensors (safetensors), written whole or not at all and the same bytes for the same contents.

use crate::atomic::write_atomically;
use crate::error::{Error, Result};
use safetensors::{Dtype, SafeTensors};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

/// One tensor to write: its name, its shape and its values.
pub struct TensorRef<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its values, row-major; as many as the shape says.
    pub values: &'a [f32],
}

/// Writes tensors in the order given, with the metadata sorted by key: the `safetensors` crate keeps the metadata in a
/// hash map, and so writes other bytes on every run.
///
/// # Errors
/// [`Error::Count`] if values and shape disagree; [`Error::Io`] as [`write_atomically`].
pub fn write_tensors(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[TensorRef<'_>],
) -> Result<()> {
    let mut header = format!("{{\"__metadata__\":{}", serde_json::json!(metadata));
    let mut start = 0;
    for TensorRef { name, shape, values } in tensors {
        Error::check_count(&format!("values of tensor {name}"), shape.iter().product(), values.len())?;
        let end = start + 4 * values.len();
        let name = serde_json::json!(name);
        header +=
            &format!(",{name}:{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
        start = end;
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    write_atomically(path, |file| {
        let mut write = || {
            file.write_all(&(header.len() as u64).to_le_bytes())?;
            file.write_all(header.as_bytes())?;
            tensors
                .iter()
                .flat_map(|tensor| tensor.values)
                .try_for_each(|value| file.write_all(&value.to_le_bytes()))
        };
        write().map_err(|source| Error::io(path, source))
    })
}

/// A file of tensors in memory, its header checked.
pub struct TensorFile {
    path: PathBuf,
    bytes: Vec<u8>,
    /// The file's metadata.
    pub metadata: BTreeMap<String, String>,
}

impl TensorFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Malformed`] if the header or the length is not that of a safetensors file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        let malformed =
            |what: String| Error::malformed(path, format!("not a sound safetensors file: {what}"));
        if let Some(length) = bytes.first_chunk::<8>().map(|length| u64::from_le_bytes(*length))
            && length.saturating_add(8) > bytes.len() as u64
        {
            return Err(malformed(format!(
                "header of {length} bytes announced, file has {} bytes",
                bytes.len()
            )));
        }
        let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| malformed(error.to_string()))?;
        SafeTensors::deserialize(&bytes).map_err(|error| malformed(error.to_string()))?;
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path: path.to_owned(), bytes, metadata })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its tensors, sorted.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the file cannot be read any more.
    pub fn names(&self) -> Result<Vec<String>> {
        let file = SafeTensors::deserialize(&self.bytes);
        let file = file.map_err(|error| Error::malformed(&self.path, error.to_string()))?;
        let mut names: Vec<String> = file.names().into_iter().map(|name| name.to_string()).collect();
        names.sort();
        Ok(names)
    }

    /// A value of the metadata.
    ///
    /// # Errors
    /// [`Error::Malformed`] if there is none.
    pub fn meta(&self, key: &str) -> Result<&str> {
        let found = self.metadata.get(key).map(String::as_str);
        found.ok_or_else(|| Error::malformed(&self.path, format!("metadata lacks the key {key}")))
    }

    /// A value of the metadata that holds JSON.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing or something else.
    pub fn meta_json<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<T> {
        let parsed = serde_json::from_str(self.meta(key)?);
        parsed.map_err(|error| Error::malformed(&self.path, format!("metadata {key}: {error}")))
    }

    /// Checks that the metadata's `format` is the one expected.
    ///
    /// # Errors
    /// [`Error::Malformed`] with both.
    pub fn check_format(&self, expected: &str) -> Result<()> {
        let got = self.meta("format")?;
        if got == expected {
            return Ok(());
        }
        Err(Error::malformed(&self.path, format!("format is {got}, expected {expected}")))
    }

    /// The shape of a tensor and its values.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing or not f32.
    pub fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let malformed = |what: String| Error::malformed(&self.path, format!("tensor {name}: {what}"));
        let file = SafeTensors::deserialize(&self.bytes).map_err(|error| malformed(error.to_string()))?;
        let view = file.tensor(name).map_err(|_| malformed("missing".to_owned()))?;
        if view.dtype() != Dtype::F32 {
            return Err(malformed(format!("has type {:?}, expected F32", view.dtype())));
        }
        let (values, _) = view.data().as_chunks::<4>();
        Ok((view.shape().to_vec(), values.iter().map(|&b| f32::from_le_bytes(b)).collect()))
    }

    /// The values of a tensor of a known shape.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing, not f32, or of another shape.
    pub fn tensor_of(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>> {
        let (shape, values) = self.tensor(name)?;
        if shape == expected {
            return Ok(values);
        }
        Err(Error::malformed(
            &self.path,
            format!("tensor {name}: has shape {shape:?}, expected {expected:?}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(folder: &Path) -> PathBuf {
        let path = folder.join("x.safetensors");
        let metadata = BTreeMap::from([("b".to_owned(), "2\"".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let values = [1.0, -2.5, 3.0, 0.0];
        let tensors = [TensorRef { name: "t", shape: vec![2, 2], values: &values }];
        write_tensors(&path, &metadata, &tensors).unwrap();
        path
    }

    #[test]
    fn tensors_and_metadata_come_back_and_the_bytes_are_the_same_every_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = sample(folder.path());
        let (first, file) = (std::fs::read(&path).unwrap(), TensorFile::read(&path).unwrap());
        assert_eq!(file.tensor("t").unwrap(), (vec![2, 2], vec![1.0, -2.5, 3.0, 0.0]));
        assert_eq!((file.meta("a").unwrap(), file.meta("b").unwrap()), ("1", "2\""));
        sample(folder.path());
        assert_eq!(std::fs::read(&path).unwrap(), first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing but the file is left");
    }

    #[test]
    fn broken_files_are_errors_that_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = sample(folder.path());
        let whole = std::fs::read(&path).unwrap();
        let broken = [
            ("truncated", whole[..whole.len() - 3].to_vec()),
            ("header cut", whole[..20].to_vec()),
            ("oversized length", [&u64::MAX.to_le_bytes(), &whole[8..]].concat()),
            ("not JSON", [&whole[..8], b"x", &whole[9..]].concat()),
            ("empty", Vec::new()),
        ];
        for (what, bytes) in broken {
            std::fs::write(&path, bytes).unwrap();
            let message = TensorFile::read(&path).err().expect(what).to_string();
            assert!(message.contains("x.safetensors: not a sound safetensors file"), "{what}: {message}");
        }
    }
}
