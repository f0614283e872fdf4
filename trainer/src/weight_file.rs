//! The parameters in a checkpoint's file, read one at a time.

use crate::error::{Error, Result};
use avdit_media::tensors::TensorFile;
use std::collections::BTreeMap;
use std::path::Path;

/// A file that has exactly the tensors it should have. Only its header is in memory.
pub struct WeightFile {
    tensors: TensorFile,
}

impl WeightFile {
    /// Opens a file and compares its header with the shapes that it should have, by name.
    ///
    /// # Errors
    /// [`Error::Content`] naming the first tensor that is missing, left over or of another shape; a media error if
    /// the file cannot be read or is no file of tensors.
    pub fn open(path: &Path, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Self> {
        let tensors = TensorFile::read(path)?;
        if let Some(name) = tensors.names().into_iter().find(|name| !shapes.contains_key(name)) {
            return Err(Error::content(path, format!("tensor {name}: the network has no such parameter")));
        }
        for (name, expected) in shapes {
            tensors.check_shape(name, expected)?;
        }
        Ok(Self { tensors })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        self.tensors.path()
    }

    /// The names of its tensors, sorted.
    pub fn names(&self) -> Vec<String> {
        self.tensors.names()
    }

    /// The shape of a tensor; `None` if it has no such tensor.
    pub fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.tensors.shape(name).map(<[usize]>::to_vec)
    }

    /// The values of a tensor, all finite.
    ///
    /// # Errors
    /// [`Error::Content`] naming the value that is not finite; a media error if the tensor cannot be read.
    pub fn load(&self, name: &str) -> Result<Vec<f32>> {
        let (_, values) = self.tensors.tensor(name)?;
        match values.iter().position(|x| !x.is_finite()) {
            Some(i) => Err(Error::content(self.path(), format!("tensor {name}: value {i} is {}", values[i]))),
            None => Ok(values),
        }
    }
}
