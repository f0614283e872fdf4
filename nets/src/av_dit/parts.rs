//! What is added to the image DiT, and in which form.

use serde::{Deserialize, Serialize};

/// Which of the parts are there; all, unless told otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Parts {
    /// Attention of each place over the frames.
    pub temporal: bool,
    /// LoRA of the attention among sounds.
    pub audio_lora: bool,
    /// Attention between sight and sound, in one of the forms of [`FusionForm`].
    pub fusion: bool,
    /// The adapter beside the MLP of sound.
    pub audio_adapter: bool,
}

impl Default for Parts {
    fn default() -> Self {
        Self { temporal: true, audio_lora: true, fusion: true, audio_adapter: true }
    }
}

/// How sight and sound see each other where a block has fusion: the published form, and two that the paper compares it
/// with (Wang et al. 2024, Tables 3 and 7).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FusionForm {
    /// The frozen attention over both together, with LoRA, and a gate for each.
    #[default]
    Lora,
    /// The same without LoRA: only the gates are trained.
    Frozen,
    /// Two attentions of their own, sight asking sound and sound asking sight, all trained, without biases and gates; their
    /// last matrices begin at zero.
    Cross,
}

impl FusionForm {
    /// Its name, as a configuration has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lora => "lora",
            Self::Frozen => "frozen",
            Self::Cross => "cross",
        }
    }
}

/// How the sites of LoRA are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LoraForm {
    /// As factors: two small matrix products more for each matrix, and the frozen weights in memory once.
    #[default]
    Separate,
    /// Folded into a copy of the attention's weights for each site, since sight goes on with the frozen ones: no products
    /// more, 4·D² values more for each site. To run a trained network, not to train one.
    Merged,
}
