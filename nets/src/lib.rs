//! Every network once, written over the trait [`Ops`], with the names and shapes of its parameters.
//!
//! A network here is a function that receives an interpreter and its inputs' handles and returns its outputs'
//! handles. Candle's interpreter (crate `trainer`) runs and differentiates it; the ONNX interpreter (crate
//! `export`) records it. There is no other copy of an architecture.

pub mod av_dit;
pub mod avdit;
pub mod codec;
pub mod conv_ops;
pub mod dit;
pub mod encodec;
pub mod hifigan;
pub mod lora;
pub mod network;
mod network_config;
pub mod ops;
pub mod parameters;
mod patches;
pub mod positions;
pub mod timestep;
pub mod vae;
pub mod weight_norm;
pub mod window;

pub use av_dit::{AvDitConfig, av_dit};
pub use avdit::{AvditConfig, avdit};
pub use codec::AutoencoderConfig;
pub use conv_ops::ConvOps;
pub use dit::{DitConfig, dit};
pub use network::{Network, NetworkError, Port, Trainable};
pub use network_config::{Inputs, NetworkConfig, Predictions};
pub use ops::Ops;
pub use parameters::{Init, Parameter};
pub use window::Window;
