//! The configuration of an AVDiT, its presets, and everything that follows from it: layout, tokens, parameters.

use crate::parameters::{Init, Parameter, linear};
use crate::positions::{segment_times, sincos};
use crate::timestep;
use avdit_core::{AudioLayout, Layout, VideoLayout};
use serde::{Deserialize, Serialize};

/// Brings the 24-layer, 1024-wide network within 1 % of the paper's 420M parameters.
const RANK_420M: usize = 614;

/// The video side of an AVDiT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VideoConfig {
    /// Latent frames.
    pub frames: usize,
    /// Latent channels.
    pub channels: usize,
    /// Latent rows.
    pub height: usize,
    /// Latent columns.
    pub width: usize,
    /// Side of the square of latents that makes a token.
    pub patch: usize,
    /// Latent frames in each segment.
    pub segments: Vec<usize>,
}

/// The configuration of an AVDiT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvditConfig {
    /// D, the width of a token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the MLP over D.
    pub mlp_ratio: f64,
    /// Whether q and k of every head are RMS-normalised.
    pub qk_norm: bool,
    /// Rank of the per-block adaLN over one shared projection (W.A.L.T); `None` for a full one in each block.
    #[serde(default)]
    pub adaln_rank: Option<usize>,
    /// Sight.
    pub video: VideoConfig,
    /// Sound.
    pub audio: AudioLayout,
}

/// Why a configuration cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("AVDiT configuration: {0}")]
pub struct ConfigError(String);

impl AvditConfig {
    /// The paper's grid at 8 video and 32 audio channels: 17 frames of 128×128 at 8 fps, 2.125 s of sound.
    fn on_paper_grid(
        width: usize,
        depth: usize,
        heads: usize,
        patch: usize,
        adaln_rank: Option<usize>,
    ) -> Self {
        let video =
            VideoConfig { frames: 5, channels: 8, height: 16, width: 16, patch, segments: vec![1; 5] };
        let audio = AudioLayout { frames: 106, channels: 32, segments: vec![6, 25, 25, 25, 25] };
        Self { width, depth, heads, mlp_ratio: 4.0, qk_norm: true, adaln_rank, video, audio }
    }

    /// A named size: `tiny`, `small`, `avdit-420m` (patch 2) or `avdit-420m-patch1`.
    pub fn preset(name: &str) -> Option<Self> {
        match name {
            "tiny" => Some(Self {
                video: VideoConfig {
                    frames: 5,
                    channels: 16,
                    height: 4,
                    width: 4,
                    patch: 2,
                    segments: vec![1; 5],
                },
                audio: AudioLayout { frames: 26, channels: 32, segments: vec![2, 6, 6, 6, 6] },
                ..Self::on_paper_grid(128, 4, 4, 2, None)
            }),
            "small" => Some(Self::on_paper_grid(384, 12, 6, 2, None)),
            "avdit-420m" => Some(Self::on_paper_grid(1024, 24, 16, 2, Some(RANK_420M))),
            "avdit-420m-patch1" => Some(Self::on_paper_grid(1024, 24, 16, 1, Some(RANK_420M))),
            _ => None,
        }
    }

    /// The names that [`AvditConfig::preset`] knows.
    pub const PRESETS: [&str; 4] = ["tiny", "small", "avdit-420m", "avdit-420m-patch1"];

