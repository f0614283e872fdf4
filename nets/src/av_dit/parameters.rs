//! What an AV-DiT learns, what of it stays frozen, and how trained LoRA is merged.

use super::config::AvDitConfig;
use super::fusion;
use super::parts::LoraForm;
use crate::dit::{attention, conv};
use crate::lora::{self, LoraError};
use crate::parameters::{Init, Parameter, linear};

/// The label table of the backbone.
pub(super) const TABLE: &str = "y_embedder.embedding_table.weight";

/// The matrices that LoRA goes to.
const SITES: [&str; 4] = ["q", "k", "v", "proj"];

impl AvDitConfig {
    /// Every learned tensor: the backbone under its official names, then what is added to it. [`AvDitConfig::marked_parameters`]
    /// says of each whether it is trained.
    pub fn parameters(&self) -> Vec<Parameter> {
        let (d, p) = (self.width, self.patch);
        let mut list = self.backbone().parameters();
        conv(&mut list, "audio_embedder.proj", [d, self.audio.channels, p, p]);
        for i in 0..self.depth {
            self.block_parameters(&mut list, &format!("blocks.{i}"));
        }
        linear(&mut list, "audio_final", d, p * p * 2 * self.audio.channels, Init::Zeros);
        list
    }

    /// What is added to one block. All that adds to the backbone's own streams begins at zero.
    fn block_parameters(&self, list: &mut Vec<Parameter>, name: &str) {
        let d = self.width;
        if self.parts.temporal {
            for part in ["q", "k"] {
                let name = format!("{name}.temporal.{part}");
                linear(list, &name, d, d / self.temporal_ratio, Init::XavierUniform);
            }
            linear(list, &format!("{name}.temporal.v"), d, d, Init::XavierUniform);
            linear(list, &format!("{name}.temporal.proj"), d, d, Init::Zeros);
        }
        for (site, rank) in self.lora_sites() {
            match self.lora {
                LoraForm::Merged => attention(list, &format!("{name}.{site}_attn"), d),
                LoraForm::Separate => {
                    SITES.iter().for_each(|part| {
                        lora::parameters(list, &format!("{name}.{site}_lora.{part}"), [d, d], rank)
                    });
                }
            }
        }
        if self.parts.audio_adapter {
            let hidden = d / self.adapter_ratio;
            linear(list, &format!("{name}.audio_adapter.down"), d, hidden, Init::XavierUniform);
            linear(list, &format!("{name}.audio_adapter.up"), hidden, d, Init::Zeros);
        }
        if self.parts.fusion {
            fusion::parameters(list, self, name);
        }
    }

    /// [`AvDitConfig::parameters`], each with whether it is trained: what is added to the backbone, and of the backbone every
    /// bias and the label table. In the merged form nothing is.
    pub fn marked_parameters(&self) -> Vec<(Parameter, bool)> {
        let (trains, backbone) = (self.lora == LoraForm::Separate, self.backbone().parameters().len());
        let mark = |(i, parameter): (usize, Parameter)| {
            let thaws = i >= backbone || parameter.name.ends_with(".bias") || parameter.name == TABLE;
            (parameter, trains && thaws)
        };
        self.parameters().into_iter().enumerate().map(mark).collect()
    }

    /// Number of learned values, those of the backbone included.
    pub fn parameter_count(&self) -> usize {
        self.parameters().iter().map(Parameter::len).sum()
    }

    /// Number of values that are trained.
    pub fn trained_count(&self) -> usize {
        self.marked_parameters().iter().filter(|(_, trained)| *trained).map(|(p, _)| p.len()).sum()
    }

    /// The same network with LoRA merged; its values come from [`AvDitConfig::merged`].
    #[must_use]
    pub fn in_merged_form(&self) -> Self {
        Self { lora: LoraForm::Merged, ..self.clone() }
    }

