//! Which network a run trains.

use super::{TrainConfig, fail, nearest};
use crate::base::Base;
use crate::error::{Error, Result};
use avdit_core::Layout;
use avdit_nets::av_dit::{AudioGrid, DEFAULT_FUSION_RATIO, FusionForm, LoraForm, Parts};
use avdit_nets::avdit::{AvditConfig, VideoConfig};
use avdit_nets::{AvDitConfig, DitConfig, NetworkConfig};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The network: a preset, and what differs from it. The grid of latents comes from the dataset.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// `avdit`, `av-dit` or `dit`.
    #[serde(default, skip_serializing_if = "Architecture::is_default")]
    pub architecture: Architecture,
    /// A name of [`AvditConfig::PRESETS`]; `tiny` if absent. A DiT takes width, depth and heads from it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub preset: Option<String>,
    /// Width of a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<usize>,
    /// Blocks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub depth: Option<usize>,
    /// Attention heads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub heads: Option<usize>,
    /// Hidden width of the MLP over the width.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mlp_ratio: Option<f64>,
    /// RMS norm on q and k.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub qk_norm: Option<bool>,
    /// Low-rank adaLN; 0 for a full one in each block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaln_rank: Option<usize>,
    /// Side of the square of video latents that makes a token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub patch: Option<usize>,
    /// Of an AV-DiT: the image DiT that it stands on and leaves as it is: a run of one, or an imported one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
    /// Of an AV-DiT: its adapters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adapters: Option<AdapterSettings>,
}

/// Which kind of network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Architecture {
    /// MoNL's AVDiT.
    #[default]
    Avdit,
    /// Adapters on an image DiT.
    AvDit,
    /// An image DiT on single frames.
    Dit,
}

impl Architecture {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The adapters of an AV-DiT (Wang et al. 2024), each part on or off, and their ratios and ranks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdapterSettings {
    /// D over the width of q and k of the temporal attention.
    pub temporal_ratio: usize,
    /// Rank of the LoRA among sounds; a sixteenth of the width if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_rank: Option<usize>,
    /// Rank of the LoRA between sight and sound; a sixteenth of the width if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion_rank: Option<usize>,
    /// How sight and sound see each other.
    pub fusion_form: FusionForm,
    /// D over the width of q, k and v of two cross-attentions; 2 if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fusion_ratio: Option<usize>,
    /// D over the hidden width of the audio adapter.
    pub adapter_ratio: usize,
    /// Factor of every LoRA, α/r.
    pub lora_scale: f64,
    /// Bins of frequency of the audio latents, which lie behind one another in a frame; the dataset's channels if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audio_bins: Option<usize>,
    /// Attention of each place over the frames.
    pub temporal: bool,
    /// LoRA of the attention among sounds.
    pub audio_lora: bool,
    /// Attention between sight and sound.
    pub fusion: bool,
    /// The adapter beside the MLP of sound.
    pub audio_adapter: bool,
}

impl Default for AdapterSettings {
    fn default() -> Self {
        Self {
            temporal_ratio: 8,
            audio_rank: None,
            fusion_rank: None,
            fusion_form: FusionForm::default(),
            fusion_ratio: None,
            adapter_ratio: 2,
            lora_scale: 1.0,
            audio_bins: None,
            temporal: true,
            audio_lora: true,
            fusion: true,
            audio_adapter: true,
        }
    }
}

impl AdapterSettings {
    /// Refuses what belongs to another form of fusion, or to none.
    fn check(&self) -> Result<()> {
        if !self.fusion && self.fusion_form != FusionForm::default() {
            let form = self.fusion_form.name().to_owned();
            return fail("model.adapters.fusion_form", form, "absent, since model.adapters.fusion is false");
        }
        match self.fusion_ratio {
            Some(ratio) if self.fusion_form != FusionForm::Cross => {
                let expected = "absent, since model.adapters.fusion_form is not \"cross\"";
                fail("model.adapters.fusion_ratio", ratio.to_string(), expected)
            }
            _ => Ok(()),
        }
    }
}

impl ModelConfig {
    /// The base, open, where one is named.
    ///
    /// # Errors
    /// As [`Base::open`].
    pub fn open_base(&self) -> Result<Option<Base>> {
        self.base.as_deref().map(Base::open).transpose()
    }

    /// Refuses settings that the architecture does not have.
    pub(super) fn check(&self) -> Result<()> {
        let on_base = self.architecture == Architecture::AvDit;
        let avdit = self.architecture == Architecture::Avdit;
        for (name, set, allowed) in [
            ("preset", self.preset.is_some(), !on_base),
            ("width", self.width.is_some(), !on_base),
            ("depth", self.depth.is_some(), !on_base),
            ("heads", self.heads.is_some(), !on_base),
            ("mlp_ratio", self.mlp_ratio.is_some(), !on_base),
            ("patch", self.patch.is_some(), !on_base),
            ("qk_norm", self.qk_norm.is_some(), avdit),
            ("adaln_rank", self.adaln_rank.is_some(), avdit),
            ("base", self.base.is_some(), on_base),
            ("adapters", self.adapters.is_some(), on_base),
        ] {
            if set && !allowed {
                let expected = if on_base {
                    "absent: model.base decides it"
                } else {
                    "absent for this model.architecture"
                };
                return fail(&format!("model.{name}"), "set".into(), expected);
            }
        }
        self.adapters.as_ref().map_or(Ok(()), AdapterSettings::check)?;
        if on_base && self.base.is_none() {
            return fail(
                "model.base",
                "absent".into(),
                "the run of an image DiT, since model.architecture is av-dit",
            );
        }
        Ok(())
    }

