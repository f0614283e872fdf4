//! Suites that cross crates.

pub mod parity;
