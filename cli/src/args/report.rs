//! Options of `report`.

use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Options of `report`.
#[derive(Debug, ClapArgs)]
pub struct ReportArgs {
    /// Folders of runs, also while they are trained
    #[arg(required = true)]
    pub runs: Vec<PathBuf>,
    /// The page; report.html in the run's folder, or comparison.html for several runs, if not given
    #[arg(short, long)]
    pub out: Option<PathBuf>,
    /// The figures as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
