//! A base and an adapter as one network that stands alone.

use super::folder::holds_only;
use super::network_file::{CONFIG_FILE, FORMAT, NetworkFile, WEIGHTS_FILE};
use super::{Adapted, AdapterConfig, metadata};
use crate::checkpoint::write_json;
use crate::error::{Error, Result};
use avdit_media::codec::file_sha256;
use avdit_media::draft::FolderDraft;
use avdit_media::tensors::write_tensors_from;
use avdit_nets::av_dit::FusionForm;
use avdit_nets::lora::LoraError;
use avdit_nets::{AvDitConfig, Parameter};
use serde::Serialize;
use serde_json::{Value, json};
use std::path::Path;

/// What becomes of the factors of LoRA.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// They are folded into a copy of the attention's weights for each site.
    Merged,
    /// They stay.
    Separate,
}

/// A part of an adapter that stays as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct NotFolded {
    /// Which.
    pub part: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// The name of the network that is written, as `network.json` has it.
pub(super) const KIND: &str = "av-dit";

/// What was written.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Merged {
    /// What became of the factors.
    pub lora: Form,
    /// Values of the base.
    pub base_values: usize,
    /// Values of the adapter, the base's biases and label table among them.
    pub adapter_values: usize,
    /// Values of the network with its factors: the adapter's, and of the base those that it does not replace.
    pub separate_values: usize,
    /// Values of what was written, 4 bytes each.
    pub values: usize,
    /// What an attention's copy costs in each block, for each of `sites`: 4·D² values of matrices, 4·D of biases.
    pub copy_values: usize,
    /// Sites of LoRA in a block.
    pub sites: usize,
    /// Bytes of `model.safetensors`.
    pub bytes: u64,
    /// The SHA-256 of `model.safetensors`.
    pub weights_sha256: String,
    /// What was not folded.
    pub not_folded: Vec<NotFolded>,
}

/// Writes a base and an adapter as a folder that stands alone: `network.json` (format `avdit-network/1`, kind `av-dit`, the
/// network's configuration in its new form, and in `source` the base, the adapter's provenance and what a sampler must know)
/// and `model.safetensors` (every tensor, f32, in the network's order). One tensor is in memory at a time.
///
/// # Errors
/// As [`Adapted::open`]; [`Error::Media`] if `out` holds something other than such a folder; [`Error::Io`].
pub fn merge(base: &Path, adapter: &Path, out: &Path, form: Form) -> Result<Merged> {
    let (config, weights) = Adapted::open(base, adapter)?;
    let is_own = |found: &Path| {
        holds_only(found, &[CONFIG_FILE, WEIGHTS_FILE])
            && NetworkFile::kind(found).is_some_and(|kind| kind == KIND)
    };
    let staged = FolderDraft::begin(out, "a merged AV-DiT", is_own)?;
    let network = match form {
        Form::Merged => config.network.in_merged_form(),
        Form::Separate => config.network.clone(),
    };
    let path = staged.path().join(WEIGHTS_FILE);
    let list = network.parameters();
    let named: Vec<(&str, &[usize])> = list.iter().map(|p| (p.name.as_str(), p.shape.as_slice())).collect();
    write_tensors_from(&path, &metadata(FORMAT), &named, |name| {
        let values = match form {
            Form::Separate => weights.load(name),
            Form::Merged => {
                let load = |name: &str| weights.load(name).map_err(Failure::Load);
                config.network.merged(name, load).map_err(|failure| failure.about(name))
            }
        }?;
        // A sum of finite values may have left the range of f32.
        super::table::check_finite(&path, name, &values)?;
        Ok::<_, Error>(values)
    })?;
    let weights_sha256 = file_sha256(&path)?;
    let bytes = std::fs::metadata(&path).map_err(Error::io(&path))?.len();
    let about = NetworkFile {
        format: FORMAT.to_owned(),
        kind: KIND.to_owned(),
        source: source(&config, adapter, form)?,
        config: network,
        weights_sha256,
    };
    write_json(&staged.path().join(CONFIG_FILE), &about)?;
    staged.commit()?;
    Ok(account(&config.network, form, &list, bytes, about.weights_sha256))
}

/// Where the network comes from, and what a sampler must know of it: the files that it was made of as an import says them,
/// and more.
fn source(config: &AdapterConfig, adapter: &Path, form: Form) -> Result<serde_json::Map<String, Value>> {
    let source = json!({
        "file": super::WEIGHTS_FILE, "sha256": file_sha256(&adapter.join(super::WEIGHTS_FILE))?, "names": "official",
        "more": [{ "file": WEIGHTS_FILE, "sha256": config.base.weights_sha256 }],
        "lora": form, "spec": config.spec, "provenance": config.provenance, "avdit": env!("CARGO_PKG_VERSION"),
    });
    Ok(source.as_object().cloned().unwrap_or_default())
}

fn account(
    config: &AvDitConfig,
    form: Form,
    list: &[Parameter],
    bytes: u64,
    weights_sha256: String,
) -> Merged {
    Merged {
        lora: form,
        base_values: config.backbone().parameter_count(),
        adapter_values: config.trained_count(),
        separate_values: config.parameter_count(),
        values: list.iter().map(Parameter::len).sum(),
        copy_values: 4 * config.width * (config.width + 1),
        sites: config.lora_sites().len(),
        bytes,
        weights_sha256,
        not_folded: not_folded(config),
    }
}

/// The parts that no matrix of the backbone can take up.
fn not_folded(config: &AvDitConfig) -> Vec<NotFolded> {
    let parts = config.parts;
    let cross = config.fusion_form == FusionForm::Cross;
    let all = [
        (
            parts.temporal,
            "temporal attention",
            "a layer of its own between frames, no linear update of a frozen matrix",
        ),
        (
            parts.audio_adapter,
            "audio adapter",
            "a GELU between its two matrices, beside an MLP that sight goes on with",
        ),
        (
            parts.fusion && !cross,
            "fusion gates",
            "they scale what the attention sees differently for sight and for sound",
        ),
        (
            parts.fusion && cross,
            "cross-attentions",
            "layers of their own between sight and sound, which the backbone has not",
        ),
        (true, "embedding and last layer of sound", "layers that the backbone has not"),
    ];
    let kept = all.into_iter().filter(|(is_there, _, _)| *is_there);
    kept.map(|(_, part, reason)| NotFolded { part, reason }).collect()
}

/// Why a tensor could not be merged.
enum Failure {
    Load(Error),
    Factors(LoraError),
}

impl From<LoraError> for Failure {
    fn from(error: LoraError) -> Self {
        Self::Factors(error)
    }
}

impl Failure {
    fn about(self, name: &str) -> Error {
        match self {
            Self::Load(error) => error,
            Self::Factors(error) => Error::Parameter { name: name.to_owned(), what: error.to_string() },
        }
    }
}
