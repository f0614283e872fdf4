//! A base and its adapter as one folder, as [`merge`](super::merge) writes it.

use super::merge::KIND;
use super::network_file::{CONFIG_FILE, FORMAT, NetworkFile, WEIGHTS_FILE};
use super::table;
use crate::checkpoint::read_json;
use crate::error::{Error, Result};
use crate::weight_file::WeightFile;
use avdit_core::DenoiserSpec;
use avdit_media::tensors::TensorFile;
use avdit_nets::AvDitConfig;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// An AV-DiT that needs no other folder.
pub struct Alone {
    /// The network.
    pub network: AvDitConfig,
    /// What a sampler must know of it.
    pub spec: DenoiserSpec,
    /// All its tensors, read when they are asked for.
    pub weights: WeightFile,
    /// The SHA-256 of their file, as it was written.
    pub weights_sha256: String,
    /// Where it comes from.
    pub source: Map<String, Value>,
}

impl Alone {
    /// Whether a folder says that it holds one.
    pub fn is_in(folder: &Path) -> bool {
        NetworkFile::kind(folder).is_some_and(|kind| kind == KIND)
    }

    /// Opens a folder.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`] naming the file and what is wrong with it.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        let about: NetworkFile<AvDitConfig> = read_json(&path)?;
        if about.format != FORMAT {
            return Err(Error::content(&path, format!("format is {}, expected {FORMAT}", about.format)));
        }
        let bad = |what: String| Error::content(&path, what);
        about.config.check().map_err(|error| bad(error.to_string()))?;
        let spec = about.source.get("spec").cloned().unwrap_or_default();
        let spec: DenoiserSpec =
            serde_json::from_value(spec).map_err(|error| bad(format!("source.spec: {error}")))?;
        let list = about.config.parameters();
        let shapes: BTreeMap<_, _> = list.into_iter().map(|p| (p.name, p.shape)).collect();
        let path = folder.join(WEIGHTS_FILE);
        table::check_file(&TensorFile::read(&path)?, &shapes)?;
        let weights = WeightFile::open(&path, &shapes)?;
        let NetworkFile { config: network, weights_sha256, source, .. } = about;
        Ok(Self { network, spec, weights, weights_sha256, source })
    }
}
