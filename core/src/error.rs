//! The error of this crate and the one that crosses the [`Denoiser`](crate::Denoiser) trait.

/// What can go wrong in the mathematics, or in an engine behind [`Denoiser`](crate::Denoiser).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Two counts that must agree do not.
    #[error("{what}: expected {expected}, got {got}")]
    Count {
        /// What was counted.
        what: String,
        /// The count that was required.
        expected: usize,
        /// The count that was found.
        got: usize,
    },
    /// A value outside what it may be.
    #[error("{what}: {got} is not allowed, expected {expected}")]
    Value {
        /// The name of the value.
        what: String,
        /// What would have been accepted.
        expected: String,
        /// What was given.
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
        got: f64,
    },
    /// An engine failed while predicting.
    #[error("engine {engine} failed")]
    Engine {
        /// The engine's name.
        engine: &'static str,
        /// Its own error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `Ok` if `got == expected`, else [`Error::Count`].
    pub fn check_count(what: &str, expected: usize, got: usize) -> Result<()> {
        if expected == got { Ok(()) } else { Err(Self::Count { what: what.to_owned(), expected, got }) }
    }

    /// [`Error::Value`] from anything printable.
    pub fn value(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Value { what: what.into(), expected: expected.into(), got: got.to_string() }
    }
}
