//! An ONNX model in memory: build it, infer its shapes, check it, read and write it with external data.
//!
//! A [`Model`] is a `ModelProto` that has a graph and whose initializers all lie in `raw_data`, whatever form the
//! file had. [`GraphBuilder`] makes one node at a time and knows the type of every value as soon as it exists.
//! What the graph computes is of no concern here.
//!
//! The messages in [`proto`] are generated from `generate/onnx-ml.proto`, the schema of onnx 1.23.2 (Apache-2.0), by
//! `cargo run --manifest-path onnx/generate/Cargo.toml`, and committed.

mod atomic;
pub mod attribute;
pub mod builder;
mod check;
mod error;
mod external;
mod infer;
mod message;
pub mod model;
mod operators;
#[allow(missing_docs, clippy::all, reason = "generated")]
#[rustfmt::skip]
pub mod proto;
mod read;
pub mod tensor;
pub mod types;
mod write;

pub use builder::GraphBuilder;
pub use error::{Error, Result};
pub use model::Model;
pub use types::{DataType, Dim, ValueType};
pub use write::{ExternalData, WriteOptions, Written};
