//! The parts of a network, as the names of graph nodes tell them: `/blocks.3/attn/q/MatMul` belongs to block 3, to its
//! attention.

use serde::Serialize;
use std::fmt;

/// Where a node belongs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Part {
    pub block: Block,
    pub kind: Kind,
}

/// A stretch of the network, in the order in which it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Block {
    VideoEmbed,
    AudioEmbed,
    TimeEmbed,
    /// What all blocks share of adaLN.
    SharedModulation,
    Transformer(usize),
    FinalVideo,
    FinalAudio,
    /// The sampler's update, where it is part of the graph.
    Sampler,
    /// Another first part of a path.
    Other(String),
    /// No path, and no neighbours that agree.
    Unattributed,
}

/// What a node does within its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Attention,
    Mlp,
    /// Shifts, scales and gates on the cells.
    #[serde(rename = "adaLN")]
    AdaLn,
    /// Norms, and what shifts, scales and gates do to the tokens.
    Modulate,
    /// Everything in front of the blocks and behind them.
    Ends,
    Other,
}

/// How the work of a part divides between the modalities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Share {
    Video,
    Audio,
    /// Done on the tokens of both: by their numbers.
    Tokens,
    /// Done on the cells of both, of which each has as many.
    Cells,
    Unknown,
}

impl Block {
    fn of(segment: &str) -> Option<Self> {
        Some(match segment {
            "video_embed" => Block::VideoEmbed,
            "audio_embed" => Block::AudioEmbed,
            "t_embedder" => Block::TimeEmbed,
            "adaLN_shared" => Block::SharedModulation,
            "final_video" => Block::FinalVideo,
            "final_audio" => Block::FinalAudio,
            "sampler" | "step" => Block::Sampler,
            _ => Block::Transformer(segment.strip_prefix("blocks.")?.parse().ok()?),
        })
    }
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Block::VideoEmbed => f.write_str("video_embed"),
            Block::AudioEmbed => f.write_str("audio_embed"),
            Block::TimeEmbed => f.write_str("t_embedder"),
            Block::SharedModulation => f.write_str("adaLN_shared"),
            Block::Transformer(i) => write!(f, "blocks.{i}"),
            Block::FinalVideo => f.write_str("final_video"),
            Block::FinalAudio => f.write_str("final_audio"),
            Block::Sampler => f.write_str("sampler"),
            Block::Other(name) => f.write_str(name),
            Block::Unattributed => f.write_str("unattributed"),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Kind::Attention => "attention",
            Kind::Mlp => "mlp",
            Kind::AdaLn => "adaLN",
            Kind::Modulate => "modulate",
            Kind::Ends => "ends",
            Kind::Other => "other",
        })
    }
}

impl Part {
    pub const UNATTRIBUTED: Part = Part { block: Block::Unattributed, kind: Kind::Other };

    /// The part that a path names; `None` if the name is no path. Engines put words of their own around the path of a
    /// node that they have merged.
    pub fn of(name: &str) -> Option<Self> {
        let segments: Vec<&str> = name.split('/').filter(|segment| !segment.is_empty()).collect();
        let found = segments.iter().enumerate().find_map(|(i, segment)| Some((i, Block::of(segment)?)));
        let (block, rest) = match found {
            Some((i, block)) => (block, &segments[i + 1..]),
            None if name.starts_with('/') && segments.len() > 1 => {
                (Block::Other(segments[0].to_owned()), &segments[1..])
            }
            None => return None,
        };
        let kind = match block {
            Block::Transformer(_) => kind(rest),
            _ => Kind::Ends,
        };
        Some(Self { block, kind })
    }

    pub fn share(&self) -> Share {
        match (&self.block, self.kind) {
            (Block::VideoEmbed | Block::FinalVideo, _) => Share::Video,
            (Block::AudioEmbed | Block::FinalAudio, _) => Share::Audio,
            (Block::TimeEmbed | Block::SharedModulation, _) | (_, Kind::AdaLn) => Share::Cells,
            (Block::Transformer(_) | Block::Sampler, _) => Share::Tokens,
            _ => Share::Unknown,
        }
    }
}

impl Share {
    /// The shares of video and audio, where video has `video_tokens` of all tokens as its share.
    pub fn split(self, video_tokens: f64) -> (f64, f64) {
        match self {
            Share::Video => (1.0, 0.0),
            Share::Audio => (0.0, 1.0),
            Share::Tokens => (video_tokens, 1.0 - video_tokens),
            Share::Cells => (0.5, 0.5),
            Share::Unknown => (0.0, 0.0),
        }
    }
}

