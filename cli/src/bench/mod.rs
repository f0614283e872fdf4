//! The measurement behind `avdit bench`: models × engines × batches × threads, each case in a process of its own.
//!
//! The parent starts a worker for each case ([`worker`], spoken to in JSON lines: [`protocol`]), lets them run in turn
//! ([`schedule`]), and makes rows of what they tell ([`rows`]). A case that fails is a row with its reason; no figure
//! is made for what did not run. [`compare`] sets two results beside each other.

pub mod case;
mod child;
pub mod compare;
mod cost;
mod limits;
pub mod meter;
mod notes;
pub mod protocol;
pub mod result;
mod rows;
#[cfg(test)]
pub mod sample;
pub mod schedule;
pub mod tables;
pub mod worker;

pub use limits::measure as measure_limits;
pub use notes::of_all as notes;
pub use rows::row;
pub use schedule::{Order, measure};
