//! What can be typed behind `train codec`.

use clap::{Args as ClapArgs, Subcommand};
use std::path::PathBuf;

/// What `train` can train beside a network of a configuration.
#[derive(Debug, Subcommand)]
pub enum TrainWhat {
    /// Train a learned codec: a causal autoencoder of pictures and one of sound, compared with linear codecs at the end
    #[command(
        after_help = "Examples:\n  avdit train codec clips/ -o codec/\n  avdit train codec --world ball -o codec/ --video-steps 300\n  \
        avdit prepare clips/ -o data/ --codec codec/\n\nRun it again after an interruption: it goes on, bit for bit."
    )]
    Codec(CodecArgs),
}

/// Options of `train codec`.
#[derive(Debug, ClapArgs)]
pub struct CodecArgs {
    /// Files and folders of clips
    #[arg(required_unless_present = "world", conflicts_with = "world")]
    pub clips: Vec<PathBuf>,
    /// Clips of a synthetic world in place of files: ball or monologue
    #[arg(long)]
    pub world: Option<avdit_media::world::WorldKind>,
    /// How many clips of the world
    #[arg(long, default_value_t = 768, requires = "world", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub count: u32,
    /// Folder of the codec
    #[arg(short, long)]
    pub out: PathBuf,
    /// Whose pixels: 64×64 for tiny, 128×128 for the others, 17 frames at 8 fps; its linear codec is compared too
    #[arg(long, default_value = "tiny", value_parser = clap::builder::PossibleValuesParser::new(crate::grids::NAMES))]
    pub preset: String,
    /// Steps of the pictures' autoencoder
    #[arg(long)]
    pub video_steps: Option<usize>,
    /// Steps of the sound's autoencoder
    #[arg(long)]
    pub audio_steps: Option<usize>,
    /// Clips in a step
    #[arg(long)]
    pub batch: Option<usize>,
    /// Peak learning rate
    #[arg(long)]
    pub lr: Option<f64>,
    /// Channels of the video latents
    #[arg(long)]
    pub video_channels: Option<usize>,
    /// Channels of the audio latents
    #[arg(long)]
    pub audio_channels: Option<usize>,
    /// Decides parameters, order and noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Steps from one saved state to the next
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    pub save_every: u32,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}
