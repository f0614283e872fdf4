//! DiT's checkpoints: the official names and those of diffusers' `DiTTransformer2DModel`, and the network's size, which
//! the shapes of its tensors tell.

use super::plan::{Extra, From, Plan, Role};
use super::sources::Sources;
use super::{ImportOptions, ImportedConfig, Imports, MAX_DEPTH};
use crate::error::{Error, Result};
use avdit_nets::DitConfig;
use avdit_nets::dit::position_code;
use serde_json::Value;
use std::collections::BTreeMap;

/// Widths of the published networks, which tell their heads.
const HEADS: [(usize, usize); 4] = [(384, 6), (768, 12), (1024, 16), (1152, 16)];

const CODE: &str = "pos_embed";

/// Under whose names a DiT is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Names {
    Official,
    Diffusers,
}

impl Names {
    pub(super) fn of(sources: &Sources) -> Option<Self> {
        let any = |start: &str| sources.names().any(|name| name.starts_with(start));
        match (any("x_embedder.") || any("blocks.0.adaLN_modulation."), any("transformer_blocks.")) {
            (true, _) => Some(Names::Official),
            (false, true) => Some(Names::Diffusers),
            (false, false) => None,
        }
    }

    fn from(self, name: &str) -> From {
        if self == Names::Official {
            return From::Whole(name.to_owned());
        }
        let own = |front: &str, layer: &str, kind: &str| From::Whole(format!("{front}{layer}.{kind}"));
        let Some((layer, kind)) = name.rsplit_once('.') else { return From::Whole(name.to_owned()) };
        let embedders = "transformer_blocks.0.norm1.emb.";
        match layer {
            "x_embedder.proj" => own("", "pos_embed.proj", kind),
            "t_embedder.mlp.0" => own(embedders, "timestep_embedder.linear_1", kind),
            "t_embedder.mlp.2" => own(embedders, "timestep_embedder.linear_2", kind),
            "y_embedder.embedding_table" => own(embedders, "class_embedder.embedding_table", kind),
            "final_layer.adaLN_modulation.1" => own("", "proj_out_1", kind),
            "final_layer.linear" => own("", "proj_out_2", kind),
            _ => {
                let place = layer.strip_prefix("blocks.").and_then(|rest| rest.split_once('.'));
                let Some((i, layer)) = place else { return From::Whole(name.to_owned()) };
                let block = format!("transformer_blocks.{i}.");
                match layer {
                    "attn.qkv" => {
                        let part = |part: &str| format!("{block}attn1.to_{part}.{kind}");
                        From::Rows(["q", "k", "v"].map(part).to_vec())
                    }
                    "attn.proj" => own(&block, "attn1.to_out.0", kind),
                    "mlp.fc1" => own(&block, "ff.net.0.proj", kind),
                    "mlp.fc2" => own(&block, "ff.net.2", kind),
                    _ => own(&block, "norm1.linear", kind),
                }
            }
        }
    }

    /// Each block of diffusers' form has the embedders of time and class, of which the network has one.
    fn copies(self, depth: usize, config: &DitConfig) -> Vec<Extra> {
        if self == Names::Official {
            return Vec::new();
        }
        let embedders = |name: &str| name.starts_with("t_embedder.") || name.starts_with("y_embedder.");
        let shared: Vec<_> = config.parameters().into_iter().filter(|p| embedders(&p.name)).collect();
        let copy = |i: usize, p: &avdit_nets::Parameter| {
            let From::Whole(first) = self.from(&p.name) else { return None };
            let name = first.replacen("transformer_blocks.0.", &format!("transformer_blocks.{i}."), 1);
            Some(Extra { name, shape: Some(p.shape.clone()), role: Role::Copy(first) })
        };
        (1..depth).flat_map(|i| shared.iter().filter_map(move |p| copy(i, p))).collect()
    }

    fn code(self) -> &'static str {
        match self {
            Names::Official => CODE,
            Names::Diffusers => "pos_embed.pos_embed",
        }
    }
}

/// What a DiT of some files is.
///
/// # Errors
/// [`Error::Content`] naming the tensor without which its size is not known; [`Error::Config`] naming the option that
/// says what no tensor tells.
pub(super) fn read(sources: &Sources, config: Option<&Value>, options: &ImportOptions) -> Result<Imports> {
    let names = Names::of(sources).unwrap_or(Names::Official);
    let size = Size { sources, names };
    let config = size.config(config.filter(|config| is_of_diffusers(config)), options)?;
    config.check().map_err(|error| Error::content(sources.path(), error))?;
    let mut extras = names.copies(config.depth, &config);
    let code = Role::Computed(position_code(&config));
    let shape = Some(vec![1, config.tokens(), config.width]);
    extras.push(Extra { name: names.code().to_owned(), shape, role: code });
    let plan = Plan::new(config.parameters(), |name| names.from(name), extras);
    let names = match names {
        Names::Official => "official",
        Names::Diffusers => "diffusers",
    };
    Ok(Imports { config: ImportedConfig::Dit(config), plan, names: names.to_owned() })
}

/// What shapes tell.
struct Size<'a> {
    sources: &'a Sources,
    names: Names,
}