    /// Checks everything that the network relies on.
    ///
    /// # Errors
    /// [`ConfigError`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError(message));
        let (d, v) = (self.width, &self.video);
        if d == 0 || !d.is_multiple_of(8) || self.heads == 0 || !d.is_multiple_of(self.heads) {
            return fail(format!("width {d} must be a multiple of 8 and of heads ({})", self.heads));
        }
        if self.depth == 0
            || !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0)
            || self.hidden() == 0
            || self.adaln_rank == Some(0)
        {
            return fail(format!(
                "depth {}, mlp_ratio {} (at most 64) and adaln_rank must be above 0",
                self.depth, self.mlp_ratio
            ));
        }
        if v.patch == 0 || !v.height.is_multiple_of(v.patch) || !v.width.is_multiple_of(v.patch) {
            return fail(format!(
                "latents of {}x{} cannot be cut into patches of {}",
                v.height, v.width, v.patch
            ));
        }
        self.layout().check().map_err(|error| ConfigError(error.to_string()))
    }

    /// The grid of its latents.
    pub fn layout(&self) -> Layout {
        let VideoConfig { frames, channels, height, width, segments, .. } = self.video.clone();
        Layout { video: VideoLayout { frames, channels, height, width, segments }, audio: self.audio.clone() }
    }

    /// Tokens of one video frame, as rows and columns.
    pub(super) fn patches(&self) -> (usize, usize) {
        (self.video.height / self.video.patch, self.video.width / self.video.patch)
    }

    /// Video tokens.
    pub fn video_tokens(&self) -> usize {
        let (rows, columns) = self.patches();
        self.video.frames * rows * columns
    }

    /// All tokens.
    pub fn tokens(&self) -> usize {
        self.video_tokens() + self.audio.frames
    }

    pub(super) fn patch_len(&self) -> usize {
        self.video.channels * self.video.patch * self.video.patch
    }

    pub(super) fn hidden(&self) -> usize {
        (self.width as f64 * self.mlp_ratio) as usize
    }

    /// The cell of every token.
    pub fn token_cells(&self) -> Vec<usize> {
        let (rows, columns) = self.patches();
        let segments = self.video.segments.len();
        let frame_cells = |sizes: &[usize], first: usize| -> Vec<usize> {
            sizes.iter().enumerate().flat_map(|(n, &k)| vec![first + n; k]).collect()
        };
        let video =
            frame_cells(&self.video.segments, 0).into_iter().flat_map(|cell| vec![cell; rows * columns]);
        video.chain(frame_cells(&self.audio.segments, segments)).collect()
    }

    /// Position codes of the video tokens and of the audio tokens, `(tokens, D)` each.
    pub(super) fn position_codes(&self) -> (Vec<f32>, Vec<f32>) {
        let d = self.width;
        let (rows, columns) = self.patches();
        let mut video = Vec::new();
        for time in segment_times(&self.video.segments) {
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                video.extend(sincos(time, d / 2));
                video.extend(sincos(row as f64, d / 4));
                video.extend(sincos(column as f64, d / 4));
            }
        }
        let mut audio = Vec::new();
        for time in segment_times(&self.audio.segments) {
            audio.extend(sincos(time, d / 2));
            audio.extend(vec![0.0; d / 2]);
        }
        let single = |values: Vec<f64>| values.into_iter().map(|x| x as f32).collect();
        (single(video), single(audio))
    }

    /// Every learned tensor, in the network's order.
    pub fn parameters(&self) -> Vec<Parameter> {
        let d = self.width;
        let mut list = Vec::new();
        linear(&mut list, "video_embed", self.patch_len(), d, Init::XavierUniform);
        linear(&mut list, "audio_embed", self.audio.channels, d, Init::XavierUniform);
        list.push(Parameter { name: "modality_embed".into(), shape: vec![2, d], init: Init::Normal(0.02) });
        timestep::parameters(&mut list, d);
        if self.adaln_rank.is_some() {
            linear(&mut list, "adaLN_shared", d, 6 * d, Init::Zeros);
        }
        for i in 0..self.depth {
            self.block_parameters(&mut list, &format!("blocks.{i}"));
        }
        for (name, outputs) in [("final_video", self.patch_len()), ("final_audio", self.audio.channels)] {
            linear(&mut list, &format!("{name}.linear"), d, outputs, Init::Zeros);
            linear(&mut list, &format!("{name}.adaLN_modulation.1"), d, 2 * d, Init::Zeros);
        }
        list
    }

    fn block_parameters(&self, list: &mut Vec<Parameter>, name: &str) {
        let d = self.width;
        linear(list, &format!("{name}.attn.qkv"), d, 3 * d, Init::XavierUniform);
        linear(list, &format!("{name}.attn.proj"), d, d, Init::XavierUniform);
        if self.qk_norm {
            for norm in ["q_norm", "k_norm"] {
                let name = format!("{name}.attn.{norm}.weight");
                list.push(Parameter { name, shape: vec![d / self.heads], init: Init::Ones });
            }
        }
        linear(list, &format!("{name}.mlp.fc1"), d, self.hidden(), Init::XavierUniform);
        linear(list, &format!("{name}.mlp.fc2"), self.hidden(), d, Init::XavierUniform);
        let ada = format!("{name}.adaLN_modulation");
        match self.adaln_rank {
            None => linear(list, &format!("{ada}.1"), d, 6 * d, Init::Zeros),
            Some(rank) => {
                let down = format!("{ada}.down.weight");
                list.push(Parameter { name: down, shape: vec![rank, d], init: Init::XavierUniform });
                linear(list, &format!("{ada}.up"), rank, 6 * d, Init::Zeros);
            }
        }
    }

    /// Number of learned values.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_paper_size_is_within_one_percent_of_420_million() {
        for name in ["avdit-420m", "avdit-420m-patch1"] {
            let count = AvditConfig::preset(name).unwrap().parameter_count();
            assert!((count as f64 / 420e6 - 1.0).abs() < 0.01, "{name}: {count}");
        }
    }

    #[test]
    fn every_preset_is_sound() {
        for name in AvditConfig::PRESETS {
            AvditConfig::preset(name).unwrap().check().unwrap();
        }
        let tokens = |name| AvditConfig::preset(name).unwrap().tokens();
        assert_eq!((tokens("tiny"), tokens("small"), tokens("avdit-420m-patch1")), (46, 426, 1386));
    }

    #[test]
    fn a_width_that_heads_do_not_divide_is_refused() {
        let config = AvditConfig { heads: 5, ..AvditConfig::preset("tiny").unwrap() };
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "AVDiT configuration: width 128 must be a multiple of 8 and of heads (5)"
        );
    }
}
