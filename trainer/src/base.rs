//! The network beneath adapters: weights that stay as they are, in a file that is never written.

use crate::adapter::network_file::{CONFIG_FILE, FORMAT, NetworkFile, WEIGHTS_FILE};
use crate::adapter::table;
use crate::checkpoint::{self, Checkpoint, Values, read_json};
use crate::differences;
use crate::error::{Error, Result};
use crate::weight_file::WeightFile;
use avdit_media::codec::file_sha256;
use avdit_media::tensors::TensorFile;
use avdit_nets::{AvDitConfig, DitConfig, NetworkConfig};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The only kind of base that there is.
pub(crate) const KIND: &str = "dit";

/// An image DiT, open for reading.
pub struct Base {
    /// The network.
    pub config: DitConfig,
    /// Its weights.
    pub weights: WeightFile,
    /// The folder that it was opened from.
    path: PathBuf,
    /// The SHA-256 that the folder says its weights have.
    said: Option<String>,
}

/// Which base an adapter was trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseRecord {
    /// Where it was.
    pub path: PathBuf,
    /// SHA-256 of the file of its weights.
    pub weights_sha256: String,
}

impl Base {
    /// Opens the folder of an imported DiT, or a run that trained one; of a run the moving average. Values are read when
    /// they are asked for.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`] naming the file and what is wrong with it, such as another network.
    pub fn open(path: &Path) -> Result<Self> {
        if path.join(CONFIG_FILE).is_file() {
            return imported(path);
        }
        if checkpoint::is_run(path)? {
            return of_run(path);
        }
        let what =
            format!("holds no {CONFIG_FILE} and no checkpoints: neither an imported network nor a run");
        Err(Error::content(path, format!("{what}\n\nhint: `avdit import CHECKPOINT -o DIT` makes one")))
    }

    /// Opens the base that a record names, and makes sure that it is the same.
    ///
    /// # Errors
    /// [`Error::OtherBase`] with both hashes if it has changed; as [`Base::open`].
    pub fn of(record: &BaseRecord) -> Result<Self> {
        let base = Self::open(&record.path)?;
        let (expected, got) = (record.weights_sha256.clone(), base.sha256()?);
        if expected == got { Ok(base) } else { Err(Error::OtherBase { expected, got }) }
    }

    /// What tells it from any other. Reads the whole file.
    ///
    /// # Errors
    /// As [`Base::sha256`].
    pub fn record(&self) -> Result<BaseRecord> {
        let path = self.path.canonicalize().map_err(Error::io(&self.path))?;
        Ok(BaseRecord { path, weights_sha256: self.sha256()? })
    }

    /// The SHA-256 of its weights, which is that of which the folder speaks, where it does. Reads the whole file.
    ///
    /// # Errors
    /// [`Error::Content`] with both hashes; a media error if the file cannot be read.
    pub fn sha256(&self) -> Result<String> {
        let (path, got) = (self.weights.path(), file_sha256(self.weights.path())?);
        match &self.said {
            Some(expected) if *expected != got => Err(Error::content(
                path,
                format!(
                    "has SHA-256 {got}, and {CONFIG_FILE} says {expected}\n\nhint: one of the two was changed; import it again with `avdit import`"
                ),
            )),
            _ => Ok(got),
        }
    }

    /// Checks that a network stands on this one.
    ///
    /// # Errors
    /// [`Error::Content`] naming every field in which the two differ, and both values.
    pub fn check_fits(&self, network: &AvDitConfig) -> Result<()> {
        let differences = differences(&self.config, &network.backbone());
        if differences.is_empty() {
            return Ok(());
        }
        Err(Error::content(
            &self.path,
            format!(
                "is not the DiT that the adapter's network stands on:{differences}\n\nhint: give the folder of that base"
            ),
        ))
    }
}

fn imported(folder: &Path) -> Result<Base> {
    let path = folder.join(CONFIG_FILE);
    let about: NetworkFile<Value> = read_json(&path)?;
    for (what, got, expected) in [("format", &about.format, FORMAT), ("kind", &about.kind, KIND)] {
        if got != expected {
            return Err(Error::content(&path, format!("{what} is {got}, expected {expected}")));
        }
    }
    let config: DitConfig = serde_json::from_value(about.config)
        .map_err(|error| Error::content(&path, format!("config: {error}")))?;
    config.check().map_err(|error| Error::content(&path, error))?;
    let (path, shapes) = (folder.join(WEIGHTS_FILE), shapes(&config));
    table::check_file(&TensorFile::read(&path)?, &shapes)?;
    let weights = WeightFile::open(&path, &shapes)?;
    Ok(Base { config, weights, path: folder.to_owned(), said: Some(about.weights_sha256) })
}

fn of_run(path: &Path) -> Result<Base> {
    let folder = checkpoint::latest(path)?;
    let (config, weights) = Checkpoint::open_values(&folder, Values::Ema)?;
    let NetworkConfig::Dit(config) = config.network else {
        let what = format!("is of the network {}, expected {KIND}", config.network.architecture());
        let hint = "train one with model.architecture = \"dit\", or import one";
        return Err(Error::content(&folder, format!("{what}\n\nhint: {hint}")));
    };
    Ok(Base { config, weights, path: folder, said: None })
}

/// In what two DiT differ, a line each. Positions are computed, so that the size of the latents changes no tensor: it may
/// differ.
fn differences(base: &DitConfig, backbone: &DitConfig) -> String {
    let json = |config: &DitConfig| serde_json::to_value(config).expect("plain numbers are JSON");
    let mut text = String::new();
    differences::of(&json(base), &json(backbone), &mut |field, base, backbone| {
        if field != "size" {
            text += &format!("\n  {field}: {base}, the adapter's network has {backbone}");
        }
    });
    text
}

fn shapes(config: &DitConfig) -> BTreeMap<String, Vec<usize>> {
    config.parameters().into_iter().map(|p| (p.name, p.shape)).collect()
}
