//! What can be typed behind `adapter`, and `merge`.

use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// What to do with adapters of AV-DiT.
#[derive(Debug, Subcommand)]
pub enum AdapterCommand {
    /// Write what a run of an AV-DiT has trained as an adapter: the trained tensors alone, and which base they belong to
    #[command(
        after_help = "Examples:\n  avdit adapter extract runs/av-dit -o adapter/\n\nThe run's codec goes with it."
    )]
    Extract(ExtractArgs),
    /// Write the LoRA of an adapter as Hugging Face peft reads it
    #[command(
        after_help = "Examples:\n  avdit adapter to-peft adapter/ -o peft/\n\npeft/audio and peft/fusion are two peft adapters to the official DiT, \
        for AV-DiT adds two LoRA to each attention: among sounds, and between sight and sound. In Python:\n  \
        model = PeftModel.from_pretrained(dit, \"peft/audio\", adapter_name=\"audio\")\n  \
        model.load_adapter(\"peft/fusion\", adapter_name=\"fusion\")\n\nWhat is not LoRA has no form in peft and is left out; from-peft takes it from the adapter."
    )]
    ToPeft(ToPeftArgs),
    /// Read the LoRA of peft adapters back into a copy of an adapter
    #[command(
        after_help = "Examples:\n  avdit adapter from-peft peft/ --into adapter/ -o new/\n\nFactors that peft has trained on have entries where to-peft writes zeros; \
        the new adapter then has larger ranks and the same function."
    )]
    FromPeft(FromPeftArgs),
}

/// Options of `adapter extract`.
#[derive(Debug, ClapArgs)]
pub struct ExtractArgs {
    /// A run's folder, or one of its checkpoints
    pub run: PathBuf,
    /// Folder for the adapter
    #[arg(short, long)]
    pub out: PathBuf,
    /// The trained parameters in place of their moving average
    #[arg(long)]
    pub raw: bool,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Options of `adapter to-peft`.
#[derive(Debug, ClapArgs)]
pub struct ToPeftArgs {
    /// The adapter's folder
    pub adapter: PathBuf,
    /// Folder for the peft adapters
    #[arg(short, long)]
    pub out: PathBuf,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Options of `adapter from-peft`.
#[derive(Debug, ClapArgs)]
pub struct FromPeftArgs {
    /// The folder of the peft adapters: audio/ and fusion/
    pub peft: PathBuf,
    /// The adapter that everything but LoRA comes from; it stays as it is
    #[arg(long, value_name = "ADAPTER")]
    pub into: PathBuf,
    /// Folder of the new adapter
    #[arg(short, long)]
    pub out: PathBuf,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// Options of `merge`.
#[derive(Debug, ClapArgs)]
pub struct MergeArgs {
    /// The folder of the imported DiT that the adapter was trained on
    #[arg(long, value_name = "DIT")]
    pub base: PathBuf,
    /// The adapter's folder
    #[arg(long)]
    pub adapter: PathBuf,
    /// Folder of the network
    #[arg(short, long)]
    pub out: PathBuf,
    /// Leave the factors of LoRA as they are: a smaller file, two small products more for each matrix
    #[arg(long)]
    pub keep_factors: bool,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
