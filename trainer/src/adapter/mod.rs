//! Adapters: what an AV-DiT has learned beside the image DiT that it stands on, in a folder of its own.
//!
//! `ADAPTER/` holds
//! - `adapter.json`: `format`, the base (SHA-256 of its `model.safetensors`, and its kind, `dit`), the network, what a
//!   sampler must know of it, and where it comes from;
//! - `adapter.safetensors`: the trained tensors alone, f32, by their full names: what is added to the backbone, every bias
//!   of the backbone, and its label table ([`AvDitConfig::marked_parameters`]).
//!
//! The base is never written; [`Adapted`] reads both as one network, [`merge`] writes them as one, and [`peft`] speaks to
//! Python. A folder is whole or absent: it is filled under a temporary name, then renamed.

mod adapted;
mod alone;
mod folder;
mod merge;
pub(crate) mod network_file;
pub mod peft;
pub(crate) mod table;
#[cfg(test)]
mod tests;

pub use adapted::Adapted;
pub use alone::Alone;
pub use merge::{Form, Merged, NotFolded, merge};

use crate::checkpoint::{read_json, write_json};
use crate::error::{Error, Result};
use crate::model::Weights;
use crate::weight_file::WeightFile;
use avdit_core::DenoiserSpec;
use avdit_media::draft::FolderDraft;
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_nets::av_dit::{AvDitConfig, LoraForm};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The format's name, in `adapter.json`.
pub const FORMAT: &str = "avdit-adapter/1";

/// What an adapter says of itself, in its folder.
const CONFIG_FILE: &str = "adapter.json";

/// Its tensors, in its folder.
const WEIGHTS_FILE: &str = "adapter.safetensors";

/// What an adapter was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaseRef {
    /// The SHA-256 of the base's `model.safetensors`, in hexadecimal.
    pub weights_sha256: String,
    /// `dit`.
    pub kind: String,
}

/// `adapter.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdapterConfig {
    /// [`FORMAT`].
    pub format: String,
    /// What it was trained on.
    pub base: BaseRef,
    /// The network, base and adapter together.
    pub network: AvDitConfig,
    /// What a sampler must know of it.
    pub spec: DenoiserSpec,
    /// Where it comes from.
    pub provenance: Map<String, Value>,
}

impl AdapterConfig {
    /// Of an adapter to a DiT whose `model.safetensors` has this SHA-256.
    pub fn new(
        base_sha256: &str,
        network: AvDitConfig,
        spec: DenoiserSpec,
        provenance: Map<String, Value>,
    ) -> Self {
        let base = BaseRef { weights_sha256: base_sha256.to_owned(), kind: crate::base::KIND.to_owned() };
        Self { format: FORMAT.to_owned(), base, network, spec, provenance }
    }

    /// The shape of every tensor that an adapter holds, by name.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        let trained = self.network.marked_parameters().into_iter().filter(|(_, trained)| *trained);
        trained.map(|(parameter, _)| (parameter.name, parameter.shape)).collect()
    }

    /// Refuses a base other than the one that it was trained on.
    ///
    /// # Errors
    /// [`Error::OtherBase`] with both hashes and the command that tells a base's.
    pub fn check_base(&self, sha256: &str) -> Result<()> {
        if self.base.weights_sha256 == sha256 {
            return Ok(());
        }
        Err(Error::OtherBase { expected: self.base.weights_sha256.clone(), got: sha256.to_owned() })
    }

    /// Everything that can be wrong without its tensors; `path` is what errors name.
    fn check(&self, path: &Path) -> Result<()> {
        let fail = |what: String| Err(Error::content(path, what));
        if self.format != FORMAT {
            return fail(format!("format is {}, expected {FORMAT}", self.format));
        }
        if self.base.kind != crate::base::KIND {
            return fail(format!("base is of kind {}, expected {}", self.base.kind, crate::base::KIND));
        }
        let hash = &self.base.weights_sha256;
        if hash.len() != 64 || !hash.bytes().all(|x| matches!(x, b'0'..=b'9' | b'a'..=b'f')) {
            return fail(format!(
                "base.weights_sha256 {hash:?} is no SHA-256 of 64 lower-case hexadecimal digits"
            ));
        }
        self.network.check().map_err(|error| Error::content(path, error))?;
        if self.network.lora == LoraForm::Merged {
            return fail("network.lora is merged, expected separate: an adapter holds factors".to_owned());
        }
        if self.spec.layout != self.network.layout() {
            let (spec, network) = (&self.spec.layout, self.network.layout());
            return fail(format!("spec.layout is {spec:?}, the network's is {network:?}"));
        }
        self.spec.noise_schedule().map_err(|error| Error::content(path, error))?;
        Ok(())
    }
}