impl Size<'_> {
    /// The shape of a parameter that is a whole tensor in the file.
    fn shape(&self, parameter: &str) -> Option<&[usize]> {
        let From::Whole(name) = self.names.from(parameter) else { return None };
        self.sources.shape(&name)
    }

    fn must(&self, parameter: &str, dimensions: usize) -> Result<&[usize]> {
        let From::Whole(name) = self.names.from(parameter) else { return Ok(&[]) };
        let what = match self.sources.shape(&name) {
            Some(shape) if shape.len() == dimensions && shape.iter().all(|&size| size > 0) => {
                return Ok(shape);
            }
            Some(shape) => format!("misshapen: {shape:?}, expected {dimensions} dimensions"),
            None => "missing".to_owned(),
        };
        let what =
            format!("tensor {name}: {what}; without it the size of a DiT is not known; nothing was written");
        Err(Error::content(self.sources.path(), what))
    }

    fn config(&self, file: Option<&Value>, options: &ImportOptions) -> Result<DitConfig> {
        let number = |key: &str| file.and_then(|file| file.get(key)?.as_u64()).map(|n| n as usize);
        let width = self.width()?;
        let (channels, patch) = match *self.must("x_embedder.proj.weight", 4)? {
            [_, channels, patch, other] if patch == other => (channels, patch),
            ref shape => {
                let what =
                    format!("tensor x_embedder.proj.weight: misshapen: {shape:?}, expected square patches");
                return Err(Error::content(self.sources.path(), what));
            }
        };
        let rows = self.must("y_embedder.embedding_table.weight", 2)?[0];
        let outputs = self.must("final_layer.linear.weight", 2)?[0];
        let (null_class, depth) = (!options.no_null_class, self.depth()?);
        let hidden = (0..depth).find_map(|i| self.shape(&format!("blocks.{i}.mlp.fc1.bias")));
        let mut mlp_ratio =
            hidden.and_then(<[usize]>::first).map_or(4.0, |&hidden| hidden as f64 / width as f64);
        // The network rounds the product down, which the rounded quotient must not take below what the tensors have.
        if hidden
            .is_some_and(|shape| shape.first().is_some_and(|&h| ((width as f64 * mlp_ratio) as usize) < h))
        {
            mlp_ratio = mlp_ratio.next_up();
        }
        let known = HEADS.iter().find(|(known, _)| *known == width).map(|(_, heads)| *heads);
        let heads = options.heads.or_else(|| number("num_attention_heads")).or(known).ok_or_else(|| {
            let what =
                format!("a DiT of width {width} is none of the published, and no tensor tells its heads");
            Error::Config(format!("{}: {what}\n\nhint: say them with --heads", self.sources.path().display()))
        })?;
        let side = number("sample_size").map(|side| [side, side]);
        let size = match options.size.or(side) {
            Some(size) => size,
            None => self.size(patch)?,
        };
        Ok(DitConfig {
            width,
            depth,
            heads,
            mlp_ratio,
            patch,
            channels,
            size,
            classes: rows - usize::from(null_class),
            null_class,
            learned_variance: outputs >= 2 * channels * patch * patch,
        })
    }

    /// What most of the tensors say that have one side of it, so that a single wrong one is told as such.
    fn width(&self) -> Result<usize> {
        let sides = [
            ("x_embedder.proj.bias", 0),
            ("x_embedder.proj.weight", 0),
            ("t_embedder.mlp.2.bias", 0),
            ("t_embedder.mlp.0.bias", 0),
            ("y_embedder.embedding_table.weight", 1),
            ("final_layer.linear.weight", 1),
            ("final_layer.adaLN_modulation.1.weight", 1),
        ];
        let mut votes = BTreeMap::<usize, usize>::new();
        for (name, side) in sides {
            if let Some(width) = self.shape(name).and_then(|shape| shape.get(side)) {
                *votes.entry(*width).or_default() += 1;
            }
        }
        let most = votes.into_iter().max_by_key(|(_, votes)| *votes).map(|(width, _)| width);
        most.filter(|&width| width > 0).ok_or_else(|| {
            Error::content(self.sources.path(), "holds no tensor that tells the width of a DiT")
        })
    }

    fn depth(&self) -> Result<usize> {
        let front = if self.names == Names::Official { "blocks." } else { "transformer_blocks." };
        let block = |name: &str| name.strip_prefix(front)?.split_once('.')?.0.parse::<usize>().ok();
        let depth = self.sources.names().filter_map(block).max().map_or(0, |last| last.saturating_add(1));
        // A stray number must not ask for a table of millions of lines.
        if !(1..=MAX_DEPTH).contains(&depth) {
            let what = format!("a DiT of {depth} blocks, expected 1 to {MAX_DEPTH}");
            return Err(Error::content(self.sources.path(), what));
        }
        Ok(depth)
    }

    /// The square of latents that a stored position code is for.
    fn size(&self, patch: usize) -> Result<[usize; 2]> {
        let name = self.names.code();
        let tokens = match self.sources.shape(name) {
            Some(&[1, tokens, _] | &[tokens, _]) => Some(tokens),
            _ => None,
        };
        let side = tokens.map(usize::isqrt).filter(|side| *side > 0 && Some(side * side) == tokens);
        side.map(|side| [side * patch; 2]).ok_or_else(|| {
            let found = tokens
                .map_or("there is no position code".to_owned(), |n| format!("{n} tokens make no square"));
            let what = format!("for which latents it is cannot be told: {found}");
            let path = self.sources.path().display();
            Error::Config(format!("{path}: {what}\n\nhint: say it with --size, such as --size 32x32"))
        })
    }
}

/// Whether a configuration is that of diffusers' form, and not of something else that lies beside the file.
fn is_of_diffusers(config: &Value) -> bool {
    let class = config.get("_class_name").and_then(Value::as_str);
    class.is_some_and(|class| class.ends_with("Transformer2DModel"))
}
