//! Files of named f32 tensors (safetensors), written whole or not at all and the same bytes for the same contents.

use crate::atomic::write_atomically;
use crate::error::{Error, Result};
use safetensors::Dtype;
use safetensors::tensor::{Metadata as Header, TensorInfo};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

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
    for TensorRef { name, shape, values } in tensors {
        Error::check_count(&format!("values of tensor {name}"), shape.iter().product(), values.len())?;
    }
    let header = header(metadata, tensors.iter().map(|tensor| (tensor.name, tensor.shape.as_slice())));
    write_atomically(path, |file| {
        let mut write = || {
            file.write_all(&header)?;
            tensors
                .iter()
                .flat_map(|tensor| tensor.values)
                .try_for_each(|value| file.write_all(&value.to_le_bytes()))
        };
        write().map_err(|source| Error::io(path, source))
    })
}

/// As [`write_tensors`], with the values of one tensor after the other from `load`, so that no more than one is in
/// memory.
///
/// # Errors
/// As [`write_tensors`], and whatever `load` reports; an earlier file is then still there.
pub fn write_tensors_from<E: From<Error>>(
    path: &Path,
    metadata: &BTreeMap<String, String>,
    tensors: &[(&str, &[usize])],
    mut load: impl FnMut(&str) -> Result<Vec<f32>, E>,
) -> Result<(), E> {
    let mut failed = None;
    let written = write_atomically(path, |file| {
        let io = |source| Error::io(path, source);
        file.write_all(&header(metadata, tensors.iter().copied())).map_err(io)?;
        for &(name, shape) in tensors {
            let values = match load(name) {
                Ok(values) => values,
                Err(error) => {
                    failed = Some(error);
                    return Err(Error::malformed(path, format!("tensor {name}: it has no values")));
                }
            };
            Error::check_count(&format!("values of tensor {name}"), shape.iter().product(), values.len())?;
            values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes())).map_err(io)?;
        }
        Ok(())
    });
    match failed {
        Some(error) => Err(error),
        None => Ok(written?),
    }
}

/// A file's beginning: the length of the JSON that follows, and that.
fn header<'a>(
    metadata: &BTreeMap<String, String>,
    tensors: impl Iterator<Item = (&'a str, &'a [usize])>,
) -> Vec<u8> {
    let mut text = format!("{{\"__metadata__\":{}", serde_json::json!(metadata));
    let mut start = 0;
    for (name, shape) in tensors {
        let end = start + 4 * shape.iter().product::<usize>();
        let name = serde_json::json!(name);
        text +=
            &format!(",{name}:{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}");
        start = end;
    }
    text.push('}');
    while !text.len().is_multiple_of(8) {
        text.push(' ');
    }
    [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat()
}

/// Bytes that are read at once; a multiple of an element's.
const BLOCK: usize = 1 << 20;

/// What a header may take, as in the `safetensors` crate.
const HEADER_LIMIT: u64 = 100_000_000;

/// A file of tensors, its header and length checked. Values are read when they are asked for, so that a file may be
/// larger than memory.
pub struct TensorFile {
    path: PathBuf,
    file: Mutex<File>,
    /// Where the first tensor begins.
    start: u64,
    header: Header,
    /// The file's metadata.
    pub metadata: BTreeMap<String, String>,
}

/// How a tensor lies in a file.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    /// The type of its values.
    pub dtype: Dtype,
    /// Its shape.
    pub shape: &'a [usize],
    /// Where in the file its values begin, in bytes.
    pub start: u64,
    /// How many bytes they are.
    pub bytes: u64,
}

impl TensorFile {
    /// Opens a file and reads its header.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Malformed`] if the header or the length is not that of a safetensors file.
    pub fn read(path: &Path) -> Result<Self> {
        let io = |source| Error::io(path, source);
        let malformed =
            |what: String| Error::malformed(path, format!("not a sound safetensors file: {what}"));
        let mut file = File::open(path).map_err(io)?;
        let size = file.metadata().map_err(io)?.len();
        if size < 8 {
            return Err(malformed(format!("file has {size} bytes")));
        }
        let mut length = [0; 8];
        file.read_exact(&mut length).map_err(io)?;
        let length = u64::from_le_bytes(length);
        let start = length.saturating_add(8);
        if start > size || length > HEADER_LIMIT {
            return Err(malformed(format!("header of {length} bytes announced, file has {size} bytes")));
        }
        let mut text = vec![0; length as usize];
        file.read_exact(&mut text).map_err(io)?;
        let header: Header = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        let end = start.saturating_add(header.data_len() as u64);
        if end != size {
            return Err(malformed(format!("its tensors end at byte {end}, file has {size} bytes")));
        }
        let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
        Ok(Self { path: path.to_owned(), file: Mutex::new(file), start, header, metadata })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        let mut names = self.header.offset_keys();
        names.sort();
        names
    }

