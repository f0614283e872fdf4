//! The LoRA of an adapter as Hugging Face peft reads it.
//!
//! In peft a module has one LoRA for each adapter name, and AV-DiT adds two to the same attention: so the folder holds one
//! peft adapter for each site, `audio/` (among sounds) and `fusion/` (between sight and sound), each `adapter_config.json`
//! and `adapter_model.safetensors`. peft itself saves adapters of other names than `default` into such folders.
//!
//! The modules are those of the official DiT, `blocks.N.attn.qkv` and `blocks.N.attn.proj`. AV-DiT has factors (r, D) and
//! (D, r) for each of q, k and v, and `qkv` is one matrix, so its LoRA has rank 3r: `lora_A` (3r, D) is the three A one above
//! the other, `lora_B` (3D, 3r) has the three B on its diagonal and zeros elsewhere, which is the same sum. `r` and
//! `lora_alpha` (`lora_scale`·r) are those of `proj`, `rank_pattern` and `alpha_pattern` those of `qkv`.
//!
//! What was trained on in peft no longer has these zeros. [`read`] then gives q, k and v one A each of the whole rank, which
//! is the same sum again, and fills smaller ranks up with zeros: the network that it returns has other ranks.
//!
//! Everything of an adapter but LoRA has no form in peft, and comes from the adapter that [`read`] is given.

mod config;
mod factors;

use super::folder::holds_only;
use super::{Adapter, table};
use crate::checkpoint::{read_json, write_json};
use crate::error::{Error, Result};
use crate::model::Weights;
use avdit_media::codec::file_sha256;
use avdit_media::draft::FolderDraft;
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_nets::AvDitConfig;
use config::PeftConfig;
use factors::{Factors, Split};
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHTS_FILE: &str = "adapter_model.safetensors";

/// The matrices of AV-DiT that `qkv` is made of.
const QKV: [&str; 3] = ["q", "k", "v"];

/// A peft adapter.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Site {
    /// `audio` or `fusion`: its folder, and the name of its LoRA in AV-DiT.
    pub name: &'static str,
    /// r, the rank of `proj`.
    pub rank: usize,
}

/// The sites that a network has.
pub fn sites(network: &AvDitConfig) -> Vec<Site> {
    network.lora_sites().into_iter().map(|(name, rank)| Site { name, rank }).collect()
}

/// Writes the LoRA of an adapter as peft adapters; such a folder that is there is replaced, anything else is not.
///
/// # Errors
/// [`Error::Content`] if the adapter has no LoRA or lacks a tensor; [`Error::Media`] if the folder holds something else; [`Error::Io`].
pub fn write(adapter: &Adapter, folder: &Path) -> Result<Vec<Site>> {
    let network = &adapter.config.network;
    let sites = sites(network);
    if sites.is_empty() {
        return Err(Error::content(folder, "nothing to write: the adapter's network has no LoRA"));
    }
    let staged = FolderDraft::begin(folder, "peft adapters of an AV-DiT", holds_sites_alone)?;
    for site in &sites {
        let folder = staged.path().join(site.name);
        std::fs::create_dir(&folder).map_err(Error::io(&folder))?;
        let config = PeftConfig::new(site.rank, network.lora_scale).ok_or_else(|| {
            Error::Config(format!("lora_scale {} times rank {} is no number", network.lora_scale, site.rank))
        })?;
        write_json(&folder.join(CONFIG_FILE), &config)?;
        let mut tensors = Vec::new();
        for block in 0..network.depth {
            let part = |part: &str| part_of(&adapter.weights, &lora_name(block, site, part), site.rank);
            let [q, k, v] = QKV.map(part);
            for (module, factors) in
                [("qkv", Factors::fused(&[q?, k?, v?], network.width)), ("proj", part("proj")?)]
            {
                let Factors { rank, a, b } = factors;
                let outputs = b.len() / rank;
                tensors.push((peft_name(block, module, "A"), vec![rank, network.width], a));
                tensors.push((peft_name(block, module, "B"), vec![outputs, rank], b));
            }
        }
        let refs =
            tensors.iter().map(|(name, shape, values)| TensorRef { name, shape: shape.clone(), values });
        let metadata = BTreeMap::from([("format".to_owned(), "pt".to_owned())]);
        write_tensors(&folder.join(WEIGHTS_FILE), &metadata, &refs.collect::<Vec<_>>())?;
    }
    staged.commit()?;
    Ok(sites)
}

