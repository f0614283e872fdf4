//! What can be typed behind `export`.

use avdit_export::Lowering;
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;

/// Options of `export`.
#[derive(Debug, ClapArgs)]
pub struct ExportArgs {
    /// A run's folder, or one of its checkpoints
    pub run: PathBuf,
    /// Folder of the model
    #[arg(short, long)]
    pub out: PathBuf,
    /// The trained parameters in place of their moving average
    #[arg(long)]
    pub raw: bool,
    /// What the graph is written for: portable (every engine), ort-cpu, ort-cuda or tensorrt
    #[arg(long, default_value_t)]
    pub target: Lowering,
    /// A fixed batch in place of any
    #[arg(long)]
    pub batch: Option<usize>,
    /// Version of ONNX's operator set, 20 to 22
    #[arg(long, default_value_t = 20)]
    pub opset: i64,
    /// Whether weights go into model.onnx_data
    #[arg(long, value_enum, default_value_t = ExternalChoice::Auto)]
    pub external_data: ExternalChoice,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Where weights are stored.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum ExternalChoice {
    /// In a file of their own where they are large
    Auto,
    /// Always in a file of their own
    Always,
    /// Always inside model.onnx
    Never,
}
