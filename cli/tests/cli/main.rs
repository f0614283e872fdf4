//! The binary as its users run it: the pipeline on small clips, and what it says of bad input.

#![allow(
    clippy::print_stderr,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "a test fails by panicking, and has no interface"
)]

mod account;
mod adapter;
mod bad_input;
mod bench;
mod codec;
mod engines;
mod experiment;
mod fixture;
mod forms;
#[cfg(target_os = "linux")]
mod gpu;
mod images;
mod imported;
mod imported_codecs;
mod interrupted;
mod pipeline;
mod prepare;
mod public_codec;
mod public_networks;
mod quantize;
mod random;
#[cfg(not(feature = "mpi"))]
mod ranks;
mod training;
