//! What a model folder does on every engine that is here, and what happens when it is not sound.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod bad_models;
#[cfg(target_os = "linux")]
mod closure;
mod engines;
#[cfg(target_os = "linux")]
mod fakes;
mod frozen;
mod fused;
#[cfg(target_os = "linux")]
mod gpu;
mod libraries;
mod limits;
mod ports;
mod profile;
mod sampling;
#[cfg(target_os = "linux")]
mod silent;
mod support;
mod targets;
