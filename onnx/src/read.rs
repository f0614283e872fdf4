//! Reading a model with its external data.

use crate::error::{Error, Result};
use crate::external;
use crate::model::Model;
use crate::proto::ModelProto;
use crate::tensor;
use bytes::Bytes;
use prost::Message;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

impl Model {
    /// Reads a model and all its data into memory.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::NotAModel`] if it is no ONNX model,
    /// [`Error::ExternalData`] naming the tensor whose external data is missing, too short or outside the folder.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut model = read_message(path)?;
        let mut files: HashMap<PathBuf, Bytes> = HashMap::new();
        for tensor in &mut model.graph_mut().initializer {
            if !tensor::is_external(tensor) {
                continue;
            }
            let place = external::locate(path, tensor)?;
            if !files.contains_key(&place.file) {
                let data = std::fs::read(&place.file).map_err(Error::io("read", &place.file))?;
                files.insert(place.file.clone(), data.into());
            }
            let start = place.offset as usize;
            tensor.raw_data = Some(files[&place.file].slice(start..start + place.length as usize));
            tensor.data_location = None;
            tensor.external_data.clear();
        }
        Ok(model)
    }

    /// Reads a model and leaves its external data where it is: [`Model::data`] reads it tensor by tensor.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be read, [`Error::NotAModel`] if it is no ONNX model,
    /// [`Error::ExternalData`] as [`Model::read`].
    pub fn read_graph(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let mut model = read_message(path)?;
        model.origin = Some(path.to_owned());
        for tensor in model.graph().initializer.iter().filter(|tensor| tensor::is_external(tensor)) {
            external::locate(path, tensor)?;
        }
        Ok(model)
    }

    /// Checks a model on disk and the place of its external data, without reading that data.
    ///
    /// # Errors
    /// As [`Model::read`] and [`Model::check`].
    pub fn verify(path: impl AsRef<Path>) -> Result<()> {
        Self::read_graph(path)?.check()
    }
}

fn read_message(path: &Path) -> Result<Model> {
    let bytes = Bytes::from(std::fs::read(path).map_err(Error::io("read", path))?);
    let problem = |problem: String| Error::NotAModel { path: path.to_owned(), problem };
    if bytes.is_empty() {
        return Err(problem("it is empty".to_owned()));
    }
    let proto = ModelProto::decode(bytes).map_err(|error| problem(error.to_string()))?;
    if proto.graph.is_none() || proto.ir_version.is_none() {
        return Err(problem("it has no graph or no IR version".to_owned()));
    }
    Model::from_proto(proto)
}
