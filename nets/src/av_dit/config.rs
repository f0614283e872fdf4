//! The configuration of an AV-DiT: an image DiT and what is added to it.

use super::parts::{FusionForm, LoraForm, Parts};
use crate::dit::DitConfig;
use crate::patches::Patches;
use avdit_core::{AudioLayout, Layout, VideoLayout};
use serde::{Deserialize, Serialize};

/// The audio side: a spectrogram's latents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AudioGrid {
    /// Latent frames A.
    pub frames: usize,
    /// Latent bins F of frequency.
    pub bins: usize,
    /// Latent channels Ca.
    pub channels: usize,
    /// Patches of time in each segment; sums to A/p.
    pub segments: Vec<usize>,
}

/// The configuration of an AV-DiT. Beware of [`AvditConfig`](crate::AvditConfig), another network of nearly the same name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvDitConfig {
    /// D, the width of a token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Side of the square of latents that makes a token, of sight and of sound.
    pub patch: usize,
    /// Classes of pictures that the backbone knows; one more, the last one, stands for none of them.
    pub classes: usize,
    /// D over the width of q and k of the temporal attention.
    pub temporal_ratio: usize,
    /// Rank of the LoRA among sounds.
    pub audio_rank: usize,
    /// Rank of the LoRA between sight and sound, of [`FusionForm::Lora`].
    pub fusion_rank: usize,
    /// How sight and sound see each other.
    #[serde(default)]
    pub fusion_form: FusionForm,
    /// D over the width of q, k and v of [`FusionForm::Cross`].
    #[serde(default = "default_fusion_ratio")]
    pub fusion_ratio: usize,
    /// D over the hidden width of the audio adapter.
    pub adapter_ratio: usize,
    /// Factor of every LoRA, α/r.
    pub lora_scale: f64,
    /// Sight.
    pub video: VideoLayout,
    /// Sound.
    pub audio: AudioGrid,
    /// Which parts are there.
    #[serde(default)]
    pub parts: Parts,
    /// How LoRA is kept.
    #[serde(default)]
    pub lora: LoraForm,
}

/// [`AvDitConfig::fusion_ratio`] where none is given: with it the count is within 0.02 % of the paper's Table 7.
pub const DEFAULT_FUSION_RATIO: usize = 2;

fn default_fusion_ratio() -> usize {
    DEFAULT_FUSION_RATIO
}

/// Why a configuration cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("AV-DiT configuration: {0}")]
pub struct ConfigError(String);

impl AvDitConfig {
    /// The published size: DiT-XL/2 under 1.6 s of 16 frames and 160 mel frames, one segment (Wang et al. 2024). The paper
    /// leaves the rank of fusion open; 72 is the plain reading that gives its count.
    pub fn published() -> Self {
        Self {
            width: 1152,
            depth: 28,
            heads: 16,
            patch: 2,
            classes: 1000,
            temporal_ratio: 8,
            audio_rank: 72,
            fusion_rank: 72,
            fusion_form: FusionForm::default(),
            fusion_ratio: DEFAULT_FUSION_RATIO,
            adapter_ratio: 2,
            lora_scale: 1.0,
            video: VideoLayout { frames: 16, channels: 4, height: 32, width: 32, segments: vec![16] },
            audio: AudioGrid { frames: 40, bins: 16, channels: 8, segments: vec![20] },
            parts: Parts::default(),
            lora: LoraForm::default(),
        }
    }

    /// The image DiT that it stands on.
    pub fn backbone(&self) -> DitConfig {
        DitConfig {
            width: self.width,
            depth: self.depth,
            heads: self.heads,
            mlp_ratio: 4.0,
            patch: self.patch,
            channels: self.video.channels,
            size: [self.video.height, self.video.width],
            classes: self.classes,
            null_class: true,
            learned_variance: true,
        }
    }

