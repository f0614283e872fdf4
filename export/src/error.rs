//! The error of this crate.

use std::path::{Path, PathBuf};

/// Why a network cannot be exported, or a model folder not be written or read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A parameter that the weights do not have.
    #[error("parameter {name}: the network expects {expected:?}, the weights do not have it")]
    MissingParameter {
        /// The parameter.
        name: String,
        /// Its shape.
        expected: Vec<usize>,
    },
    /// A parameter of another shape.
    #[error("parameter {name}: the network expects {expected:?}, the weights have {got:?}")]
    ParameterShape {
        /// The parameter.
        name: String,
        /// Its shape in the network.
        expected: Vec<usize>,
        /// Its shape in the weights.
        got: Vec<usize>,
    },
    /// Weights that no parameter uses.
    #[error("the network does not use {} of the weights: {}", .names.len(), .names.join(", "))]
    UnusedWeights {
        /// Their names.
        names: Vec<String>,
    },
    /// A weight that is NaN or infinite.
    #[error("parameter {name}: value {index} is {got}, not a finite number")]
    NotFinite {
        /// The parameter.
        name: String,
        /// The flat index of the first such value.
        index: usize,
        /// The value.
        got: f32,
    },
    /// The source of the weights failed.
    #[error("parameter {name} cannot be loaded")]
    Load {
        /// The parameter.
        name: String,
        /// The source's own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Something that the graph cannot express, or an option outside what it may be.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What it concerns.
        what: String,
        /// What would have been right.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A file of a model folder.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file of a model folder that cannot be understood.
    #[error("{path} cannot be understood")]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The configuration of the network.
    #[error(transparent)]
    Config(#[from] avdit_nets::avdit::ConfigError),
    /// The configuration of an autoencoder.
    #[error(transparent)]
    Autoencoder(#[from] avdit_nets::codec::ConfigError),
    /// The configuration of a network of any other kind.
    #[error(transparent)]
    Network(#[from] avdit_nets::NetworkError),
    /// A denoiser under validation.
    #[error(transparent)]
    Core(#[from] avdit_core::Error),
    /// The graph.
    #[error(transparent)]
    Onnx(#[from] avdit_onnx::Error),
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn mismatch(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Mismatch { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn json(path: &Path) -> impl FnOnce(serde_json::Error) -> Self {
        move |source| Self::Json { path: path.to_owned(), source }
    }
}
