//! The commands: they wire the crates together, show progress and say results.

mod adapter;
mod bench;
pub mod codec;
mod compare;
pub mod demo;
mod doctor;
mod engine;
mod experiment;
pub mod export;
mod images;
mod import;
mod inspect;
mod prepare;
mod profile;
pub(crate) mod quantize;
mod report;
mod sample;
mod train;

use crate::args::{Args, CodecCommand, Command, TrainArgs, TrainWhat};
use anyhow::Result;

/// Runs what was typed.
pub fn run(args: Args) -> Result<()> {
    match args.command {
        Command::Demo(args) => crate::cancel::install().and_then(|()| demo::run(&args)),
        Command::Prepare(args) => crate::cancel::install().and_then(|()| prepare::run(&args)),
        Command::Train(TrainArgs { what: Some(TrainWhat::Codec(args)), .. }) => {
            crate::cancel::install().and_then(|()| codec::run(&args))
        }
        Command::Codec(CodecCommand::Assemble(args)) => codec::assemble::run(&args),
        Command::Codec(CodecCommand::Check(args)) => {
            crate::cancel::install().and_then(|()| codec::check::run(&args))
        }
        Command::Train(args) => crate::cancel::install().and_then(|()| train::run(&args)),
        Command::Images(args) => crate::cancel::install().and_then(|()| images::run(&args)),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Quantize(args) => crate::cancel::install().and_then(|()| quantize::run(&args)),
        Command::Sample(args) => sample::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Experiment(command) => crate::cancel::install().and_then(|()| experiment::run(&command)),
        Command::Engine(command) => engine::run(&command),
        Command::Adapter(command) => adapter::run(&command),
        Command::Merge(args) => adapter::merge(&args),
        Command::Inspect(args) => inspect::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Report(args) => report::run(&args),
        Command::BenchWorker => crate::bench::worker::run(&crate::bench::meter::of_case),
        Command::Doctor(args) => doctor::run(&args),
    }
}
