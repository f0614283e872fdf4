//! The tensors of foreign files: what is there, and the values of one at a time as f32.

use super::pickle;
use crate::error::{Error, Result};
use avdit_media::tensors::TensorFile;
use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// How a tensor lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) shape: Vec<usize>,
    /// The type of its values; the name of one that no network is made of.
    pub(super) dtype: Result<DType, String>,
    /// Where its first value is, in bytes.
    pub(super) start: u64,
    /// Values from one to the next along each dimension.
    pub(super) strides: Vec<usize>,
}

impl Entry {
    fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Values from the first to the last, both included; those between need not all be of this tensor.
    pub(super) fn span(&self) -> usize {
        let steps = self.shape.iter().zip(&self.strides);
        if self.len() == 0 { 0 } else { 1 + steps.map(|(size, stride)| (size - 1) * stride).sum::<usize>() }
    }
}

/// Steps of a row-major tensor.
pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for i in (1..shape.len()).rev() {
        strides[i - 1] = strides[i] * shape[i];
    }
    strides
}

/// The tensors of one file or of the parts of a checkpoint.
pub(super) struct Sources {
    pub(super) paths: Vec<PathBuf>,
    entries: BTreeMap<String, (usize, Entry)>,
    /// Where in a pickle the tensors were.
    pub(super) key: Option<String>,
}

impl Sources {
    /// Reads what files say of their tensors: PyTorch's zip archives by what they begin with, all others as
    /// safetensors. `key` is where in a pickle the tensors are, where it has several sets.
    ///
    /// # Errors
    /// [`Error::Content`] or a media error naming the file that cannot be understood, or a tensor that two have.
    pub(super) fn open(paths: &[PathBuf], key: Option<&str>) -> Result<Self> {
        let mut sources = Self { paths: paths.to_vec(), entries: BTreeMap::new(), key: None };
        for (i, path) in paths.iter().enumerate() {
            let found = match begins_with(path)? {
                Begin::Zip => {
                    let (entries, key) = pickle::entries(path, key)?;
                    sources.key = sources.key.or(key);
                    entries
                }
                Begin::Pickle => {
                    let what = "a pickle without an archive around it, as PyTorch wrote before version 1.6\n\n\
                        hint: save its tensors again with a present PyTorch, best as safetensors";
                    return Err(Error::content(path, what));
                }
                Begin::Other => safetensors(path)?,
            };
            if found.is_empty() {
                return Err(Error::content(path, "holds no tensors"));
            }
            for (name, entry) in found {
                if let Some((other, _)) = sources.entries.insert(name.clone(), (i, entry)) {
                    let what = format!("tensor {name} is there, and in {} too", paths[other].display());
                    return Err(Error::content(path, what));
                }
            }
        }
        Ok(sources)
    }

    /// Gives every tensor the name that `new` makes of its own, and leaves out those that it makes none of.
    pub(super) fn rename(&mut self, new: impl Fn(&str) -> Option<String>) {
        let all = std::mem::take(&mut self.entries);
        self.entries = all.into_iter().filter_map(|(name, entry)| Some((new(&name)?, entry))).collect();
    }

    /// The file that errors about all of them name.
    pub(super) fn path(&self) -> &Path {
        self.paths.first().map_or(Path::new(""), PathBuf::as_path)
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    pub(super) fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|(_, entry)| entry.shape.as_slice())
    }

    /// The values of a tensor, all finite.
    ///
    /// # Errors
    /// [`Error::Content`] if there is none, it is not of floating-point numbers, or one of them is not finite.
    pub(super) fn load(&self, name: &str) -> Result<Vec<f32>> {
        let (file, entry) =
            self.entries.get(name).ok_or_else(|| Error::content(self.path(), format!("no tensor {name}")))?;
        let path = &self.paths[*file];
        let dtype = entry.dtype.clone().map_err(|other| {
            let what =
                format!("tensor {name} is of type {other}, expected float32, float16, bfloat16 or float64");
            Error::content(path, what)
        })?;
        let mut bytes = vec![0; entry.span() * dtype.size_in_bytes()];
        let mut read = || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(entry.start))?;
            file.read_exact(&mut bytes)
        };
        read().map_err(Error::io(path))?;
        let values = gathered(single(&bytes, dtype)?, entry);
        match values.iter().position(|x| !x.is_finite()) {
            Some(i) => Err(Error::content(path, format!("tensor {name}: value {i} is {}", values[i]))),
            None => Ok(values),
        }
    }
}

