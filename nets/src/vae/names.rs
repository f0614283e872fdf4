//! Names of older checkpoints of the same autoencoder.

use super::VaeConfig;
use crate::weight_norm::Tensors;

/// Puts the tensors of an older checkpoint under the present names; names that are of neither stay.
///
/// Known are diffusers' former names of the attention (`query`, `key`, `value`, `proj_attn`) and those of the program
/// that Stable Diffusion was published with (`encoder.down.0.block.0…`, whose decoder counts its resolutions from the
/// finest), where attention is made of convolutions over one place and the whole may stand behind
/// `first_stage_model.`.
pub fn modernise(config: &VaeConfig, tensors: Tensors) -> Tensors {
    let rename = |(name, (mut shape, data)): (String, (Vec<usize>, Vec<f32>))| {
        let name = present(config, &name);
        if name.contains(".attentions.") && shape.len() > 2 && shape[2..].iter().all(|&size| size == 1) {
            shape.truncate(2);
        }
        (name, (shape, data))
    };
    tensors.into_iter().map(rename).collect()
}

/// The present name of a tensor.
fn present(config: &VaeConfig, name: &str) -> String {
    let parts: Vec<&str> = name.strip_prefix("first_stage_model.").unwrap_or(name).split('.').collect();
    let resolutions = config.block_out_channels.len();
    let place = |level: &str| {
        let level = level.parse::<usize>().ok()?;
        resolutions.checked_sub(level + 1)
    };
    let own: Vec<String> = match parts[..] {
        ["encoder", "down", i, "block", j, ref rest @ ..] => {
            joined(&["encoder.down_blocks", i, "resnets", j], rest)
        }
        ["encoder", "down", i, "downsample", ref rest @ ..] => {
            joined(&["encoder.down_blocks", i, "downsamplers.0"], rest)
        }
        ["decoder", "up", i, ref rest @ ..] => {
            let Some(i) = place(i).map(|i| i.to_string()) else { return parts.join(".") };
            match rest {
                ["block", j, rest @ ..] => joined(&["decoder.up_blocks", &i, "resnets", j], rest),
                ["upsample", rest @ ..] => joined(&["decoder.up_blocks", &i, "upsamplers.0"], rest),
                _ => return parts.join("."),
            }
        }
        [side, "mid", "block_1", ref rest @ ..] => joined(&[side, "mid_block.resnets.0"], rest),
        [side, "mid", "block_2", ref rest @ ..] => joined(&[side, "mid_block.resnets.1"], rest),
        [side, "mid", "attn_1", ref rest @ ..] => joined(&[side, "mid_block.attentions.0"], rest),
        [side, "norm_out", ref rest @ ..] => joined(&[side, "conv_norm_out"], rest),
        _ => parts.iter().map(|&part| part.to_owned()).collect(),
    };
    let name = own.join(".").replace(".nin_shortcut.", ".conv_shortcut.");
    let Some((front, layer)) = name.split_once(".attentions.0.") else { return name };
    let (layer, kind) = layer.rsplit_once('.').unwrap_or((layer, ""));
    let layer = match layer {
        "query" | "q" => "to_q",
        "key" | "k" => "to_k",
        "value" | "v" => "to_v",
        "proj_attn" | "proj_out" => "to_out.0",
        "norm" => "group_norm",
        other => other,
    };
    format!("{front}.attentions.0.{layer}.{kind}")
}

fn joined(front: &[&str], rest: &[&str]) -> Vec<String> {
    front.iter().chain(rest).map(|&part| part.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn former_names_become_present_ones() {
        let config = VaeConfig::stable_diffusion();
        for (old, new) in [
            (
                "encoder.down.1.block.0.nin_shortcut.weight",
                "encoder.down_blocks.1.resnets.0.conv_shortcut.weight",
            ),
            ("encoder.down.0.downsample.conv.bias", "encoder.down_blocks.0.downsamplers.0.conv.bias"),
            ("decoder.up.3.block.2.conv1.weight", "decoder.up_blocks.0.resnets.2.conv1.weight"),
            (
                "first_stage_model.decoder.up.1.upsample.conv.bias",
                "decoder.up_blocks.2.upsamplers.0.conv.bias",
            ),
            ("decoder.mid.attn_1.proj_out.weight", "decoder.mid_block.attentions.0.to_out.0.weight"),
            ("encoder.mid.attn_1.norm.bias", "encoder.mid_block.attentions.0.group_norm.bias"),
            ("encoder.mid_block.attentions.0.query.weight", "encoder.mid_block.attentions.0.to_q.weight"),
            ("encoder.mid.block_2.norm1.weight", "encoder.mid_block.resnets.1.norm1.weight"),
            ("encoder.norm_out.weight", "encoder.conv_norm_out.weight"),
            ("decoder.up.9.block.0.conv1.weight", "decoder.up.9.block.0.conv1.weight"),
        ] {
            assert_eq!(present(&config, old), new);
        }
        for parameter in config.parameters() {
            assert_eq!(present(&config, &parameter.name), parameter.name, "a present name stays");
        }
    }

    #[test]
    fn a_convolution_over_one_place_becomes_a_matrix_in_attention_alone() {
        let tensor = |name: &str| (name.to_owned(), (vec![2, 1, 1, 1], vec![1.0, 2.0]));
        let old = [tensor("encoder.mid.attn_1.q.weight"), tensor("quant_conv.weight")].into();
        let new = modernise(&VaeConfig::stable_diffusion(), old);
        assert_eq!(new["encoder.mid_block.attentions.0.to_q.weight"].0, [2, 1]);
        assert_eq!(new["quant_conv.weight"].0, [2, 1, 1, 1]);
    }
}