    /// The values of a tensor of the merged form, from those of this network by name: a site's own copy of `attn` takes up
    /// its LoRA, every other tensor is what it was. The sums are taken in double precision and rounded once.
    ///
    /// # Errors
    /// Whatever `load` reports; [`LoraError`] if what it gives does not fit together.
    pub fn merged<E: From<LoraError>>(
        &self,
        name: &str,
        mut load: impl FnMut(&str) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<f32>, E> {
        for (site, rank) in self.lora_sites() {
            let Some((block, rest)) = name.split_once(&format!(".{site}_attn.")) else { continue };
            let weight = load(&format!("{block}.attn.{rest}"))?;
            let parts: &[&str] = match rest {
                "qkv.weight" => &SITES[..3],
                "proj.weight" => &SITES[3..],
                _ => return Ok(weight),
            };
            let mut merged = Vec::with_capacity(weight.len());
            for (rows, part) in weight.chunks_exact((weight.len() / parts.len()).max(1)).zip(parts) {
                let lora = format!("{block}.{site}_lora.{part}");
                let (a, b) = (load(&format!("{lora}.A"))?, load(&format!("{lora}.B"))?);
                let rows = lora::merge(rows, [&a, &b], rank, self.lora_scale)?;
                merged.extend(rows.into_iter().map(|x| x as f32));
            }
            return Ok(merged);
        }
        load(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_size_has_the_numbers_of_its_specification() {
        let config = AvDitConfig::published();
        assert_eq!(config.backbone().state_dict_count(), 675_129_632);
        assert_eq!(config.parameter_count(), 833_057_376);
        assert_eq!(config.trained_count(), 159_865_440);
        let adapters = config.parameter_count() - config.backbone().parameter_count();
        assert_eq!(adapters, 158_222_656);
        assert_eq!(config.in_merged_form().trained_count(), 0);
    }

    /// Tables 2 and 3 of the paper, without what `fusion` tests.
    #[test]
    fn the_papers_ablations_have_their_numbers_at_the_published_size() {
        type Change = fn(&mut AvDitConfig);
        for (change, trained) in [
            ((|config| config.parts.temporal = false) as Change, 76_185_312),
            (|config| config.parts.audio_adapter = false, 122_658_144),
            (|config| config.parts.audio_lora = false, 141_285_984),
            (|config| (config.parts.audio_adapter, config.parts.audio_lora) = (false, false), 104_078_688),
            (|config| config.parts.fusion = false, 141_221_472),
            (|config| config.temporal_ratio = 2, 187_758_816),
            (|config| config.temporal_ratio = 4, 169_163_232),
            (|config| (config.video.height, config.video.width) = (64, 64), 159_865_440),
        ] {
            let mut config = AvDitConfig::published();
            change(&mut config);
            config.check().unwrap();
            assert_eq!(config.trained_count(), trained);
        }
    }

    #[test]
    fn of_the_backbone_biases_and_the_label_table_are_trained() {
        let config = AvDitConfig { depth: 1, ..AvDitConfig::published() };
        let marked = config.marked_parameters();
        let trains = |name: &str| marked.iter().find(|(parameter, _)| parameter.name == name).unwrap().1;
        assert!(trains("blocks.0.attn.qkv.bias") && trains("final_layer.linear.bias") && trains(TABLE));
        assert!(!trains("blocks.0.attn.qkv.weight") && !trains("x_embedder.proj.weight"));
        assert!(trains("blocks.0.audio_lora.q.A") && trains("audio_embedder.proj.weight"));
    }

    #[test]
    fn every_part_can_be_left_out_with_its_parameters() {
        let all = AvDitConfig { depth: 1, ..AvDitConfig::published() };
        let names =
            |config: &AvDitConfig| config.parameters().into_iter().map(|p| p.name).collect::<Vec<_>>();
        type Switch = fn(&mut super::super::Parts) -> &mut bool;
        for (switch, marks) in [
            ((|parts| &mut parts.temporal) as Switch, &["temporal."][..]),
            (|parts| &mut parts.audio_lora, &["audio_lora."]),
            (|parts| &mut parts.fusion, &["fusion_lora.", "fusion_gate_"]),
            (|parts| &mut parts.audio_adapter, &["audio_adapter."]),
        ] {
            let mut config = all.clone();
            *switch(&mut config.parts) = false;
            let without = |name: &String| !marks.iter().any(|mark| name.contains(mark));
            let expected: Vec<_> = names(&all).into_iter().filter(without).collect();
            assert!(expected.len() < names(&all).len());
            assert_eq!(names(&config), expected);
        }
    }

    #[test]
    fn a_merged_site_has_the_backbones_weights_and_its_own_lora() {
        let config = AvDitConfig { width: 2, audio_rank: 1, lora_scale: 2.0, ..AvDitConfig::published() };
        let load = |name: &str| -> Result<Vec<f32>, LoraError> {
            Ok(match name {
                "blocks.3.attn.qkv.weight" => (0..12).map(|x| x as f32).collect(),
                "blocks.3.audio_lora.k.A" => vec![1.0, -1.0],
                "blocks.3.audio_lora.k.B" => vec![3.0, 5.0],
                name if name.contains("lora") => vec![0.0; 2],
                name => vec![name.len() as f32],
            })
        };
        let qkv = config.merged("blocks.3.audio_attn.qkv.weight", load).unwrap();
        assert_eq!(qkv, [0.0, 1.0, 2.0, 3.0, 10.0, -1.0, 16.0, -3.0, 8.0, 9.0, 10.0, 11.0]);
        for (name, from) in [
            ("blocks.3.audio_attn.qkv.bias", "blocks.3.attn.qkv.bias"),
            ("blocks.3.attn.qkv.bias", "blocks.3.attn.qkv.bias"),
        ] {
            assert_eq!(config.merged(name, load).unwrap(), [from.len() as f32], "{name}");
        }
    }
}
