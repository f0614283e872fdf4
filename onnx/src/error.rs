//! The error of this crate.

use std::path::{Path, PathBuf};

/// Why a model cannot be built, checked, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried: `read`, `write`, ….
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that is not an ONNX model.
    #[error("{path} is not an ONNX model: {problem}")]
    NotAModel {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// External data that is missing, too short, or outside the model's folder.
    #[error("{path}: external data of tensor {tensor}: {problem}")]
    ExternalData {
        /// The model's file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A model too large for one protobuf message.
    #[error(
        "{path}: the model takes {bytes} bytes, more than the {limit} of a protobuf message\n\n\
         hint: write it with external data"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// A node that contradicts its operator or its inputs.
    #[error("node {node} ({op}): {problem}")]
    Node {
        /// The node's name.
        node: String,
        /// Its operator, with the domain unless that is ONNX's own.
        op: String,
        /// What is wrong with it.
        problem: String,
    },
    /// An initializer that contradicts itself.
    #[error("tensor {tensor}: {problem}")]
    Tensor {
        /// The tensor.
        tensor: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A name in the graph that is missing, used twice, or of another type than declared.
    #[error("value {value}: {problem}")]
    Value {
        /// The value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// Something about the model as a whole.
    #[error("model: {problem}")]
    Model {
        /// What is wrong with it.
        problem: String,
    },
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn tensor(tensor: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Tensor { tensor: tensor.into(), problem: problem.into() }
    }

    pub(crate) fn value(value: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Value { value: value.into(), problem: problem.into() }
    }

    pub(crate) fn model(problem: impl Into<String>) -> Self {
        Self::Model { problem: problem.into() }
    }
}
