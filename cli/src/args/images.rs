//! What can be typed behind `images`.

use super::EngineArgs;
use avdit_core::SamplerKind;
use clap::Args as ClapArgs;
use std::path::PathBuf;

/// Options of `images`.
#[derive(Debug, ClapArgs)]
pub struct ImagesArgs {
    /// The folder of an imported DiT
    pub dit: PathBuf,
    /// The class of each image, separated by commas
    #[arg(long, required = true, value_delimiter = ',')]
    pub classes: Vec<usize>,
    /// Strength of the class; 1 is off, anything else costs a second network run per step
    #[arg(long, default_value_t = 4.0)]
    pub guidance: f64,
    /// How many channels of the noise are guided: 3, as DiT's own program does, or all 4, as others do
    #[arg(long, default_value_t = 3)]
    pub guided_channels: usize,
    /// ddpm (learned variance where the network has one), ddpm-learned (nothing else), ddpm-large, ddim, dpm++2m, unipc, euler, heun, …
    #[arg(long, default_value = "ddpm")]
    pub sampler: SamplerKind,
    /// Sampling steps; 250 for those of ddpm and 20 for the others if not given
    #[arg(long)]
    pub steps: Option<usize>,
    /// Decides all noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// The index of the first image: its noise follows from seed and index, whatever is made beside it
    #[arg(long, value_name = "INDEX", default_value_t = 0)]
    pub first_item: u32,
    /// The folder of an imported autoencoder that makes pictures of the latents
    #[arg(long)]
    pub vae: Option<PathBuf>,
    /// Folder of the images
    #[arg(short, long)]
    pub out: PathBuf,
    /// How the networks are run
    #[command(flatten)]
    pub engine: EngineArgs,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

impl ImagesArgs {
    /// The steps that were asked for, or the usual ones.
    pub fn steps(&self) -> usize {
        let usual = match self.sampler {
            SamplerKind::Ddpm | SamplerKind::DdpmLarge | SamplerKind::DdpmLearned => 250,
            _ => 20,
        };
        self.steps.unwrap_or(usual)
    }
}
