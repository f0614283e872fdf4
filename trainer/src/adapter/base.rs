//! The image DiT that an adapter stands on, as it was imported: `network.json` and `model.safetensors`.

use super::table;
use crate::checkpoint::read_json;
use crate::error::{Error, Result};
use crate::weight_file::WeightFile;
use avdit_media::codec::file_sha256;
use avdit_media::tensors::TensorFile;
use avdit_nets::{AvDitConfig, DitConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::path::Path;

/// The format's name, in `network.json`.
pub(super) const FORMAT: &str = "avdit-network/1";

/// What a folder of a network says of itself.
pub(super) const CONFIG_FILE: &str = "network.json";

/// A network's tensors, in its folder.
pub(super) const WEIGHTS_FILE: &str = "model.safetensors";

/// `network.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct NetworkFile<C> {
    /// [`FORMAT`].
    pub(super) format: String,
    /// Which network: `dit`, `av-dit`.
    pub(super) kind: String,
    /// Its configuration.
    pub(super) config: C,
    /// The SHA-256 of `model.safetensors`.
    pub(super) weights_sha256: String,
    /// Where it comes from.
    #[serde(default)]
    pub(super) source: Map<String, Value>,
}

impl NetworkFile<Value> {
    /// The kind of the network in a folder; `None` where there is none.
    pub(super) fn kind(folder: &Path) -> Option<String> {
        let file: Self = read_json(&folder.join(CONFIG_FILE)).ok()?;
        (file.format == FORMAT).then_some(file.kind)
    }
}

/// An imported DiT.
pub(super) struct Base {
    pub(super) about: NetworkFile<DitConfig>,
    pub(super) weights: WeightFile,
}

impl Base {
    /// Opens a folder; the values are read when they are asked for.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`] naming the file and what is wrong with it.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(CONFIG_FILE);
        if !path.is_file() {
            let what = format!(
                "holds no {CONFIG_FILE}, so it is no imported network\n\nhint: `avdit import CHECKPOINT -o DIT` makes one"
            );
            return Err(Error::content(folder, what));
        }
        let about: NetworkFile<Value> = read_json(&path)?;
        for (what, got, expected) in
            [("format", &about.format, FORMAT), ("kind", &about.kind, super::BASE_KIND)]
        {
            if got != expected {
                return Err(Error::content(&path, format!("{what} is {got}, expected {expected}")));
            }
        }
        let config: DitConfig = serde_json::from_value(about.config)
            .map_err(|error| Error::content(&path, format!("config: {error}")))?;
        config.check().map_err(|error| Error::content(&path, error))?;
        let about = NetworkFile {
            format: about.format,
            kind: about.kind,
            config,
            weights_sha256: about.weights_sha256,
            source: about.source,
        };
        let (path, shapes) = (folder.join(WEIGHTS_FILE), shapes(&about.config));
        table::check_file(&TensorFile::read(&path)?, &shapes)?;
        Ok(Self { about, weights: WeightFile::open(&path, &shapes)? })
    }

    /// Checks that the tensors are those that `network.json` speaks of, and returns their SHA-256.
    ///
    /// # Errors
    /// [`Error::Content`] with both hashes; [`Error::Io`].
    pub(super) fn verified_sha256(&self) -> Result<&str> {
        let (path, expected) = (self.weights.path(), &self.about.weights_sha256);
        let got = file_sha256(path)?;
        if got == *expected {
            return Ok(expected);
        }
        Err(Error::content(
            path,
            format!(
                "has SHA-256 {got}, and {CONFIG_FILE} says {expected}\n\nhint: one of the two was changed; import it again with `avdit import`"
            ),
        ))
    }

    /// Checks that a network stands on this one.
    ///
    /// # Errors
    /// [`Error::Content`] naming every field in which the two differ, and both values.
    pub(super) fn check_fits(&self, network: &AvDitConfig) -> Result<()> {
        let differences = differences(&self.about.config, &network.backbone());
        if differences.is_empty() {
            return Ok(());
        }
        let path = self.weights.path().with_file_name(CONFIG_FILE);
        Err(Error::content(
            &path,
            format!(
                "is not the DiT that the adapter's network stands on:{differences}\n\nhint: give the folder of that base"
            ),
        ))
    }
}

/// In what two DiT differ, a line each. Positions are computed, so that the size of the latents changes no tensor: it may
/// differ.
fn differences(base: &DitConfig, backbone: &DitConfig) -> String {
    let json = |config: &DitConfig| serde_json::to_value(config).expect("plain numbers are JSON");
    let mut text = String::new();
    crate::differences::of(&json(base), &json(backbone), &mut |field, base, backbone| {
        if field != "size" {
            text += &format!("\n  {field}: {base}, the adapter's network has {backbone}");
        }
    });
    text
}

fn shapes(config: &DitConfig) -> BTreeMap<String, Vec<usize>> {
    config.parameters().into_iter().map(|p| (p.name, p.shape)).collect()
}
