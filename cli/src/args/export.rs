//! What can be typed behind `export`.

use crate::commands::export::Check;
use avdit_export::Lowering;
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;

/// Options of `export`.
#[derive(Debug, ClapArgs)]
pub struct ExportArgs {
    /// A run's folder, one of its checkpoints, or the folder of a learned codec, an imported network or a merged one
    #[arg(required_unless_present = "random")]
    pub run: Option<PathBuf>,
    /// Random weights under this seed in place of a run: what a network costs can be known before it is trained
    #[arg(long, value_name = "SEED", conflicts_with_all = ["run", "raw", "ema"], requires = "network")]
    pub random: Option<u64>,
    /// The network of --random: a preset
    #[arg(long, group = "network", requires = "random", value_parser = clap::builder::PossibleValuesParser::new(crate::network::PRESETS))]
    pub preset: Option<String>,
    /// The network of --random: a file with its width, depth, heads, grid, … (TOML or JSON), or a run's TOML
    #[arg(long, group = "network", requires = "random", value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Folder of the model
    #[arg(short, long)]
    pub out: PathBuf,
    /// The trained parameters in place of their moving average
    #[arg(long)]
    pub raw: bool,
    /// The moving average of this decay, where the run keeps several (optimizer.ema_decay); its first unless told
    #[arg(long, value_name = "DECAY", conflicts_with = "raw")]
    pub ema: Option<f64>,
    /// What the graph is written for: portable (every engine), ort-cpu, ort-cuda or tensorrt
    #[arg(long, default_value_t)]
    pub target: Lowering,
    /// A fixed batch in place of any
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub batch: Option<u16>,
    /// Version of ONNX's operator set, 20 to 22
    #[arg(long, default_value_t = 20)]
    pub opset: i64,
    /// Compute the modulation of the levels of so many sampling steps beforehand: a smaller, faster graph that samples
    /// in this many steps alone (or in a number that divides it)
    #[arg(long, value_name = "STEPS")]
    pub freeze_schedule: Option<usize>,
    /// Put the sampler's update into the graph, for every sampler or for one: latents stay on the engine's device, and
    /// guidance is not possible
    #[arg(long, value_name = "SAMPLER", num_args = 0..=1, require_equals = true)]
    #[expect(clippy::option_option, reason = "not given, given, given with a sampler")]
    pub fused_step: Option<Option<avdit_core::sampler::SamplerKind>>,
    /// Fold the LoRA of an AV-DiT into copies of its attention, in place of the two small products beside it: a third more
    /// weights and a little less to compute
    #[arg(long)]
    pub merge: bool,
    /// Whether weights go into model.onnx_data
    #[arg(long, value_enum, default_value_t = ExternalChoice::Auto)]
    pub external_data: ExternalChoice,
    /// Engines that compare the graph with what it was made from: auto (all; one above 1 GiB of weights), all, none, or
    /// names separated by commas
    #[arg(long, default_value = "auto")]
    pub check: Check,
    /// Rows and columns of the latents of an imported autoencoder
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = super::import::sides)]
    pub size: Option<[usize; 2]>,
    /// Frames of the spectrogram of an imported vocoder, or of the latents of an imported EnCodec
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub frames: Option<u32>,
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