fn single(bytes: &[u8], dtype: DType) -> Result<Vec<f32>> {
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let len = bytes.len() / dtype.size_in_bytes();
    let tensor = Tensor::from_raw_buffer(bytes, dtype, &[len], &Device::Cpu)?;
    Ok(tensor.to_dtype(DType::F32)?.to_vec1()?)
}

/// The values of a tensor from all that lie between its first and its last.
fn gathered(values: Vec<f32>, entry: &Entry) -> Vec<f32> {
    if entry.strides == row_major(&entry.shape) {
        return values;
    }
    let mut made = Vec::with_capacity(entry.len());
    let mut place = vec![0; entry.shape.len()];
    for _ in 0..entry.len() {
        made.push(values[place.iter().zip(&entry.strides).map(|(i, stride)| i * stride).sum::<usize>()]);
        for (i, size) in place.iter_mut().zip(&entry.shape).rev() {
            *i += 1;
            if *i < *size {
                break;
            }
            *i = 0;
        }
    }
    made
}

enum Begin {
    Zip,
    Pickle,
    Other,
}

fn begins_with(path: &Path) -> Result<Begin> {
    let mut bytes = Vec::new();
    File::open(path).and_then(|file| file.take(2).read_to_end(&mut bytes)).map_err(Error::io(path))?;
    // A header of safetensors would begin with such a length if it had a multiple of 256 and some bytes: its name tells.
    let named = path.extension().is_some_and(|extension| extension == "safetensors");
    Ok(match bytes.as_slice() {
        b"PK" if !named => Begin::Zip,
        [0x80, 1..=5] if !named => Begin::Pickle,
        _ => Begin::Other,
    })
}

fn safetensors(path: &Path) -> Result<Vec<(String, Entry)>> {
    let file = TensorFile::read(path)?;
    let entry = |name: String| {
        let stored = file.stored(&name)?;
        let dtype = match stored.dtype {
            Dtype::F32 => Ok(DType::F32),
            Dtype::F16 => Ok(DType::F16),
            Dtype::BF16 => Ok(DType::BF16),
            Dtype::F64 => Ok(DType::F64),
            other => Err(format!("{other:?}")),
        };
        let (shape, strides) = (stored.shape.to_vec(), row_major(stored.shape));
        Some((name, Entry { shape, dtype, start: stored.start, strides }))
    };
    Ok(file.names().into_iter().filter_map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_that_is_seen_through_steps_is_put_in_order() {
        // The transpose of (2, 3), and every second value of six.
        let entry = |shape: &[usize], strides: &[usize]| Entry {
            shape: shape.to_vec(),
            dtype: Ok(DType::F32),
            start: 0,
            strides: strides.to_vec(),
        };
        let values: Vec<f32> = (0..6u8).map(f32::from).collect();
        let transposed = entry(&[3, 2], &[1, 3]);
        assert_eq!(transposed.span(), 6);
        assert_eq!(gathered(values.clone(), &transposed), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        let second = entry(&[3], &[2]);
        assert_eq!((second.span(), gathered(values, &second)), (5, vec![0.0, 2.0, 4.0]));
        assert_eq!((entry(&[], &[]).span(), entry(&[0, 2], &[2, 1]).span()), (1, 0));
    }

    #[test]
    fn numbers_of_half_the_size_are_widened_as_they_are() {
        // 1.5 and −2 as float16 and as bfloat16.
        assert_eq!(single(&[0x00, 0x3e, 0x00, 0xc0], DType::F16).unwrap(), [1.5, -2.0]);
        assert_eq!(single(&[0xc0, 0x3f, 0x00, 0xc0], DType::BF16).unwrap(), [1.5, -2.0]);
    }
}
