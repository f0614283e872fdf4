//! The error of this crate: every variant names the file or the value it is about.

use std::path::{Path, PathBuf};

/// What can go wrong between a file and a clip, a clip and its latents, latents and a shard.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused to read or write.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },
    /// A file that holds no clip this decoder can read.
    #[error("{}: {what}", path.display())]
    Undecodable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A file that may be sound, but of a kind that this decoder does not read.
    #[error("{}: {what}, which the {decoder} decoder does not read\n\nhint: install ffmpeg, or set AVDIT_FFMPEG to it", path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What about it is not supported.
        what: String,
        /// The decoder's name.
        decoder: &'static str,
    },
    /// A clip that the format cannot hold.
    #[error("{}: cannot be written: {what}", path.display())]
    Unencodable {
        /// The file that was to be written.
        path: PathBuf,
        /// Why not.
        what: String,
    },
    /// A file of our own formats whose contents break the format.
    #[error("{}: {what}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong, with both sides of the disagreement.
        what: String,
    },
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
    /// A folder that another process is writing.
    #[error("{}: another avdit is writing here\n\nhint: wait for it, or choose another folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that holds a dataset already.
    #[error("{}: holds a dataset already\n\nhint: choose another folder, or replace it with --overwrite", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A folder that holds the work of a preparation that has not come to its end.
    #[error("{}: holds what an interrupted prepare has decoded\n\nhint: finish it with the command that began it, remove that folder, or choose another", path.display())]
    Unfinished {
        /// The folder of work.
        path: PathBuf,
    },
    /// Parts of shared work that are not done.
    #[error("{}: {} of {} parts are not done: {}\n\nhint: make each with the same command and --shard i/n", path.display(), missing.len(), missing.first().map_or(0, |part| part.of), missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))]
    MissingParts {
        /// The folder of the dataset.
        path: PathBuf,
        /// The parts.
        missing: Vec<crate::prepare::Part>,
    },
    /// The user stopped the work.
    #[error("{what}: interrupted\n\nhint: run the same command again to go on from here")]
    Interrupted {
        /// What was under way.
        what: String,
    },
    /// The mathematics below refused.
    #[error(transparent)]
    Core(#[from] avdit_core::Error),
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// [`Error::Io`], for `map_err(|source| Error::io(path, source))`.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_owned(), source }
    }

    /// [`Error::Undecodable`].
    pub fn undecodable(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Undecodable { path: path.as_ref().to_owned(), what: what.into() }
    }

    /// [`Error::Unencodable`].
    pub fn unencodable(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Unencodable { path: path.as_ref().to_owned(), what: what.into() }
    }

    /// [`Error::Malformed`].
    pub fn malformed(path: impl AsRef<Path>, what: impl Into<String>) -> Self {
        Self::Malformed { path: path.as_ref().to_owned(), what: what.into() }
    }

    /// `Ok` if `got == expected`, else [`Error::Count`].
    pub fn check_count(what: &str, expected: usize, got: usize) -> Result<()> {
        if expected == got { Ok(()) } else { Err(Self::Count { what: what.to_owned(), expected, got }) }
    }

    /// [`Error::Value`] from anything printable.
    pub fn value(what: impl Into<String>, expected: impl Into<String>, got: impl ToString) -> Self {
        Self::Value { what: what.into(), expected: expected.into(), got: got.to_string() }
    }
}
