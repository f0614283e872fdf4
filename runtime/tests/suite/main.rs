//! What a model folder does on every engine that is here, and what happens when it is not sound.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "tests")]

mod bad_models;
mod engines;
mod libraries;
mod sampling;
mod support;
mod targets;
