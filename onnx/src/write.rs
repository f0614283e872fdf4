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
use bytes::Bytes;
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

    /// Writes the model. Earlier files of the same names stay as they are until the new ones are complete.
    ///
    /// # Errors
    /// [`Error::Io`] if a file cannot be written, [`Error::TooLarge`] if the model does not fit in one file and
    /// external data is not allowed, [`Error::Model`] if the path has no file name.
    pub fn write(&self, path: impl AsRef<Path>, options: &WriteOptions) -> Result<Written> {
        let path = path.as_ref();
        let name = path.file_name().and_then(|name| name.to_str());
        let name =
            name.ok_or_else(|| Error::model(format!("{} is not the name of a file", path.display())))?;
        let data_name = format!("{name}_data");
        let data_path = path.with_file_name(&data_name);

        let external = match options.external_data {
            ExternalData::Always => true,
            ExternalData::Never => false,
            ExternalData::Auto => self.data_bytes() >= options.auto_bytes,
        };
        let mut proto = self.proto().clone(); // shares the tensors' bytes
        let mut data = None;
        if external {
            let mut file = Pending::create(&data_path)?;
            let mut offset = 0u64;
            for tensor in proto.graph.iter_mut().flat_map(|graph| &mut graph.initializer) {
                let len = tensor.raw_data.as_ref().map_or(0, Bytes::len);
                if len < options.min_tensor_bytes {
                    continue;
                }
                let bytes = tensor.raw_data.take().unwrap_or_default();
                let start = offset + offset.wrapping_neg() % ALIGNMENT;
                file.write(&[0; ALIGNMENT as usize][..(start - offset) as usize])?;
                file.write(&bytes)?;
                offset = start + len as u64;
                external::refer(tensor, &data_name, start, len as u64);
            }
            file.flush()?;
            data = Some(file).filter(|_| offset > 0);
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
