//! Where sight and sound meet: the mean of all frames on one side, sound on the other.

use super::block::site_of;
use super::config::AvDitConfig;
use super::parts::FusionForm;
use crate::dit::block::{EPS, grouped, self_attention};
use crate::ops::Ops;
use crate::parameters::{Init, Parameter};

/// The attention in which sight asks sound, and the one in which sound asks sight, of [`FusionForm::Cross`].
const CROSS: [&str; 2] = ["fusion_video", "fusion_audio"];

/// The gates of the other forms.
const GATES: [&str; 2] = ["fusion_gate_video", "fusion_gate_audio"];

/// Video tokens (M·L, D) and audio tokens (La, D), each with what it saw of the other: every frame the same.
pub(super) fn fusion<O: Ops>(
    ops: &O,
    config: &AvDitConfig,
    name: &str,
    video: &O::Tensor,
    audio: &O::Tensor,
) -> Result<(O::Tensor, O::Tensor), O::Error> {
    let (d, m, l) = (config.width, config.video.frames, config.frame_tokens());
    let frames = ops.reshape(video, &[m, l, d])?;
    let mean = ops.layer_norm(&ops.mean(&frames, 0)?, EPS)?; // (L, D)
    let sound = ops.layer_norm(audio, EPS)?; // (La, D)
    let [to_frames, to_sound] = match config.fusion_form {
        FusionForm::Lora | FusionForm::Frozen => together(ops, config, name, [&mean, &sound])?,
        FusionForm::Cross => {
            let [of_video, of_audio] = CROSS.map(|part| format!("{name}.{part}"));
            let heads = config.heads;
            [cross(ops, &of_video, [&mean, &sound], heads)?, cross(ops, &of_audio, [&sound, &mean], heads)?]
        }
    };
    let to_frames = ops.reshape(&to_frames, &[1, l, d])?;
    let video = ops.reshape(&ops.add(&frames, &to_frames)?, &[m * l, d])?;
    Ok((video, ops.add(audio, &to_sound)?))
}

/// The block's own attention over both, and a gate for what each of them saw.
fn together<O: Ops>(
    ops: &O,
    config: &AvDitConfig,
    name: &str,
    both: [&O::Tensor; 2],
) -> Result<[O::Tensor; 2], O::Error> {
    let joint = ops.concat(&both, 0)?; // (L + La, D)
    let y = self_attention(ops, &site_of(config, name, "fusion"), &joint, [1, config.heads])?;
    let [of_video, of_audio] = GATES.map(|gate| ops.parameter(&format!("{name}.{gate}")));
    let (l, la) = (config.frame_tokens(), config.audio_tokens());
    Ok([ops.mul(&ops.narrow(&y, 0, 0, l)?, &of_video?)?, ops.mul(&ops.narrow(&y, 0, l, la)?, &of_audio?)?])
}

/// What the tokens of `asks` (n, D) see in those of `seen` (k, D): (n, D).
fn cross<O: Ops>(
    ops: &O,
    name: &str,
    [asks, seen]: [&O::Tensor; 2],
    heads: usize,
) -> Result<O::Tensor, O::Error> {
    let product = |x: &O::Tensor, part: &str| ops.matmul(x, &format!("{name}.{part}.weight"));
    let [q, k, v] = [(asks, "q"), (seen, "k"), (seen, "v")].map(|(x, part)| product(x, part));
    product(&grouped(ops, [&q?, &k?, &v?], [1, heads])?, "proj")
}

/// What is learned here beside LoRA, in one block.
pub(super) fn parameters(list: &mut Vec<Parameter>, config: &AvDitConfig, name: &str) {
    let d = config.width;
    match config.fusion_form {
        FusionForm::Lora | FusionForm::Frozen => {
            for gate in GATES {
                list.push(Parameter { name: format!("{name}.{gate}"), shape: vec![d], init: Init::Zeros });
            }
        }
        FusionForm::Cross => {
            let narrow = d / config.fusion_ratio;
            for attention in CROSS {
                let mut matrix = |part: &str, shape: [usize; 2], init| {
                    let name = format!("{name}.{attention}.{part}.weight");
                    list.push(Parameter { name, shape: shape.to_vec(), init });
                };
                for part in ["q", "k", "v"] {
                    matrix(part, [narrow, d], Init::XavierUniform);
                }
                matrix("proj", [d, narrow], Init::Zeros);
            }
        }
    }
}

/// Multiply-adds of one block's fusion, LoRA apart.
pub(super) fn multiply_adds(config: &AvDitConfig) -> usize {
    let (d, l, la) = (config.width, config.frame_tokens(), config.audio_tokens());
    match config.fusion_form {
        FusionForm::Lora | FusionForm::Frozen => 4 * (l + la) * d * d + 2 * (l + la).pow(2) * d,
        FusionForm::Cross => {
            let narrow = d / config.fusion_ratio;
            // Of each attention q and proj on those that ask, k and v on those that are seen; scores and their mix.
            4 * (l + la) * d * narrow + 4 * l * la * narrow
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::av_dit::Parts;

    fn published(fusion_form: FusionForm) -> AvDitConfig {
        AvDitConfig { fusion_form, ..AvDitConfig::published() }
    }

    /// The paper's Table 7 has 289.82 M trained values with two cross-attentions; 0.01 % less than here.
    #[test]
    fn every_form_has_its_numbers_at_the_published_size() {
        let trained = |form| published(form).trained_count();
        assert_eq!(trained(FusionForm::Lora), 159_865_440);
        assert_eq!(trained(FusionForm::Frozen), 159_865_440 - 28 * 4 * 2 * 72 * 1152);
        assert_eq!(trained(FusionForm::Cross), 289_857_120);
        assert!((trained(FusionForm::Cross) as f64 / 289.82e6 - 1.0).abs() < 2e-4);
        for form in [FusionForm::Lora, FusionForm::Frozen, FusionForm::Cross] {
            published(form).check().unwrap();
        }
    }

    #[test]
    fn a_form_has_its_own_parameters_alone() {
        let names = |config: AvDitConfig| -> Vec<String> {
            let one = AvDitConfig { depth: 1, ..config };
            let all = one.parameters().into_iter().map(|p| p.name);
            all.filter_map(|name| Some(name.strip_prefix("blocks.0.fusion_")?.to_owned())).collect()
        };
        let gates = ["gate_video", "gate_audio"];
        assert_eq!(names(published(FusionForm::Frozen)), gates);
        assert_eq!(names(published(FusionForm::Frozen).in_merged_form()), gates);
        let cross = names(published(FusionForm::Cross));
        assert_eq!(cross[..4], ["video.q.weight", "video.k.weight", "video.v.weight", "video.proj.weight"]);
        assert!(cross.len() == 8 && cross[4..].iter().all(|name| name.starts_with("audio.")), "{cross:?}");
        let parts = Parts { fusion: false, ..Parts::default() };
        assert_eq!(names(AvDitConfig { parts, ..published(FusionForm::Cross) }), [""; 0]);
    }

    #[test]
    fn the_width_of_cross_attention_is_checked_where_it_is_used() {
        let mut config = AvDitConfig { fusion_ratio: 7, fusion_rank: 0, ..published(FusionForm::Cross) };
        assert_eq!(
            config.check().unwrap_err().to_string(),
            "AV-DiT configuration: width 1152 must be a multiple of fusion_ratio 7 times heads 16"
        );
        config.fusion_form = FusionForm::Frozen;
        config.check().unwrap();
        config.fusion_form = FusionForm::Lora;
        assert!(config.check().unwrap_err().to_string().contains("fusion_rank 0"));
    }
}
