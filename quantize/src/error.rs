//! The error of this crate.

use std::path::{Path, PathBuf};

/// Why a graph cannot be quantized, or how it does cannot be told.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two sides that must agree do not.
    #[error("{what}: expected {expected}, got {got}")]
    Mismatch {
        /// What is compared.
        what: String,
        /// What was required.
        expected: String,
        /// What was found.
        got: String,
    },
    /// A number that is NaN or infinite.
    #[error("{what}: value {index} is {got}, not a finite number")]
    NotFinite {
        /// The tensor.
        what: String,
        /// The flat index of the first such value.
        index: usize,
        /// The value.
        got: f32,
    },
    /// A recipe that cannot be understood.
    #[error("{path}: {problem}")]
    Recipe {
        /// Its file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A file cannot be read or written.
    #[error("cannot {action} {path}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// The graph.
    #[error(transparent)]
    Onnx(#[from] avdit_onnx::Error),
    /// Sampling, or an engine behind it.
    #[error(transparent)]
    Core(#[from] avdit_core::Error),
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// [`Error::Mismatch`] from anything printable.
    pub fn mismatch(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Mismatch { what: what.into(), expected: expected.into(), got: got.to_string() }
    }

    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { action, path: path.to_owned(), source }
    }
}