    /// The shape of a tensor; `None` if it is not there.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.header.info(name).map(|info| info.shape.as_slice())
    }

    /// How a tensor of any type lies in the file; `None` if it is not there.
    pub fn stored(&self, name: &str) -> Option<Stored<'_>> {
        let info = self.header.info(name)?;
        let (from, to) = info.data_offsets;
        let (start, bytes) = (self.start + from as u64, (to - from) as u64);
        Some(Stored { dtype: info.dtype, shape: &info.shape, start, bytes })
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

    fn f32_info(&self, name: &str) -> Result<&TensorInfo> {
        let malformed = |what: String| Error::malformed(&self.path, format!("tensor {name}: {what}"));
        let info = self.header.info(name).ok_or_else(|| malformed("missing".to_owned()))?;
        if info.dtype != Dtype::F32 {
            return Err(malformed(format!("has type {:?}, expected F32", info.dtype)));
        }
        Ok(info)
    }

    /// The shape of a tensor and its values.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing or not f32, [`Error::Io`] if it cannot be read.
    pub fn tensor(&self, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
        let info = self.f32_info(name)?;
        let (from, to) = info.data_offsets;
        let mut values = Vec::with_capacity((to - from) / 4);
        let mut block = vec![0; BLOCK.min(to - from)];
        let mut read = || {
            // A reader that panicked has left nothing behind but a position, which is set here.
            let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            file.seek(SeekFrom::Start(self.start + from as u64))?;
            for place in (from..to).step_by(BLOCK) {
                let block = &mut block[..BLOCK.min(to - place)];
                file.read_exact(block)?;
                values.extend(block.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)));
            }
            Ok(())
        };
        read().map_err(|source| Error::io(&self.path, source))?;
        Ok((info.shape.clone(), values))
    }

    /// Where in the file the values of a tensor of a known shape begin, in bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing, not f32, or of another shape.
    pub fn place(&self, name: &str, expected: &[usize]) -> Result<u64> {
        self.check_shape(name, expected)?;
        Ok(self.start + self.f32_info(name)?.data_offsets.0 as u64)
    }

    /// Bytes of the file.
    pub fn size(&self) -> u64 {
        self.start + self.header.data_len() as u64
    }

    /// Checks that a tensor is there with this shape.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing or of another shape.
    pub fn check_shape(&self, name: &str, expected: &[usize]) -> Result<()> {
        let what = match self.shape(name) {
            Some(shape) if shape == expected => return Ok(()),
            Some(shape) => format!("has shape {shape:?}, expected {expected:?}"),
            None => "missing".to_owned(),
        };
        Err(Error::malformed(&self.path, format!("tensor {name}: {what}")))
    }

    /// The values of a tensor of a known shape.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is missing, not f32, or of another shape; [`Error::Io`] if it cannot be read.
    pub fn tensor_of(&self, name: &str, expected: &[usize]) -> Result<Vec<f32>> {
        self.check_shape(name, expected)?;
        Ok(self.tensor(name)?.1)
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
    fn tensors_in_turn_make_the_same_file_and_whoever_has_none_says_so_himself() {
        let folder = tempfile::tempdir().unwrap();
        let whole = std::fs::read(sample(folder.path())).unwrap();
        let path = folder.path().join("y.safetensors");
        let metadata = BTreeMap::from([("b".to_owned(), "2\"".to_owned()), ("a".to_owned(), "1".to_owned())]);
        let shapes: [(&str, &[usize]); 1] = [("t", &[2, 2])];
        write_tensors_from::<Error>(&path, &metadata, &shapes, |_| Ok(vec![1.0, -2.5, 3.0, 0.0])).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), whole);
        let refusal = || Err(Error::malformed(Path::new("elsewhere"), "gone"));
        let other = folder.path().join("z.safetensors");
        let error = write_tensors_from::<Error>(&other, &metadata, &shapes, |_| refusal()).unwrap_err();
        assert!(error.to_string().contains("elsewhere") && !other.exists(), "{error}");
        let few = write_tensors_from::<Error>(&other, &metadata, &shapes, |_| Ok(vec![1.0])).unwrap_err();
        assert!(few.to_string().contains("values of tensor t") && !other.exists(), "{few}");
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
