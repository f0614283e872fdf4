//! Training on Candle: the interpreter of networks, the objective, the loop, checkpoints.
//!
//! It receives shards of latents and a configuration, and leaves checkpoints. A run is configuration and seed: every
//! random number is a function of seed and step, so that a resumed run makes the same bits as one that never stopped.

pub mod adapter;
pub mod audit;
pub mod base;
pub mod batches;
pub mod bound;
pub mod checkpoint;
pub mod codec;
pub mod config;
pub mod denoiser;
pub mod device;
pub mod differences;
pub mod ema;
pub mod error;
pub mod examples;
pub mod failure;
pub mod feed;
mod frames;
pub mod gradients;
pub mod imported;
pub mod metrics;
pub mod model;
pub mod network;
pub mod objective;
pub mod observer;
pub mod ops;
pub mod optimizer;
pub mod parallel;
pub mod run_log;
pub mod session;
pub mod speed;
pub mod tape;
pub mod tensorboard;
pub mod train;
pub mod weight_file;

pub use adapter::{Adapted, Adapter, AdapterConfig};
pub use base::{Base, BaseRecord};
pub use checkpoint::Checkpoint;
pub use config::TrainConfig;
pub use denoiser::CandleDenoiser;
pub use error::{Error, Result};
pub use examples::Examples;
pub use gradients::GradientOptions;
pub use imported::{Imported, ImportedConfig};
pub use metrics::StepMetrics;
pub use model::{Model, Weights};
pub use network::Network;
pub use objective::Objective;
pub use observer::{Observer, RunFacts};
pub use optimizer::{Optimizer, OptimizerConfig};
pub use train::{StartOptions, check_start, train, train_on};
pub use weight_file::WeightFile;
