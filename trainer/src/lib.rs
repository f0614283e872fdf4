//! Training on Candle: the interpreter of networks, the objective, the loop, checkpoints.

pub mod error;
pub mod ops;

pub use error::{Error, Result};
