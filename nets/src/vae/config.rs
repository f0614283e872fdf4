//! What a variational autoencoder of pictures is made of, as its public `config.json` says it.

use crate::network::{NetworkError, check_sizes};
use crate::parameters::Parameter;
use serde::{Deserialize, Serialize};

pub(super) const NAME: &str = "vae";

/// Diffusers' `AutoencoderKL`. What the file leaves out has that library's default; what it says beside these fields
/// does not concern the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct VaeConfig {
    /// Channels of a picture; 1 where the pictures are mel spectrograms.
    pub in_channels: usize,
    /// Channels of what the decoder makes.
    pub out_channels: usize,
    /// Channels of the latents.
    pub latent_channels: usize,
    /// Channels at each resolution, the finest first; between two the sides are halved.
    pub block_out_channels: Vec<usize>,
    /// Residual blocks at each resolution of the encoder; the decoder has one more.
    pub layers_per_block: usize,
    /// Groups of channels that are normed together.
    pub norm_num_groups: usize,
    /// What latents are multiplied by before a diffusion model sees them, so that their deviation is near 1.
    pub scaling_factor: f64,
    /// Whether moments pass through a convolution of one place.
    pub use_quant_conv: bool,
    /// Whether latents do.
    pub use_post_quant_conv: bool,
    /// Whether places attend to one another at the coarsest resolution.
    pub mid_block_add_attention: bool,
    /// The nonlinearity: `silu`.
    pub act_fn: String,
    /// The kinds of blocks of the encoder: `DownEncoderBlock2D`.
    pub down_block_types: Vec<String>,
    /// The kinds of blocks of the decoder: `UpDecoderBlock2D`.
    pub up_block_types: Vec<String>,
}

impl Default for VaeConfig {
    fn default() -> Self {
        Self {
            in_channels: 3,
            out_channels: 3,
            latent_channels: 4,
            block_out_channels: vec![64],
            layers_per_block: 1,
            norm_num_groups: 32,
            scaling_factor: 0.18215,
            use_quant_conv: true,
            use_post_quant_conv: true,
            mid_block_add_attention: true,
            act_fn: "silu".to_owned(),
            down_block_types: vec!["DownEncoderBlock2D".to_owned()],
            up_block_types: vec!["UpDecoderBlock2D".to_owned()],
        }
    }
}

impl VaeConfig {
    fn of(block_out_channels: &[usize]) -> Self {
        let kinds = |kind: &str| vec![kind.to_owned(); block_out_channels.len()];
        Self {
            block_out_channels: block_out_channels.to_vec(),
            layers_per_block: 2,
            down_block_types: kinds("DownEncoderBlock2D"),
            up_block_types: kinds("UpDecoderBlock2D"),
            ..Self::default()
        }
    }

    /// The autoencoder of Stable Diffusion 1 and 2: 83,653,863 parameters, pictures of 8h × 8w to latents of h × w.
    pub fn stable_diffusion() -> Self {
        Self::of(&[128, 256, 512, 512])
    }

    /// The autoencoder of AudioLDM's mel spectrograms, of 4h frames × 4w mels to latents of h × w.
    pub fn audioldm() -> Self {
        Self {
            in_channels: 1,
            out_channels: 1,
            latent_channels: 8,
            scaling_factor: 0.922_791_421_413_421_6,
            ..Self::of(&[128, 256, 512])
        }
    }

    /// Pixels along a side of the square that a latent stands for.
    pub fn factor(&self) -> usize {
        1 << self.block_out_channels.len().saturating_sub(1)
    }

    /// Every learned tensor: the encoder's, then the decoder's.
    pub fn parameters(&self) -> Vec<Parameter> {
        [super::encoder::parameters(self), super::decoder::parameters(self)].concat()
    }

    /// Latents as a diffusion model sees them.
    pub fn scale(&self, latents: &mut [f32]) {
        latents.iter_mut().for_each(|z| *z = (f64::from(*z) * self.scaling_factor) as f32);
    }

    /// Latents as the decoder takes them, from those that a diffusion model made.
    pub fn unscale(&self, latents: &mut [f32]) {
        latents.iter_mut().for_each(|z| *z = (f64::from(*z) / self.scaling_factor) as f32);
    }

    /// Checks everything that the networks rely on.
    ///
    /// # Errors
    /// [`NetworkError`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<(), NetworkError> {
        let widths = self.block_out_channels.iter().map(|&width| ("a width of block_out_channels", width));
        let sizes = [
            ("in_channels", self.in_channels),
            ("out_channels", self.out_channels),
            ("latent_channels", self.latent_channels),
            ("layers_per_block", self.layers_per_block),
            ("norm_num_groups", self.norm_num_groups),
        ];
        check_sizes(NAME, sizes.into_iter().chain(widths))?;
        let fail = |what: String| Err(NetworkError::new(NAME, what));
        let resolutions = self.block_out_channels.len();
        if !(1..=16).contains(&resolutions) {
            return fail(format!("{resolutions} block_out_channels, expected 1 to 16"));
        }
        let groups = self.norm_num_groups;
        if let Some(width) = self.block_out_channels.iter().find(|width| !width.is_multiple_of(groups)) {
            return fail(format!("norm_num_groups is {groups}, which does not divide the width {width}"));
        }
        if !["silu", "swish"].contains(&self.act_fn.as_str()) {
            return fail(format!("act_fn is {}, expected silu", self.act_fn));
        }
        for (name, kinds, expected) in [
            ("down_block_types", &self.down_block_types, "DownEncoderBlock2D"),
            ("up_block_types", &self.up_block_types, "UpDecoderBlock2D"),
        ] {
            if kinds.len() != resolutions || kinds.iter().any(|kind| kind != expected) {
                return fail(format!("{name} are {kinds:?}, expected {resolutions} of {expected}"));
            }
        }
        if !(self.scaling_factor.is_finite() && self.scaling_factor != 0.0) {
            return fail(format!("scaling_factor is {}, expected a number but 0", self.scaling_factor));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counts_of_public_sizes() {
        let count = |config: VaeConfig| {
            config.check().unwrap();
            config.parameters().iter().map(Parameter::len).sum::<usize>()
        };
        assert_eq!(count(VaeConfig::stable_diffusion()), 83_653_863);
        assert_eq!(count(VaeConfig::audioldm()), 55_376_873);
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides() {
        type Break = fn(&mut VaeConfig);
        let cases: [(Break, &str); 5] = [
            (|c| c.latent_channels = 0, "latent_channels is 0"),
            (|c| c.norm_num_groups = 24, "24, which does not divide the width 128"),
            (|c| c.act_fn = "relu".into(), "act_fn is relu"),
            (|c| c.down_block_types[1] = "AttnDownEncoderBlock2D".into(), "expected 4 of DownEncoderBlock2D"),
            (|c| c.block_out_channels.clear(), "0 block_out_channels"),
        ];
        for (change, expected) in cases {
            let mut config = VaeConfig::stable_diffusion();
            change(&mut config);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
