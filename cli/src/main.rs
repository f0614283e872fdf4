//! `avdit`: audio-video diffusion transformers from training to a workstation.

#![allow(unreachable_pub, reason = "a binary has no interface that is public or not")]

mod args;
mod cancel;
mod commands;
mod exit;
mod inputs;
mod output;
mod progress;
mod report;

use clap::Parser;
use std::process::ExitCode;

/// Training allocates and frees large buffers all the time; the system's allocator hands each back to the kernel,
/// which costs a third of a step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Candle's own threads wait by spinning, which starves ours when cores are few; and without a number of threads
    // it reads /proc/cpuinfo before every product. Only set where the user has not.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let _ = dotenvy::from_read(format!("CANDLE_NUM_THREADS=1\nRAYON_NUM_THREADS={threads}\n").as_bytes());
    let args = args::Args::parse();
    output::start_logging(args.verbose, args.quiet);
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::print_error(&error);
            ExitCode::from(exit::code(&error))
        }
    }
}