    fn preset(&self) -> Result<AvditConfig> {
        let name = self.preset.as_deref().unwrap_or("tiny");
        AvditConfig::preset(name).ok_or_else(|| {
            let known = AvditConfig::PRESETS;
            let hint = nearest(name, known.into_iter()).map(|n| format!("\n\nhint: did you mean `{n}`?"));
            Error::Config(format!(
                "model.preset: '{name}' is not one of {}{}",
                known.join(", "),
                hint.unwrap_or_default()
            ))
        })
    }

    fn avdit(&self, layout: &Layout) -> Result<AvditConfig> {
        let base = self.preset()?;
        let (video, audio) = (layout.video.clone(), layout.audio.clone());
        Ok(AvditConfig {
            width: self.width.unwrap_or(base.width),
            depth: self.depth.unwrap_or(base.depth),
            heads: self.heads.unwrap_or(base.heads),
            mlp_ratio: self.mlp_ratio.unwrap_or(base.mlp_ratio),
            qk_norm: self.qk_norm.unwrap_or(base.qk_norm),
            adaln_rank: self.adaln_rank.or(base.adaln_rank).filter(|&rank| rank > 0),
            video: VideoConfig {
                frames: video.frames,
                channels: video.channels,
                height: video.height,
                width: video.width,
                patch: self.patch.unwrap_or(base.video.patch),
                segments: video.segments,
            },
            audio,
        })
    }

    fn dit(&self, layout: &Layout) -> Result<DitConfig> {
        let (base, video) = (self.preset()?, &layout.video);
        Ok(DitConfig {
            width: self.width.unwrap_or(base.width),
            depth: self.depth.unwrap_or(base.depth),
            heads: self.heads.unwrap_or(base.heads),
            mlp_ratio: self.mlp_ratio.unwrap_or(base.mlp_ratio),
            patch: self.patch.unwrap_or(base.video.patch),
            channels: video.channels,
            size: [video.height, video.width],
            classes: 1,
            null_class: true,
            learned_variance: true,
        })
    }

    fn av_dit(&self, layout: &Layout, base: &DitConfig) -> Result<AvDitConfig> {
        let adapters = self.adapters.clone().unwrap_or_default();
        let (audio, patch) = (&layout.audio, base.patch);
        let bins = adapters.audio_bins.unwrap_or(audio.channels);
        if bins == 0 || !audio.channels.is_multiple_of(bins) {
            let expected = format!("a divisor of the {} values of an audio frame", audio.channels);
            return fail("model.adapters.audio_bins", bins.to_string(), &expected);
        }
        if let Some(odd) = audio.segments.iter().find(|frames| !frames.is_multiple_of(patch)) {
            return Err(Error::Config(format!(
                "an audio segment of {odd} latent frames cannot be cut into patches of {patch}, the base's"
            )));
        }
        let rank = |rank: Option<usize>| rank.unwrap_or((base.width / 16).max(1));
        let config = AvDitConfig {
            width: base.width,
            depth: base.depth,
            heads: base.heads,
            patch,
            classes: base.classes,
            temporal_ratio: adapters.temporal_ratio,
            audio_rank: rank(adapters.audio_rank),
            fusion_rank: rank(adapters.fusion_rank),
            fusion_form: adapters.fusion_form,
            fusion_ratio: adapters.fusion_ratio.unwrap_or(DEFAULT_FUSION_RATIO),
            adapter_ratio: adapters.adapter_ratio,
            lora_scale: adapters.lora_scale,
            video: layout.video.clone(),
            audio: AudioGrid {
                frames: audio.frames,
                bins,
                channels: audio.channels / bins,
                segments: audio.segments.iter().map(|frames| frames / patch).collect(),
            },
            parts: Parts {
                temporal: adapters.temporal,
                audio_lora: adapters.audio_lora,
                fusion: adapters.fusion,
                audio_adapter: adapters.audio_adapter,
            },
            lora: LoraForm::Separate,
        };
        if config.backbone() != *base {
            let (needs, is) = (config.backbone(), base);
            let what = format!("model.base is {is:?}, the latents of the data need {needs:?}");
            return Err(Error::Config(what));
        }
        Ok(config)
    }
}

impl TrainConfig {
    /// The network on a dataset's grid.
    ///
    /// # Errors
    /// As [`TrainConfig::network_on`]; whatever opening its base reports.
    pub fn network(&self, layout: &Layout) -> Result<NetworkConfig> {
        self.network_on(layout, self.model.open_base()?.as_ref())
    }

    /// The network on a dataset's grid, and on its base where it has one.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown preset or a base that does not fit; a network error if it cannot be built.
    pub fn network_on(&self, layout: &Layout, base: Option<&Base>) -> Result<NetworkConfig> {
        let config: NetworkConfig = match (self.model.architecture, base) {
            (Architecture::Avdit, _) => self.model.avdit(layout)?.into(),
            (Architecture::Dit, _) => self.model.dit(layout)?.into(),
            (Architecture::AvDit, Some(base)) => self.model.av_dit(layout, &base.config)?.into(),
            (Architecture::AvDit, None) => {
                return fail("model.base", "absent".into(), "the run of an image DiT");
            }
        };
        config.check()?;
        Ok(config)
    }
}
