//! Runs of a very small network on made-up latents.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod adapters;
mod bits;
mod crash;
mod events;
mod honest;
mod made_up;
mod metrics;
mod objectives;
mod runs;
