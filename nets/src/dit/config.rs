//! The configuration of a DiT, its published sizes, and what it learns.

use crate::parameters::{Init, Parameter, linear};
use crate::patches::Patches;
use crate::timestep;
use serde::{Deserialize, Serialize};

/// The configuration of a DiT.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DitConfig {
    /// D, the width of a token.
    pub width: usize,
    /// Number of blocks.
    pub depth: usize,
    /// Attention heads.
    pub heads: usize,
    /// Hidden width of the MLP over D.
    pub mlp_ratio: f64,
    /// Side of the square of latents that makes a token.
    pub patch: usize,
    /// Latent channels C.
    pub channels: usize,
    /// Latent rows H and columns W.
    pub size: [usize; 2],
    /// Classes of pictures.
    pub classes: usize,
    /// Whether one more label, the last one, stands for no class: what guidance is taken against.
    pub null_class: bool,
    /// Whether the network says how sure it is: twice the channels, the second half the learned-range variance.
    pub learned_variance: bool,
}

/// Why a configuration cannot be built.
#[derive(Debug, thiserror::Error)]
#[error("DiT configuration: {0}")]
pub struct ConfigError(pub(crate) String);

impl DitConfig {
    /// A published size on latents of 4 × 32 × 32 with 1000 classes: `DiT-S/2` to `DiT-XL/8` (Peebles & Xie 2023, Table 1).
    pub fn preset(name: &str) -> Option<Self> {
        let (size, patch) = name.strip_prefix("DiT-")?.split_once('/')?;
        let patch = patch.parse().ok().filter(|patch| [2, 4, 8].contains(patch))?;
        let (width, depth, heads) = match size {
            "S" => (384, 12, 6),
            "B" => (768, 12, 12),
            "L" => (1024, 24, 16),
            "XL" => (1152, 28, 16),
            _ => return None,
        };
        let (channels, size, classes, null_class, learned_variance) = (4, [32, 32], 1000, true, true);
        let mlp_ratio = 4.0;
        Some(Self {
            width,
            depth,
            heads,
            mlp_ratio,
            patch,
            channels,
            size,
            classes,
            null_class,
            learned_variance,
        })
    }

    /// Checks everything that the network relies on.
    ///
    /// # Errors
    /// [`ConfigError`] naming the field and both sides of the disagreement.
    pub fn check(&self) -> Result<(), ConfigError> {
        let fail = |message: String| Err(ConfigError(message));
        let (d, p, [height, width]) = (self.width, self.patch, self.size);
        if d == 0 || !d.is_multiple_of(4) || self.heads == 0 || !d.is_multiple_of(self.heads) {
            return fail(format!("width {d} must be a multiple of 4 and of heads ({})", self.heads));
        }
        if !(self.mlp_ratio > 0.0 && self.mlp_ratio <= 64.0) || self.hidden() == 0 {
            return fail(format!("mlp_ratio {} must be above 0 and at most 64", self.mlp_ratio));
        }
        if self.depth == 0 || self.channels == 0 || self.labels() == 0 {
            let labels = self.labels();
            return fail(format!(
                "depth {}, channels {} and labels {labels} must be above 0",
                self.depth, self.channels
            ));
        }
        let cut = |side: usize| side > 0 && side.is_multiple_of(p);
        if p == 0 || !cut(height) || !cut(width) {
            return fail(format!("latents of {height}x{width} cannot be cut into patches of {p}"));
        }
        Ok(())
    }

    /// Rows of the label table: the classes, and the null class where there is one.
    pub fn labels(&self) -> usize {
        self.classes.saturating_add(usize::from(self.null_class))
    }

    /// Tokens of a picture.
    pub fn tokens(&self) -> usize {
        self.patches().tokens()
    }

    /// Channels of the output.
    pub fn output_channels(&self) -> usize {
        self.channels * if self.learned_variance { 2 } else { 1 }
    }

    pub(crate) fn hidden(&self) -> usize {
        (self.width as f64 * self.mlp_ratio) as usize
    }

    pub(crate) fn patches(&self) -> Patches {
        let [height, width] = self.size;
        Patches { frames: 1, channels: self.channels, height, width, patch: self.patch }
    }

