//! What can be typed behind `experiment`.

use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// The experiments.
#[derive(Debug, Subcommand)]
pub enum ExperimentCommand {
    /// One network trained with each level strategy, MoNL among them, and measured on every task
    #[command(
        after_help = "Examples:\n  avdit experiment monl --threads 2\n  avdit experiment monl --only 'ball/monl-*'\n  \
        avdit experiment monl --report-only --doc monl.md\n\nRun it again after an interruption: finished runs are kept, one \
        that was cut off goes on from its checkpoint. Several may work in one folder: a run that another has in hand is left to it."
    )]
    Monl(MonlArgs),
}

/// Options of `experiment monl`.
#[derive(Debug, ClapArgs)]
pub struct MonlArgs {
    /// Folder for everything that is made
    #[arg(long, default_value = "avdit-monl")]
    pub out: PathBuf,
    /// Every stage with tiny settings: a test of the program that learns nothing
    #[arg(long)]
    pub smoke: bool,
    /// Only the runs whose name (world/method-seed) matches; * stands for any text, ? for one letter
    #[arg(long, value_name = "GLOB")]
    pub only: Option<String>,
    /// Optimizer steps of every training
    #[arg(long)]
    pub steps: Option<usize>,
    /// Clips made for each task
    #[arg(long, value_parser = clap::value_parser!(u16).range(8..=8192))]
    pub samples: Option<u16>,
    /// Threads of all stages together; all cores if not given
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: Option<u16>,
    /// Run nothing: write the report from what is there
    #[arg(long)]
    pub report_only: bool,
    /// Text that the report takes in as notes, such as why an order is not the paper's
    #[arg(long, value_name = "FILE")]
    pub notes: Option<PathBuf>,
    /// Copy the report, and what it links to into a folder of its name beside it
    #[arg(long, value_name = "FILE")]
    pub doc: Option<PathBuf>,
}
