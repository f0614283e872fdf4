//! What can be typed behind `import`.

use avdit_trainer::imported::{ImportOptions, Kind};
use clap::{Args as ClapArgs, ValueEnum};
use std::path::PathBuf;

/// Options of `import`.
#[derive(Debug, ClapArgs)]
pub struct ImportArgs {
    /// Checkpoints of PyTorch (.pt, .pth, .bin) or safetensors; several are the parts of one
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Folder of the network
    #[arg(short, long)]
    pub out: PathBuf,
    /// What the files hold; seen from names and config.json if not given
    #[arg(long = "as", value_enum)]
    pub kind: Option<KindChoice>,
    /// The network's configuration as it was published, or one of stable-diffusion, audioldm, audioldm-vocoder,
    /// encodec-24khz; config.json beside the file if not given
    #[arg(long, value_name = "FILE|NAME")]
    pub config: Option<PathBuf>,
    /// The key of the checkpoint that the tensors stand under; of several, ema comes first, then state_dict and model
    #[arg(long)]
    pub key: Option<String>,
    /// Take the tensors alone whose names begin so, such as first_stage_model. of a whole Stable Diffusion
    #[arg(long, value_name = "PREFIX")]
    pub within: Option<String>,
    /// Of these, leave out those whose names begin so
    #[arg(long, value_name = "PREFIX")]
    pub leave_out: Vec<String>,
    /// Heads of a DiT that is none of the published sizes
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub heads: Option<u16>,
    /// Rows and columns of a DiT's latents, where its position code does not tell
    #[arg(long, value_name = "ROWSxCOLUMNS", value_parser = sides)]
    pub size: Option<[usize; 2]>,
    /// Every label of a DiT is a class, none stands for no class
    #[arg(long)]
    pub no_null_class: bool,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// What files can hold.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum KindChoice {
    /// An image DiT, under its official names or diffusers'
    Dit,
    /// The autoencoder of Stable Diffusion or AudioLDM
    Vae,
    /// HiFi-GAN, a vocoder
    Hifigan,
    /// EnCodec, a codec of sound
    Encodec,
}

impl ImportArgs {
    /// What that means for an import.
    pub fn options(&self) -> ImportOptions {
        ImportOptions {
            kind: self.kind.map(|kind| match kind {
                KindChoice::Dit => Kind::Dit,
                KindChoice::Vae => Kind::Vae,
                KindChoice::Hifigan => Kind::Hifigan,
                KindChoice::Encodec => Kind::Encodec,
            }),
            config: self.config.clone(),
            key: self.key.clone(),
            within: self.within.clone(),
            leave_out: self.leave_out.clone(),
            heads: self.heads.map(usize::from),
            size: self.size,
            no_null_class: self.no_null_class,
        }
    }
}

/// Two sides such as `32x32`.
pub(super) fn sides(text: &str) -> Result<[usize; 2], String> {
    let side = |side: &str| side.parse::<usize>().ok().filter(|side| (1..=1 << 16).contains(side));
    let both = text.split_once(['x', '×']).and_then(|(rows, columns)| Some([side(rows)?, side(columns)?]));
    both.ok_or_else(|| "two numbers such as 32x32".to_owned())
}
