//! ONNX to ONNX: the same graph in fewer bits, and the proof that it still computes what it did.
//!
//! Receives a [`Model`](avdit_onnx::Model) and something that can run one ([`Workbench`]), hands on another model, the
//! [`Recipe`] that made it and its quality. It knows operators and values, and no network.

mod calibration;
mod class;
mod edit;
mod error;
pub mod half_precision;
mod histogram;
pub mod int8;
pub mod numbers;
mod precision;
pub mod probe;
pub mod quality;
mod recipe;
mod search;
pub mod smooth;
pub mod states;
mod unit;
mod workbench;

pub use calibration::{Calibrated, Calibration, Gathered, Ranges};
pub use class::{Class, ClassTime, classes};
pub use error::{Error, Result};
pub use histogram::Histogram;
pub use int8::{Dialect, Form, Integers, Settings};
pub use precision::Precision;
pub use recipe::Recipe;
pub use search::{Candidate, Found, Search, Sensitivity};
pub use unit::{Heads, Kind, Unit, units};
pub use workbench::{Failure, Workbench};
