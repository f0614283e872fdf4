//! Tasks of the project itself: what CI runs, fetching ONNX Runtime, what there is to check on a machine with a GPU.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod gpu;
mod gpu_pack;
mod mpi;
mod onnx_runtime;
mod process;
mod python;
mod ranks;
mod steps;
mod sweep;
mod test;
mod tools;

use clap::{Parser, Subcommand};
use std::path::PathBuf;
use std::process::ExitCode;

/// The exit code of a command that could not do its work.
const ERROR: u8 = 2;

#[derive(Parser)]
#[command(bin_name = "cargo xtask", about = "Tasks of the project itself")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that CI runs, in order of cost: formatting, tools, clippy, tests, documentation
    #[command(after_help = "exit code: 0 all passed, 1 a step failed")]
    Test {
        /// Fetch nothing and build no documentation; tests use what is already here
        #[arg(long)]
        fast: bool,
    },
    /// Put ONNX Runtime for the CPU into the project's cache
    FetchOrt {
        /// The folder to put it into [default: onnxruntime in the project's cache]
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// What a step costs over tokens, width, depth, batch and threads: tables and charts
    Sweep {
        /// The folder for sweep.csv, sweep.md and the charts
        #[arg(long)]
        out: PathBuf,
        /// Few points and short measurements, to see that it works
        #[arg(long)]
        quick: bool,
        /// The program to measure with [default: a release build]
        #[arg(long)]
        avdit: Option<PathBuf>,
    },
    /// What ranks gain: a training step on several processes of one thread against one, by wall and processor time
    #[command(
        after_help = "Needs bash and mpirun of Open MPI, and mpicc and libclang to build the program: on Debian \
        openmpi-bin, libopenmpi-dev and libclang-dev. The dataset of the run must be there, its batch not smaller than the \
        number of processes, and a processor free for each of them."
    )]
    Ranks {
        /// The run to measure; its `out` is left alone
        #[arg(long)]
        config: PathBuf,
        /// Numbers of processes
        #[arg(long, value_delimiter = ',', default_value = "2")]
        ranks: Vec<usize>,
        /// Steps of a run
        #[arg(long, default_value_t = 20)]
        steps: usize,
        /// Runs of each; the best counts
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// The program to measure, built with --features mpi [default: a release build]
        #[arg(long)]
        avdit: Option<PathBuf>,
    },
    /// What can be checked on a machine with a GPU: parity, fused step, CUDA graphs, the time of a step
    #[command(after_help = "exit code: 0 all that was run passed, 1 something failed, 3 no usable GPU")]
    GpuCheck {
        /// The folder for the report, logs and models
        #[arg(long, default_value = "gpu-check")]
        out: PathBuf,
        /// Do every step but CUDA's own on the CPU, with small networks and the programs that tests use
        #[arg(long)]
        dry_run_on_cpu: bool,
    },
    /// The same for a machine that has no Rust and no network: an archive to unpack and run there
    GpuPack {
        /// The archive; its name ends in .tar.xz or .tar.gz. More than 60 MiB are split into FILE.00, FILE.01, …
        #[arg(long)]
        out: PathBuf,
        /// A folder with ONNX Runtime's libraries for GPUs, to be packed as well
        #[arg(long, value_name = "DIR")]
        onnxruntime: Option<PathBuf>,
        /// Pack the programs that tests use in place of a release build, to try the pack itself
        #[arg(long)]
        dev: bool,
    },
}

fn main() -> ExitCode {
    let code = match Arguments::parse().command {
        Command::Test { fast } => test::run(fast),
        Command::FetchOrt { dir } => onnx_runtime::fetch(dir).map(|path| {
            println!("{}", path.display());
            ExitCode::SUCCESS
        }),
        Command::Sweep { out, quick, avdit } => sweep::sweep(&out, quick, avdit).map(|()| ExitCode::SUCCESS),
        Command::Ranks { config, ranks, steps, rounds, avdit } => {
            ranks::measure(&ranks::Settings { config, ranks, steps, rounds, avdit })
                .map(|()| ExitCode::SUCCESS)
        }
        Command::GpuCheck { out, dry_run_on_cpu } => gpu::check(&out, dry_run_on_cpu),
        Command::GpuPack { out, onnxruntime, dev } => {
            gpu_pack::pack(&out, onnxruntime.as_deref(), dev).map(|()| ExitCode::SUCCESS)
        }
    };
    code.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::from(ERROR)
    })
}
