//! Clips written to files and read back, by the built-in decoders and by ffmpeg.

mod damage;
mod foreign;
mod support;
mod written;
