//! What can be typed behind `demo`.

use avdit_core::sampler::SamplerKind;
use avdit_nets::av_dit::FusionForm;
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;
use std::str::FromStr;

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
    /// How sight and sound see each other in the adapters
    #[arg(long, value_enum, default_value_t = Fusion::Lora, value_name = "FORM")]
    pub fusion: Fusion,
    /// Measure the law and the time of a clip with other samplers too, such as ddpm-learned@250,dpm++2m@20,dpm++2m@10
    #[arg(long, value_name = "SAMPLER@STEPS", value_delimiter = ',')]
    pub compare: Vec<SamplerSteps>,
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

/// The forms of the attention between sight and sound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fusion {
    /// The frozen attention over both together, with LoRA
    Lora,
    /// The same without LoRA
    Frozen,
    /// Two attentions of their own, sight asking sound and sound asking sight
    Cross,
}

impl From<Fusion> for FusionForm {
    fn from(fusion: Fusion) -> Self {
        match fusion {
            Fusion::Lora => Self::Lora,
            Fusion::Frozen => Self::Frozen,
            Fusion::Cross => Self::Cross,
        }
    }
}

/// A sampler and how many steps it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SamplerSteps {
    /// Which.
    pub sampler: SamplerKind,
    /// How many.
    pub steps: usize,
}

impl FromStr for SamplerSteps {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("expected SAMPLER@STEPS such as dpm++2m@20, steps 1 to 1000, got '{text}'");
        let (sampler, steps) = text.split_once('@').ok_or_else(expected)?;
        let sampler = sampler.parse().map_err(|error: avdit_core::Error| error.to_string())?;
        match steps.parse() {
            // More than the levels that a network was trained at are refused before it is trained.
            Ok(steps @ 1..=1000) => Ok(Self { sampler, steps }),
            _ => Err(expected()),
        }
    }
}
