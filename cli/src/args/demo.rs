//! What can be typed behind `demo`.

use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;

/// Options of `demo`.
#[derive(Debug, ClapArgs)]
pub struct DemoArgs {
    /// Folder for everything that is made
    #[arg(long, default_value = "avdit-demo")]
    pub out: PathBuf,
    /// Decides clips, parameters and noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Training steps; fewer for a quick look, at the price of what is learnt
    #[arg(long, default_value_t = crate::commands::demo::STEPS)]
    pub steps: usize,
    /// Clips to make and train on
    #[arg(long, default_value_t = crate::commands::demo::CLIPS)]
    pub clips: usize,
    /// What is trained
    #[arg(long, value_enum, default_value_t = DemoNetwork::Avdit)]
    pub network: DemoNetwork,
    /// Leave a part of the adapters out, to see what it does
    #[arg(long, value_enum, value_name = "PART")]
    pub without: Vec<AdapterPart>,
}

/// The networks that the demo trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DemoNetwork {
    /// MoNL's AVDiT
    Avdit,
    /// AV-DiT: an image network on single frames, then adapters on it while it stays as it is
    AvDit,
}

impl DemoNetwork {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avdit => "avdit",
            Self::AvDit => "av-dit",
        }
    }
}

/// The parts of AV-DiT's adapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum AdapterPart {
    /// Attention of each place over the frames
    Temporal,
    /// LoRA of the attention among sounds
    AudioLora,
    /// Attention between sight and sound
    Fusion,
    /// The adapter beside the MLP of sound
    AudioAdapter,
}

impl AdapterPart {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Temporal => "temporal",
            Self::AudioLora => "audio-lora",
            Self::Fusion => "fusion",
            Self::AudioAdapter => "audio-adapter",
        }
    }
}