/// An adapter in memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Adapter {
    /// `adapter.json`.
    pub config: AdapterConfig,
    /// `adapter.safetensors`.
    pub weights: Weights,
}

impl Adapter {
    /// Writes its folder; an adapter that is there is replaced, anything else is not.
    ///
    /// # Errors
    /// [`Error::Content`] with a table of the tensors that do not fit the network, for a value that is not finite;
    /// [`Error::Media`] if the folder holds something else; [`Error::Io`] naming the file. What was there before then stays.
    pub fn write(&self, folder: &Path) -> Result<()> {
        self.config.check(&folder.join(CONFIG_FILE))?;
        let (path, shapes) = (folder.join(WEIGHTS_FILE), self.config.shapes());
        let sizes: BTreeMap<_, _> =
            shapes.iter().map(|(name, shape)| (name, shape.iter().product())).collect();
        table::check_sizes(&path, &sizes, &self.weights)?;
        for (name, values) in &self.weights {
            table::check_finite(&path, name, values)?;
        }
        let is_own = |found: &Path| folder::holds_only(found, &[CONFIG_FILE, WEIGHTS_FILE]);
        let staged = FolderDraft::begin(folder, "an adapter", is_own)?;
        let metadata = metadata(FORMAT);
        let tensors = self.weights.iter().map(|(name, values)| TensorRef {
            name,
            shape: shapes.get(name).cloned().unwrap_or_default(),
            values,
        });
        write_tensors(&staged.path().join(WEIGHTS_FILE), &metadata, &tensors.collect::<Vec<_>>())?;
        write_json(&staged.path().join(CONFIG_FILE), &self.config)?;
        Ok(staged.commit()?)
    }

    /// Opens a folder without reading its values: what it says of itself, and the file of its tensors.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`] naming the file, with a table of all tensors that are missing, left over or of
    /// another shape.
    pub fn open(folder: &Path) -> Result<(AdapterConfig, WeightFile)> {
        let path = folder.join(CONFIG_FILE);
        let config: AdapterConfig = read_json(&path)?;
        config.check(&path)?;
        let (path, shapes) = (folder.join(WEIGHTS_FILE), config.shapes());
        table::check_file(&TensorFile::read(&path)?, &shapes)?;
        Ok((config, WeightFile::open(&path, &shapes)?))
    }

    /// Reads a folder whole.
    ///
    /// # Errors
    /// As [`Adapter::open`], and [`Error::Content`] naming the first value that is not finite.
    pub fn read(folder: &Path) -> Result<Self> {
        let (config, file) = Self::open(folder)?;
        let weights = file.names().into_iter().map(|name| file.load(&name).map(|values| (name, values)));
        Ok(Self { weights: weights.collect::<Result<_>>()?, config })
    }

    /// [`AdapterConfig::check_base`].
    ///
    /// # Errors
    /// As there.
    pub fn check_base(&self, sha256: &str) -> Result<()> {
        self.config.check_base(sha256)
    }
}

/// The metadata of a file of tensors in a folder of this format.
fn metadata(format: &str) -> BTreeMap<String, String> {
    BTreeMap::from([("format".to_owned(), "pt".to_owned()), ("avdit".to_owned(), format.to_owned())])
}
