//! Clips written to files and read back, by the built-in decoders and by ffmpeg.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod damage;
mod fitted;
mod foreign;
mod shown;
mod support;
mod written;