    /// Every learned tensor under its official name, in the order of the official state dict. The position code
    /// `pos_embed` (1, tokens, D), which stands in that dict too, is computed ([`super::position_code`]).
    pub fn parameters(&self) -> Vec<Parameter> {
        let (d, p) = (self.width, self.patch);
        let mut list = Vec::new();
        conv(&mut list, "x_embedder.proj", [d, self.channels, p, p]);
        timestep::parameters(&mut list, d);
        let table = "y_embedder.embedding_table.weight".into();
        list.push(Parameter { name: table, shape: vec![self.labels(), d], init: Init::Normal(0.02) });
        for i in 0..self.depth {
            let name = format!("blocks.{i}");
            attention(&mut list, &format!("{name}.attn"), d);
            linear(&mut list, &format!("{name}.mlp.fc1"), d, self.hidden(), Init::XavierUniform);
            linear(&mut list, &format!("{name}.mlp.fc2"), self.hidden(), d, Init::XavierUniform);
            linear(&mut list, &format!("{name}.adaLN_modulation.1"), d, 6 * d, Init::Zeros);
        }
        linear(&mut list, "final_layer.linear", d, p * p * self.output_channels(), Init::Zeros);
        linear(&mut list, "final_layer.adaLN_modulation.1", d, 2 * d, Init::Zeros);
        list
    }

    /// Number of learned values.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }

    /// Number of values of the official state dict: the learned ones and the position code.
    pub fn state_dict_count(&self) -> usize {
        self.parameter_count() + self.tokens() * self.width
    }
}

/// The convolution of patches: `{name}.weight` (D, C, p, p) and `{name}.bias` (D).
pub(crate) fn conv(list: &mut Vec<Parameter>, name: &str, shape: [usize; 4]) {
    let (weight, init) = (format!("{name}.weight"), Init::XavierUniform);
    list.push(Parameter { name: weight, shape: shape.to_vec(), init });
    list.push(Parameter { name: format!("{name}.bias"), shape: vec![shape[0]], init: Init::Zeros });
}

/// The matrices of an attention over tokens of width `d`.
pub(crate) fn attention(list: &mut Vec<Parameter>, name: &str, d: usize) {
    linear(list, &format!("{name}.qkv"), d, 3 * d, Init::XavierUniform);
    linear(list, &format!("{name}.proj"), d, d, Init::XavierUniform);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_size_has_its_number_of_parameters() {
        for (name, count) in [
            ("DiT-S/2", 32_963_360),
            ("DiT-S/4", 32_945_024),
            ("DiT-S/8", 33_148_160),
            ("DiT-B/2", 130_512_416),
            ("DiT-B/4", 130_475_648),
            ("DiT-B/8", 130_881_536),
            ("DiT-L/2", 458_102_816),
            ("DiT-L/4", 458_053_760),
            ("DiT-L/8", 458_594_816),
            ("DiT-XL/2", 675_129_632),
            ("DiT-XL/4", 675_074_432),
            ("DiT-XL/8", 675_683_072),
        ] {
            let config = DitConfig::preset(name).unwrap();
            config.check().unwrap();
            assert_eq!(config.state_dict_count(), count, "{name}");
        }
        for name in ["DiT-XL/3", "DiT-M/2", "XL/2", "DiT-XL"] {
            assert_eq!(DitConfig::preset(name), None, "{name}");
        }
    }

    #[test]
    fn what_cannot_be_built_is_told_with_both_sides() {
        let sound = DitConfig::preset("DiT-S/2").unwrap();
        let error = |config: DitConfig| config.check().unwrap_err().to_string();
        assert_eq!(
            error(DitConfig { heads: 5, ..sound.clone() }),
            "DiT configuration: width 384 must be a multiple of 4 and of heads (5)"
        );
        assert_eq!(
            error(DitConfig { size: [32, 31], ..sound.clone() }),
            "DiT configuration: latents of 32x31 cannot be cut into patches of 2"
        );
        assert!(error(DitConfig { classes: 0, null_class: false, ..sound }).contains("labels 0"));
    }
}
