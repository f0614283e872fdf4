//! Writing a model: one file, or a file and its external data.
//!
//! External data is `NAME.onnx_data` beside `NAME.onnx`: the bytes of every large tensor one after another, each at a
//! multiple of 4096, so that an engine may map them. Both files are complete under temporary names before either
//! takes its own; the data file first.

use crate::atomic::Pending;
use crate::error::{Error, Result};
use crate::external;
use crate::message::Message;
use crate::model::Model;
use crate::proto::{ModelProto, TensorProto};
use crate::tensor;
use std::collections::HashMap;
use std::path::{Path, PathBuf};

/// Where each tensor of the data file begins is a multiple of this.
const ALIGNMENT: u64 = 4096;
/// What a protobuf message may take.
const MESSAGE_LIMIT: u64 = i32::MAX as u64;

/// Whether tensors go into a file of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ExternalData {
    /// If they are large together.
    #[default]
    Auto,
    /// Yes.
    Always,
    /// No: the model is one file.
    Never,
}

/// How a model is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Whether tensors go into a file of their own.
    pub external_data: ExternalData,
    /// With [`ExternalData::Auto`], the total bytes of tensors from which they do.
    pub auto_bytes: u64,
    /// Tensors below this many bytes stay in the model's file: engines read shapes and axes there.
    pub min_tensor_bytes: usize,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { external_data: ExternalData::Auto, auto_bytes: 64 << 20, min_tensor_bytes: 1024 }
    }
}

/// The files that a model was written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The model's file.
    pub model: PathBuf,
    /// Its external data, if it has any.
    pub data: Option<PathBuf>,
}

impl Model {
    /// The model as the content of a file that holds all its tensors.
    ///
    /// # Errors
    /// [`Error::Model`] if it does not fit in one.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let message = Message::split(self.proto().clone()); // shares the tensors' bytes
        if message.len() > MESSAGE_LIMIT {
            return Err(Error::model(format!("{} bytes do not fit in one file", message.len())));
        }
        let mut content = Vec::with_capacity(message.len() as usize);
        message.write(&mut |bytes| {
            content.extend_from_slice(bytes);
            Ok(())
        })?;
        Ok(content)
    }

    /// Writes the model. Earlier files of the same names stay as they are until the new ones are complete. Data that lies
    /// elsewhere is copied, tensor by tensor.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written, [`Error::TooLarge`] if the model does not fit in one file and
    /// external data is not allowed, [`Error::Model`] if the path has no file name, [`Error::ExternalData`] if data that
    /// lies elsewhere is not there.
    pub fn write(&self, path: impl AsRef<Path>, options: &WriteOptions) -> Result<Written> {
        self.write_with(path.as_ref(), options, self.proto().clone()) // shares the tensors' bytes
    }

    /// Writes the model for a while: files of data that lie elsewhere are linked beside it and not copied, where the file
    /// system can.
    ///
    /// # Errors
    /// As [`Model::write`].
    pub fn write_linked(&self, path: impl AsRef<Path>, options: &WriteOptions) -> Result<Written> {
        let path = path.as_ref();
        let mut proto = self.proto().clone();
        let mut links: HashMap<PathBuf, String> = HashMap::new();
        for tensor in proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if !tensor::is_external(tensor) {
                continue;
            }
            let place = external::locate(self.origin.as_deref().unwrap_or(Path::new("")), tensor)?;
            let name = match links.get(&place.file) {
                Some(name) => name.clone(),
                None => {
                    let name = format!("{}_link{}", file_name(path)?, links.len());
                    link(&place.file, &path.with_file_name(&name))?;
                    links.insert(place.file.clone(), name.clone());
                    name
                }
            };
            external::refer(tensor, &name, place.offset, place.length);
            // What is linked stays where it is.
            tensor.external_data.push(external::entry(LINKED, "1".to_owned()));
        }
        self.write_with(path, options, proto)
    }

    fn write_with(&self, path: &Path, options: &WriteOptions, mut proto: ModelProto) -> Result<Written> {
        let data_name = format!("{}_data", file_name(path)?);
        let data_path = path.with_file_name(&data_name);
        let initializers = || proto.graph.iter().flat_map(|graph| &graph.initializer);
        let all = initializers().filter(|tensor| !is_linked(tensor)).map(len);
        let all = all.sum::<Result<u64>>()?;
        let external = match options.external_data {
            ExternalData::Always => true,
            ExternalData::Never => false,
            ExternalData::Auto => all >= options.auto_bytes,
        };
        let mut data = None;
        if external {
            let mut file = Pending::create(&data_path)?;
            let mut offset = 0u64;
            for tensor in proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
                let len = len(tensor)?;
                if len < options.min_tensor_bytes as u64 || is_linked(tensor) {
                    continue;
                }
                let bytes = self.data(tensor)?;
                let start = offset + offset.wrapping_neg() % ALIGNMENT;
                file.write(&[0; ALIGNMENT as usize][..(start - offset) as usize])?;
                file.write(&bytes)?;
                offset = start + len;
                external::refer(tensor, &data_name, start, len);
                tensor.external_data.push(external::entry(LINKED, "1".to_owned()));
            }
            file.flush()?;
            data = Some(file).filter(|_| offset > 0);
        }
        for tensor in proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
            if is_linked(tensor) {
                tensor.external_data.retain(|entry| entry.key() != LINKED);
            } else if tensor::is_external(tensor) {
                tensor.raw_data = Some(self.data(tensor)?);
                tensor.data_location = None;
                tensor.external_data.clear();
            }
        }
        let message = Message::split(proto);
        let bytes = message.len();
        if bytes > MESSAGE_LIMIT {
            return Err(Error::TooLarge { path: path.to_owned(), bytes, limit: MESSAGE_LIMIT });
        }
        let mut file = Pending::create(path)?;
        message.write(&mut |bytes| file.write(bytes))?;
        file.flush()?;
        let written = Written { model: path.to_owned(), data: data.as_ref().map(|_| data_path.clone()) };
        if let Some(data) = data {
            data.commit()?;
        }
        file.commit()?;
        if written.data.is_none() && data_path.exists() {
            // Of an earlier model under this name.
            std::fs::remove_file(&data_path).map_err(Error::io("remove", &data_path))?;
        }
        Ok(written)
    }
}

/// Marks a tensor whose bytes are where they will stay, while a model is written.
const LINKED: &str = "avdit.linked";

fn is_linked(tensor: &TensorProto) -> bool {
    tensor.external_data.iter().any(|entry| entry.key() == LINKED)
}

/// Bytes of a tensor, wherever they lie.
fn len(tensor: &TensorProto) -> Result<u64> {
    match &tensor.raw_data {
        Some(data) => Ok(data.len() as u64),
        None if tensor::is_external(tensor) => Ok(tensor::byte_len(tensor)? as u64),
        None => Ok(0),
    }
}

fn file_name(path: &Path) -> Result<&str> {
    let name = path.file_name().and_then(|name| name.to_str());
    name.ok_or_else(|| Error::model(format!("{} is not the name of a file", path.display())))
}

/// A second name of a file; a copy where there can be none.
fn link(from: &Path, to: &Path) -> Result<()> {
    let gone = std::fs::remove_file(to);
    if let Err(error) = gone
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(Error::io("remove", to)(error));
    }
    let from = from.canonicalize().map_err(Error::io("read", from))?;
    std::fs::hard_link(&from, to)
        .or_else(|_| std::fs::copy(&from, to).map(|_| ()))
        .map_err(Error::io("write", to))
}
