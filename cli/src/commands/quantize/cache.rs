//! What was seen and measured before: a search that was stopped goes on.

use anyhow::{Context, Result};
use avdit_media::atomic::write_bytes_atomically;
use avdit_quantize::{Calibration, Sensitivity};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A file beside the result, for as long as there is none.
pub struct Cache {
    path: PathBuf,
    content: Content,
}

#[derive(Default, Serialize, Deserialize)]
struct Content {
    /// What the figures depend on.
    key: serde_json::Value,
    /// Noise over signal of each unit alone, by stratum.
    units: BTreeMap<String, Vec<[f64; 2]>>,
    /// Values that were seen.
    calibration: Calibration,
}

impl Cache {
    /// Of a search for the model at `out`; empty if there was none, or another one.
    pub fn open(out: &Path, key: serde_json::Value) -> Result<Self> {
        let name = out.file_name().context("-o ends in no name")?.to_string_lossy().into_owned();
        let path = out.with_file_name(format!(".{name}.search.json"));
        let found =
            std::fs::read(&path).ok().and_then(|bytes| serde_json::from_slice::<Content>(&bytes).ok());
        let content = found
            .filter(|content| content.key == key)
            .unwrap_or_else(|| Content { key, ..Content::default() });
        Ok(Self { path, content })
    }

    /// What is known.
    pub fn known(&self) -> BTreeMap<String, Vec<[f64; 2]>> {
        self.content.units.clone()
    }

    /// What was seen.
    pub fn calibration(&self) -> Calibration {
        self.content.calibration.clone()
    }

    /// Puts what was seen by now in place of what was seen before.
    pub fn saw(&mut self, calibration: &Calibration) -> Result<()> {
        self.content.calibration = calibration.clone();
        Ok(write_bytes_atomically(&self.path, &serde_json::to_vec(&self.content)?)?)
    }

    /// Adds a unit.
    pub fn add(&mut self, sensitivity: &Sensitivity) -> Result<()> {
        if self.content.units.insert(sensitivity.unit.clone(), sensitivity.errors.clone()).is_none() {
            write_bytes_atomically(&self.path, &serde_json::to_vec(&self.content)?)?;
        }
        Ok(())
    }

    /// Removes the file: the result holds the figures.
    pub fn done(self) {
        // It may never have been written.
        let _ = std::fs::remove_file(&self.path);
    }
}
