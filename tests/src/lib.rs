//! Suites that cross crates.

pub mod gpu_check;
pub mod parity;