/// Within a block: the first segments of the path decide.
fn kind(path: &[&str]) -> Kind {
    let Some(first) = path.first() else { return Kind::Other };
    // `LayerNormalization_1`, `Gather:2`.
    let word = first.split([':', '_', '.']).next().unwrap_or(first);
    match word {
        // What an AV-DiT has beside the blocks of an image DiT.
        "audio" if first.starts_with("audio_adapter") => Kind::Mlp,
        "audio" | "fusion" | "temporal" => Kind::Attention,
        "attn" | "Reshape" | "MultiHeadAttention" | "Attention" => Kind::Attention,
        "mlp" => Kind::Mlp,
        "adaLN" => Kind::AdaLn,
        "modulate" | "scale" | "shift" | "gate" | "residual" | "Gather" | "Split" | "Slice" => Kind::Modulate,
        "LayerNormalization" | "SkipLayerNormalization" | "norm" => Kind::Modulate,
        _ => Kind::Other,
    }
}

/// The parts of names in the order in which their nodes run, and whether each had to be taken from its neighbours: the
/// nearest names before and after that are paths, where they agree on the block. The kind is theirs if they agree on
/// that too.
pub fn attribute<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<(Part, bool)> {
    let own: Vec<Option<Part>> = names.into_iter().map(Part::of).collect();
    let part = |(i, part): (usize, &Option<Part>)| match part {
        Some(part) => (part.clone(), false),
        None => {
            let before = own[..i].iter().rev().flatten().next();
            let after = own[i + 1..].iter().flatten().next();
            match (before, after) {
                (Some(a), Some(b)) if a == b => (a.clone(), true),
                (Some(a), Some(b)) if a.block == b.block => {
                    (Part { block: a.block.clone(), kind: Kind::Other }, true)
                }
                _ => (Part::UNATTRIBUTED, false),
            }
        }
    };
    own.iter().enumerate().map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_nodes_tell_block_and_kind() {
        let block = |kind| Some(Part { block: Block::Transformer(3), kind });
        let ends = |block| Some(Part { block, kind: Kind::Ends });
        let cases = [
            ("/blocks.3/attn/q/MatMul", block(Kind::Attention)),
            ("/blocks.3/attn/k_norm/Mul/SimplifiedLayerNormFusion/", block(Kind::Attention)),
            ("/blocks.3/Reshape_2", block(Kind::Attention)),
            ("/blocks.3/mlp/Gelu", block(Kind::Mlp)),
            ("/blocks.3/adaLN_modulation/1/Add", block(Kind::AdaLn)),
            ("/blocks.3/Gather:5", block(Kind::Modulate)),
            ("/blocks.3/LayerNormalization_1", block(Kind::Modulate)),
            ("/blocks.3/gate/Mul_1", block(Kind::Modulate)),
            ("MatMul_Bias_Add_Fusion//blocks.3/mlp/fc1/MatMul", block(Kind::Mlp)),
            ("/blocks.3/fusion_video/q/MatMul", block(Kind::Attention)),
            ("/blocks.3/temporal/proj/Gemm", block(Kind::Attention)),
            ("/blocks.3/audio_lora/k/A/MatMul", block(Kind::Attention)),
            ("/blocks.3/audio_adapter/down/Gemm", block(Kind::Mlp)),
            ("/blocks.3/Whirl", block(Kind::Other)),
            ("/t_embedder/silu/Mul/QuickGeluFusion/", ends(Block::TimeEmbed)),
            ("/final_audio/linear/MatMul", ends(Block::FinalAudio)),
            ("/encoder/Conv", ends(Block::Other("encoder".to_owned()))),
            ("FastGelu", None),
            ("/video_noise", None),
        ];
        for (name, part) in cases {
            assert_eq!(Part::of(name), part, "{name}");
        }
    }

    #[test]
    fn a_name_without_a_path_belongs_where_both_neighbours_do() {
        let parts = attribute([
            "x",
            "/blocks.0/mlp/fc1/MatMul",
            "y",
            "z",
            "/blocks.0/mlp/fc2/MatMul",
            "u",
            "/blocks.0/gate/Mul",
            "v",
            "/blocks.1/gate/Mul",
        ]);
        let told: Vec<_> =
            parts.iter().map(|(part, guessed)| format!("{} {} {guessed}", part.block, part.kind)).collect();
        let expected = [
            "unattributed other false",
            "blocks.0 mlp false",
            "blocks.0 mlp true",
            "blocks.0 mlp true",
            "blocks.0 mlp false",
            "blocks.0 other true",
            "blocks.0 modulate false",
            "unattributed other false",
            "blocks.1 modulate false",
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn shares_of_the_modalities_add_up() {
        let split = |name: &str| Part::of(name).unwrap().share().split(0.75);
        assert_eq!(split("/video_embed/MatMul"), (1.0, 0.0));
        assert_eq!(split("/final_audio/MatMul"), (0.0, 1.0));
        assert_eq!(split("/blocks.0/mlp/fc1/MatMul"), (0.75, 0.25));
        assert_eq!(split("/blocks.0/adaLN_modulation/1/MatMul"), (0.5, 0.5));
    }
}