    /// Checks everything that the network relies on.
    ///
    /// # Errors
    /// [`ConfigError`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError(message));
        self.backbone().check().map_err(|error| ConfigError(error.to_string()))?;
        let (d, p, audio) = (self.width, self.patch, &self.audio);
        let cross = self.parts.fusion && self.fusion_form == FusionForm::Cross;
        for (name, on, ratio) in [
            ("temporal_ratio", self.parts.temporal, self.temporal_ratio),
            ("fusion_ratio", cross, self.fusion_ratio),
        ] {
            let (heads, whole) = (self.heads, ratio.saturating_mul(self.heads));
            if on && (whole == 0 || !d.is_multiple_of(whole)) {
                return fail(format!("width {d} must be a multiple of {name} {ratio} times heads {heads}"));
            }
        }
        if self.parts.audio_adapter && (self.adapter_ratio == 0 || !d.is_multiple_of(self.adapter_ratio)) {
            return fail(format!("width {d} must be a multiple of adapter_ratio {}", self.adapter_ratio));
        }
        for (site, rank) in self.lora_sites() {
            if !(1..=d).contains(&rank) {
                return fail(format!("{site}_rank {rank} must be at least 1 and at most the width {d}"));
            }
        }
        if !self.lora_scale.is_finite() {
            return fail(format!("lora_scale {} must be finite", self.lora_scale));
        }
        let cut = |side: usize| side > 0 && side.is_multiple_of(p);
        if audio.channels == 0 || !cut(audio.frames) || !cut(audio.bins) {
            let AudioGrid { frames, bins, channels, .. } = audio;
            return fail(format!(
                "audio of {channels} x {frames} x {bins} cannot be cut into patches of {p}"
            ));
        }
        let (rows, sum) =
            (audio.frames / p, audio.segments.iter().fold(0usize, |sum, n| sum.saturating_add(*n)));
        if sum != rows {
            return fail(format!("audio segments must sum to the {rows} patches of time, and sum to {sum}"));
        }
        self.layout().check().map_err(|error| ConfigError(error.to_string()))
    }

    /// The attentions that have a LoRA, `audio` (among sounds) and `fusion` (between sight and sound), with its rank.
    pub fn lora_sites(&self) -> Vec<(&'static str, usize)> {
        let fusion = self.parts.fusion && self.fusion_form == FusionForm::Lora;
        let all = [(self.parts.audio_lora, "audio", self.audio_rank), (fusion, "fusion", self.fusion_rank)];
        all.into_iter().filter(|(is_there, _, _)| *is_there).map(|(_, site, rank)| (site, rank)).collect()
    }

    /// The grid of its latents; an audio frame (Ca, F) counts as so many channels.
    pub fn layout(&self) -> Layout {
        let AudioGrid { frames, bins, channels, segments } = &self.audio;
        let segments = segments.iter().map(|n| n.saturating_mul(self.patch)).collect();
        let channels = channels.saturating_mul(*bins);
        Layout { video: self.video.clone(), audio: AudioLayout { frames: *frames, channels, segments } }
    }

    /// The shape of a clip's sound as the network sees it: frames, channels and bins.
    pub fn audio_dims(&self) -> [usize; 3] {
        [self.audio.frames, self.audio.channels, self.audio.bins]
    }

    /// N, the number of time segments.
    pub fn segments(&self) -> usize {
        self.video.segments.len()
    }

    pub(super) fn patches(&self) -> Patches {
        let VideoLayout { frames, channels, height, width, .. } = self.video;
        Patches { frames, channels, height, width, patch: self.patch }
    }

    /// Tokens of a video frame.
    pub fn frame_tokens(&self) -> usize {
        self.patches().tokens() / self.video.frames
    }

    /// Tokens of all video frames.
    pub fn video_tokens(&self) -> usize {
        self.patches().tokens()
    }

    /// Rows (time) and columns (bins) of audio tokens.
    pub fn audio_patches(&self) -> [usize; 2] {
        [self.audio.frames / self.patch, self.audio.bins / self.patch]
    }

    /// Audio tokens.
    pub fn audio_tokens(&self) -> usize {
        self.audio_patches().iter().product()
    }

    /// The cell of every video token and of every audio token; cells are video 0…N−1, audio N…2N−1.
    pub fn token_cells(&self) -> [Vec<usize>; 2] {
        let cells = |sizes: &[usize], first: usize, tokens: usize| -> Vec<usize> {
            sizes.iter().enumerate().flat_map(|(n, &k)| vec![first + n; k * tokens]).collect()
        };
        let [_, columns] = self.audio_patches();
        [
            cells(&self.video.segments, 0, self.frame_tokens()),
            cells(&self.audio.segments, self.segments(), columns),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_size_is_sound_and_has_4096_and_160_tokens() {
        let config = AvDitConfig::published();
        config.check().unwrap();
        assert_eq!((config.video_tokens(), config.frame_tokens(), config.audio_tokens()), (4096, 256, 160));
    }

    #[test]
    fn a_token_belongs_to_the_segment_of_its_frame_or_patch_of_time() {
        let published = AvDitConfig::published();
        let video = VideoLayout { frames: 3, height: 4, width: 2, segments: vec![1, 2], ..published.video };
        let audio = AudioGrid { frames: 6, bins: 4, channels: 8, segments: vec![2, 1] };
        let config = AvDitConfig { video, audio, ..AvDitConfig::published() };
        config.check().unwrap();
        assert_eq!(config.token_cells(), [vec![0, 0, 1, 1, 1, 1], vec![2, 2, 2, 2, 3, 3]]);
    }

    #[test]
    fn what_cannot_be_built_is_told_with_both_sides_and_only_where_its_part_is_there() {
        let sound = AvDitConfig::published();
        let error = |config: &AvDitConfig| config.check().unwrap_err().to_string();
        let mut config = AvDitConfig { temporal_ratio: 7, ..sound.clone() };
        assert_eq!(
            error(&config),
            "AV-DiT configuration: width 1152 must be a multiple of temporal_ratio 7 times heads 16"
        );
        config.parts.temporal = false;
        config.check().unwrap();
        let audio = AudioGrid { segments: vec![19], ..sound.audio.clone() };
        assert_eq!(
            error(&AvDitConfig { audio, ..sound.clone() }),
            "AV-DiT configuration: audio segments must sum to the 20 patches of time, and sum to 19"
        );
        assert!(error(&AvDitConfig { fusion_rank: 0, ..sound.clone() }).contains("fusion_rank 0"));
        assert!(error(&AvDitConfig { lora_scale: f64::NAN, ..sound }).contains("lora_scale"));
    }
}
