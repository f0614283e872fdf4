//! Training of learned codecs: a causal autoencoder of pictures and one of sound.
//!
//! Receives clips on a grid and a configuration; leaves the state of each training, from which it goes on bit for bit,
//! and at the end one file, `codec.safetensors`, from which graphs can be exported. Every random number is a function of
//! seed, step and place in the batch.

mod config;
mod file;
mod finish;
mod model;
mod pictures;
mod run;
mod sound;
mod state;

pub use config::{CodecTraining, ModalityTraining};
pub use file::CodecFile;
pub use finish::finish;
pub use model::Autoencoder;
pub use run::{CodecStep, Training};