/// `into` with the LoRA of peft adapters in place of its own; its ranks and its scale are theirs.
///
/// # Errors
/// [`Error::Io`] or [`Error::Content`] naming the file: a site that `into` has and the folder has not, or the other way
/// round; an option of peft that AV-DiT does not have; a table of tensors that are missing, left over or of another shape;
/// a value that is not finite; scales that differ, of which AV-DiT has one; a rank above the width.
pub fn read(folder: &Path, into: &Adapter) -> Result<Adapter> {
    let mut made = into.clone();
    let network = &mut made.config.network;
    let expected = sites(network);
    for name in ["audio", "fusion"] {
        let (has, wants) = (folder.join(name).is_dir(), expected.iter().any(|site| site.name == name));
        if has != wants {
            let says = |there: bool| if there { "has" } else { "has no" };
            let what =
                format!("{} folder {name}, and the adapter {} LoRA of that site", says(has), says(wants));
            return Err(Error::content(folder, what));
        }
    }
    let mut scales = Vec::new();
    for site in &expected {
        let rank = read_site(&folder.join(site.name), site, network, &mut made.weights, &mut scales)?;
        match site.name {
            "audio" => network.audio_rank = rank,
            _ => network.fusion_rank = rank,
        }
    }
    network.lora_scale = config::common_scale(folder, &scales, network.lora_scale)?;
    network.check().map_err(|error| Error::content(folder, error))?;
    if made.weights != into.weights || made.config.network != into.config.network {
        let hash = |site: &Site| -> Result<(String, Value)> {
            Ok((site.name.to_owned(), json!(file_sha256(&folder.join(site.name).join(WEIGHTS_FILE))?)))
        };
        let sites = expected.iter().map(hash).collect::<Result<serde_json::Map<_, _>>>()?;
        made.config.provenance.insert("peft".to_owned(), Value::Object(sites));
    }
    Ok(made)
}

/// Puts the factors of a site's folder into `weights`, and its modules with their ranks and alphas into `scales`; returns
/// the rank.
fn read_site(
    folder: &Path,
    site: &Site,
    network: &AvDitConfig,
    weights: &mut Weights,
    scales: &mut Vec<config::Scale>,
) -> Result<usize> {
    let path = folder.join(CONFIG_FILE);
    let config: PeftConfig = read_json(&path)?;
    config.check(&path)?;
    let d = network.width;
    let mut shapes = BTreeMap::new();
    let mut ranks = BTreeMap::new();
    for block in 0..network.depth {
        for (module, outputs) in [("qkv", 3 * d), ("proj", d)] {
            let scale = config.scale(&path, &module_name(block, module))?;
            shapes.insert(peft_name(block, module, "A"), vec![scale.rank, d]);
            shapes.insert(peft_name(block, module, "B"), vec![outputs, scale.rank]);
            ranks.insert((block, module), scale.rank);
            scales.push(scale);
        }
    }
    let file = TensorFile::read(&folder.join(WEIGHTS_FILE))?;
    table::check_file(&file, &shapes)?;
    let factors = |block: usize, module: &'static str| -> Result<Factors> {
        let load = |factor: &str| {
            let name = peft_name(block, module, factor);
            let (_, values) = file.tensor(&name)?;
            table::check_finite(file.path(), &name, &values)?;
            Ok::<_, Error>(values)
        };
        Ok(Factors { rank: ranks[&(block, module)], a: load("A")?, b: load("B")? })
    };
    let mut parts = Vec::new();
    for block in 0..network.depth {
        let proj = factors(block, "proj")?;
        let Split([q, k, v]) = factors(block, "qkv")?.split(d, proj.rank);
        for (part, factors) in [("q", q), ("k", k), ("v", v), ("proj", proj)] {
            parts.push((lora_name(block, site, part), factors));
        }
    }
    let rank = parts.iter().map(|(_, factors)| factors.rank).max().unwrap_or_default();
    for (name, factors) in parts {
        let Factors { a, b, .. } = factors.padded(rank, d);
        weights.insert(format!("{name}.A"), a);
        weights.insert(format!("{name}.B"), b);
    }
    Ok(rank)
}

/// Whether a folder holds peft adapters under the names of sites, and nothing else.
fn holds_sites_alone(folder: &Path) -> bool {
    let is_site = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| {
            let name = entry.file_name();
            (name == "audio" || name == "fusion") && holds_only(&entry.path(), &[CONFIG_FILE, WEIGHTS_FILE])
        })
    };
    std::fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_site))
}

fn part_of(weights: &Weights, name: &str, rank: usize) -> Result<Factors> {
    let load = |factor: &str| {
        let name = format!("{name}.{factor}");
        let missing = || Error::Parameter { name: name.clone(), what: "missing from the adapter".into() };
        weights.get(&name).cloned().ok_or_else(missing)
    };
    Ok(Factors { rank, a: load("A")?, b: load("B")? })
}

fn module_name(block: usize, module: &str) -> String {
    format!("blocks.{block}.attn.{module}")
}

fn lora_name(block: usize, site: &Site, part: &str) -> String {
    format!("blocks.{block}.{}_lora.{part}", site.name)
}

fn peft_name(block: usize, module: &str, factor: &str) -> String {
    format!("base_model.model.{}.lora_{factor}.weight", module_name(block, module))
}
