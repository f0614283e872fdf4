//! What can be typed behind `inspect`.

use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Options of `inspect`.
#[derive(Debug, ClapArgs)]
pub struct InspectArgs {
    /// The model's folder
    pub model: PathBuf,
    /// Clips at once; a model for a fixed batch has no other
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub batch: Option<u32>,
    /// Every node with what it costs
    #[arg(long)]
    pub nodes: bool,
    /// Leave out what each target of `export` would change
    #[arg(long)]
    pub no_targets: bool,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
