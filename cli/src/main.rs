//! `avdit`: audio-video diffusion transformers from training to a workstation.

#![allow(unreachable_pub, reason = "a binary has no interface that is public or not")]
#![allow(clippy::print_stderr, reason = "the one crate that prints")]

mod args;
mod bench;
mod cancel;
mod clips;
mod codec;
mod commands;
mod cost;
mod engines;
mod exit;
mod grids;
mod inputs;
mod network;
mod output;
mod parts;
mod place;
mod progress;
mod ranks;
mod report;
mod run;

use clap::Parser;
use std::process::ExitCode;

/// Training allocates and frees large buffers all the time; the system's allocator hands each back to the kernel,
/// which costs a third of a step.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Training runs chunks of a batch side by side, which beats threads inside each product. So Candle gets one thread
    // (its own wait by spinning, which starves ours), and the pool that everything else shares gets them all.
    let asked = std::env::var("RAYON_NUM_THREADS").ok().and_then(|text| text.parse().ok());
    let _ = ranks::THREADS.set(asked);
    let _ = dotenvy::from_read("CANDLE_NUM_THREADS=1\nRAYON_NUM_THREADS=1\n".as_bytes());
    let args = args::Args::parse();
    let all = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = args.command.threads().or(asked).unwrap_or_else(all);
    let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
    output::start_logging(args.verbose, args.quiet);
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if !error.is::<exit::Told>() {
                output::print_error(&error);
            }
            ExitCode::from(exit::code(&error))
        }
    }
}
