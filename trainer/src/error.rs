//! What can go wrong in training.

use std::path::{Path, PathBuf};

/// The errors of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Candle failed.
    #[error("candle: {0}")]
    Candle(#[from] candle_core::Error),
    /// A rule of the mathematics was broken.
    #[error(transparent)]
    Core(#[from] avdit_core::Error),
    /// A shard or codec could not be used.
    #[error(transparent)]
    Media(#[from] avdit_media::Error),
    /// A network configuration cannot be built.
    #[error(transparent)]
    Network(#[from] avdit_nets::NetworkError),
    /// An autoencoder cannot be built.
    #[error(transparent)]
    Autoencoder(#[from] avdit_nets::codec::ConfigError),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file's content is not what it must be.
    #[error("{path}: {what}", path = path.display())]
    Content {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A setting of the configuration cannot be used.
    #[error("configuration: {0}")]
    Config(String),
    /// A parameter is missing, left over or of another shape.
    #[error("parameter {name}: {what}")]
    Parameter {
        /// Its full name.
        name: String,
        /// Both sides of the disagreement.
        what: String,
    },
    /// A base other than the one that an adapter was trained on.
    #[error(
        "the adapter was trained on the base whose model.safetensors has SHA-256 {expected}, not on the one that has {got}\n\nhint: give the folder of that base: `sha256sum DIT/model.safetensors` says which one a folder holds, `avdit import CHECKPOINT -o DIT` makes one"
    )]
    OtherBase {
        /// The base that the adapter names.
        expected: String,
        /// The base that was given.
        got: String,
    },
    /// Tensors that an operation of a network cannot take together.
    #[error("a network's operation: {0}")]
    Shape(String),
    /// Parameters that the first backward pass did not reach.
    #[error("{count} of {total} parameters got no gradient on the first step: {names}")]
    NoGradient {
        /// How many.
        count: usize,
        /// Of how many.
        total: usize,
        /// Their names.
        names: String,
    },
    /// Parameters whose gradient is exactly zero where it cannot be: they would never change.
    #[error(
        "{count} of {total} parameters have a gradient of exactly zero at step {step}, where every one of them must have another: {names}"
    )]
    ZeroGradient {
        /// The step, from 1.
        step: usize,
        /// How many.
        count: usize,
        /// Of how many.
        total: usize,
        /// Their names.
        names: String,
    },
    /// The loss or the gradient is not a finite number.
    #[error(
        "{what} is {value} at step {step}\n  {examples}\n  {parameters}\n  {kept}\n\nhint: lower optimizer.lr, or check these clips with `avdit prepare`"
    )]
    NotFinite {
        /// Loss or gradient norm.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The step, from 1.
        step: usize,
        /// The examples of the batch with their levels, those whose error is not finite if there are any.
        examples: String,
        /// The parameters whose gradient is not finite.
        parameters: String,
        /// Where the batch was written, and the newest checkpoint, which is from before.
        kept: String,
    },
    /// Ranks that do not take part any more.
    #[error(
        "lost rank {names} of {of} ranks: {how}\n\nhint: see what that rank said last; go on with --resume from the newest checkpoint",
        names = list(ranks)
    )]
    LostRanks {
        /// Which.
        ranks: Vec<usize>,
        /// Of how many.
        of: usize,
        /// What is known of them.
        how: String,
    },
    /// What went wrong on another rank.
    #[error("rank {rank} of {of} ranks: {what}")]
    OtherRank {
        /// Which.
        rank: usize,
        /// Of how many.
        of: usize,
        /// Its error.
        what: String,
    },
    /// Ranks that do not do the same work.
    #[error(
        "rank {rank} has not what rank 0 has:\n  {what}\n\nhint: start every rank with the same program, configuration and data; `out` must be a folder that all of them share"
    )]
    Unlike {
        /// The first that differs.
        rank: usize,
        /// In what.
        what: String,
    },
    /// The engine that connects ranks failed.
    #[error("{0}")]
    Collective(String),
}

fn list(ranks: &[usize]) -> String {
    ranks.iter().map(usize::to_string).collect::<Vec<_>>().join(", ")
}

/// The result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// For `map_err` on an IO call about `path`.
    pub fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + '_ {
        move |source| Self::Io { path: path.to_owned(), source }
    }

    /// [`Error::Content`] of `path`.
    pub fn content(path: &Path, what: impl ToString) -> Self {
        Self::Content { path: path.to_owned(), what: what.to_string() }
    }
}
