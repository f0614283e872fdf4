//! ONNX to ONNX: the same graph in fewer bits, and the proof that it still computes what it did.
//!
//! Receives a [`Model`](avdit_onnx::Model) and something that can run one ([`Workbench`]), hands on another model, the
//! [`Recipe`] that made it and its quality. It knows operators and values, and no network.

mod edit;
mod error;
pub mod half_precision;
pub mod int8;
pub mod numbers;
pub mod probe;
pub mod quality;
mod recipe;
mod search;
pub mod states;
mod unit;
mod workbench;

pub use error::{Error, Result};
pub use int8::{Form, Integers};
pub use recipe::{Precision, Recipe};
pub use search::{Candidate, Found, Search, Sensitivity};
pub use unit::{Unit, units};
pub use workbench::{Failure, Workbench};
