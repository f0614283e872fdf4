//! The binary as its users run it: the pipeline on small clips, and what it says of bad input.

mod bad_input;
mod fixture;
mod interrupted;
mod pipeline;
