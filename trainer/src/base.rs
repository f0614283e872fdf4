//! The network beneath adapters: weights that stay as they are, in a file that is never written.

use crate::checkpoint::{self, Checkpoint, Values};
use crate::error::{Error, Result};
use crate::weight_file::WeightFile;
use avdit_nets::{DitConfig, NetworkConfig};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An image DiT, open for reading.
pub struct Base {
    /// The network.
    pub config: DitConfig,
    /// Its weights.
    pub weights: WeightFile,
    path: PathBuf,
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
    /// Opens a run that trained a DiT; of it the moving average.
    ///
    /// # Errors
    /// [`Error::Config`] if it is of another network; as [`Checkpoint::open_values`].
    pub fn open(path: &Path) -> Result<Self> {
        let folder = checkpoint::latest(path)?;
        let (config, weights) = Checkpoint::open_values(&folder, Values::Ema)?;
        let NetworkConfig::Dit(config) = config.network else {
            let what = format!("is of the network {}, expected dit", config.network.architecture());
            return Err(Error::content(
                &folder,
                format!("{what}\n\nhint: train one with model.architecture = \"dit\""),
            ));
        };
        let path = folder.canonicalize().map_err(Error::io(&folder))?;
        Ok(Self { config, weights, path })
    }

    /// What tells it from any other. Reads the whole file.
    ///
    /// # Errors
    /// A media error if the file cannot be read.
    pub fn record(&self) -> Result<BaseRecord> {
        let weights_sha256 = avdit_media::codec::file_sha256(self.weights.path())?;
        Ok(BaseRecord { path: self.path.clone(), weights_sha256 })
    }

    /// Opens the base that a record names, and makes sure that it is the same.
    ///
    /// # Errors
    /// [`Error::Content`] with both hashes if it has changed; as [`Base::open`].
    pub fn of(record: &BaseRecord) -> Result<Self> {
        let base = Self::open(&record.path)?;
        let (expected, got) = (&record.weights_sha256, base.record()?.weights_sha256);
        if *expected == got {
            return Ok(base);
        }
        let what = format!("SHA-256 is {got}, the adapter was trained on {expected}");
        Err(Error::content(
            base.weights.path(),
            format!("{what}\n\nhint: adapters fit the base that they were trained on alone"),
        ))
    }
}
