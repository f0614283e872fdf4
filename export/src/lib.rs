//! Networks as ONNX graphs: recorded from the same code that trains them, checked against it, written as a folder.
//!
//! [`export_denoiser`] runs the network of `nets` on the [`Recorder`], which is an interpreter of
//! [`Ops`](avdit_nets::Ops) that builds a graph. Composite operations are written out by the [`Lowering`] of a
//! target, one file each. [`ModelFolder`] writes the result; [`validate`] compares two denoisers, whatever runs them.

mod acceptance;
mod autoencoder;
mod conv;
mod convolutional;
mod denoiser;
mod error;
mod evaluator;
mod expected;
mod fold;
mod folder;
mod frozen;
mod linear;
mod lowering;
mod network;
mod ops;
mod random;
mod recorder;
mod records;
mod reference;
mod reshape;
mod rewrite;
mod split;
mod step;
mod validate;
mod value_bias;
mod weights;

pub use acceptance::{Acceptance, validate_graph};
pub use autoencoder::{evaluate, export_autoencoder};
pub use denoiser::{ExportOptions, export_denoiser};
pub use error::{Error, Result};
pub use expected::{Cases, Expected};
pub use folder::ModelFolder;
pub use lowering::Lowering;
pub use network::{evaluate_network, export_network};
pub use random::RandomWeights;
pub use recorder::{Recorder, Value};
pub use records::{ExportRecord, FileRecord, ModelConfig, NotChecked, Provenance};
pub use reference::Reference;
pub use validate::{
    CaseParity, ParityReport, Tolerance, compare, validate, validate_batches, validate_levels,
};
pub use weights::{WeightMap, WeightSource, weight_map};
