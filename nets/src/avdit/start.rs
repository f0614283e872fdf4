//! How gradients come into an AVDiT that begins at zero.
//!
//! The last linear layers and every adaLN begin at zero (adaLN-Zero). So the first gradient of a run stops at the last
//! layers; the next one comes as far as the tokens, and through each block's residual path to its gates; only when
//! the gates have moved does one come inside the blocks. A parameter that has none when it must is frozen, and no
//! error would say so.

use super::AvditConfig;
use avdit_core::Modality;

/// When a parameter gets its first gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awake {
    /// As soon as the loss has a term of this modality: the linear map that predicts it.
    AtOnce(Modality),
    /// When that map has moved: the modulation before it.
    AfterLast(Modality),
    /// Likewise, or when the gates have moved: the embedding, which the other modality sees through attention.
    AfterOwnLast(Modality),
    /// When any of these maps has moved whose modality is in the loss: what makes the gates.
    AfterAnyLast,
    /// When the gates have moved as well: everything inside the blocks, and all behind a layer that begins at zero.
    AfterGates,
}

impl AvditConfig {
    /// When the parameter of a name gets its first gradient.
    pub fn awake(&self, name: &str) -> Awake {
        for (prefix, modality) in [("final_video.", Modality::Video), ("final_audio.", Modality::Audio)] {
            if let Some(rest) = name.strip_prefix(prefix) {
                return match rest.starts_with("linear.") {
                    true => Awake::AtOnce(modality),
                    false => Awake::AfterLast(modality),
                };
            }
        }
        for (prefix, modality) in [("video_embed.", Modality::Video), ("audio_embed.", Modality::Audio)] {
            if name.starts_with(prefix) {
                return Awake::AfterOwnLast(modality);
            }
        }
        let gates = [".adaLN_modulation.1.", ".adaLN_modulation.up."].iter().any(|part| name.contains(part));
        if gates || name == "modality_embed" || name.starts_with("adaLN_shared.") {
            return Awake::AfterAnyLast;
        }
        Awake::AfterGates
    }
}
