//! From a model folder to predictions, samples and their timings.
//!
//! Receives a folder with `model.onnx` and `config.json`, hands on a [`Denoiser`](avdit_core::Denoiser) that runs
//! it on an engine, with nothing but the network on the clock. Nothing here falls back by itself: an engine that
//! was asked for runs, or there is an error that says why not.

pub mod bench;
pub mod doctor;
pub mod engine;
pub mod engine_cache;
mod error;
pub mod find;
pub mod function;
pub mod graph;
pub mod libraries;
pub mod limits;
pub mod machine;
pub mod profile;
pub mod timing;

pub use bench::{BenchOptions, BenchReport, bench};
pub use engine::{CudaOptions, Engine, EngineFacts, EngineKind, EngineOptions, TensorRtOptions, open};
pub use error::{Error, Result};
pub use function::Function;
pub use limits::Precision;
pub use timing::{StepTiming, StepTimings, Summary, TimedSample, sample_timed};
