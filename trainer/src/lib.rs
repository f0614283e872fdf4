//! Training on Candle: the interpreter of networks, the objective, the loop, checkpoints.
//!
//! It receives shards of latents and a configuration, and leaves checkpoints. A run is configuration and seed: every
//! random number is a function of seed and step, so that a resumed run makes the same bits as one that never stopped.

pub mod checkpoint;
pub mod codec;
pub mod config;
pub mod denoiser;
pub mod error;
pub mod examples;
pub mod model;
pub mod network;
pub mod objective;
pub mod ops;
pub mod optimizer;
pub mod session;
pub mod train;
pub mod weight_file;

pub use checkpoint::Checkpoint;
pub use config::TrainConfig;
pub use denoiser::CandleDenoiser;
pub use error::{Error, Result};
pub use examples::Examples;
pub use model::{Model, Weights};
pub use network::Network;
pub use objective::Objective;
pub use optimizer::{Optimizer, OptimizerConfig};
pub use session::StepMetrics;
pub use train::{StartOptions, train};
pub use weight_file::WeightFile;
