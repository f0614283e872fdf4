//! Every network once, written over the trait [`Ops`], with the names and shapes of its parameters.
//!
//! A network here is a function that receives an interpreter and its inputs' handles and returns its outputs'
//! handles. Candle's interpreter (crate `trainer`) runs and differentiates it; the ONNX interpreter (crate
//! `export`) records it. There is no other copy of an architecture.

pub mod avdit;
pub mod ops;
pub mod parameters;
pub mod positions;

pub use avdit::{AvditConfig, avdit};
pub use ops::Ops;
pub use parameters::{Init, Parameter};
