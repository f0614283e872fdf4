//! Clips written to files and read back, by the built-in decoders and by ffmpeg.

mod damage;
mod fitted;
mod foreign;
mod shown;
mod support;
mod written;
