//! A model as a folder: `model.onnx` (with `model.onnx_data` where large), `config.json`, `export.json`, and whatever
//! the caller puts beside them. The folder appears under its name when all of it is there.

use crate::denoiser::ExportOptions;
use crate::error::{Error, Result};
use crate::records::{ExportRecord, FileRecord, ModelConfig};
use avdit_onnx::{Model, WriteOptions};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// A model folder under construction, beside its place and under a temporary name; removed unless committed.
#[derive(Debug)]
pub struct ModelFolder {
    target: PathBuf,
    staging: PathBuf,
}

impl ModelFolder {
    /// Begins a folder that will be `target`. One that is there may be replaced only if it is a model folder.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if `target` is something else, [`Error::Io`] if the folder cannot be made.
    pub fn begin(target: &Path) -> Result<Self> {
        let occupied =
            std::fs::read_dir(target).map_or(target.exists(), |mut entries| entries.next().is_some());
        if occupied && ModelConfig::read(target).is_err() {
            let expected = "a model folder to replace, an empty one, or nothing";
            return Err(Error::mismatch(target.display().to_string(), expected, "something else"));
        }
        let staging = beside(target, "tmp")?;
        if staging.exists() {
            std::fs::remove_dir_all(&staging).map_err(Error::io("remove", &staging))?;
        }
        std::fs::create_dir_all(&staging).map_err(Error::io("create", &staging))?;
        Ok(Self { target: target.to_owned(), staging })
    }

    /// Where the files lie until the folder is committed: engines can open them here, and more can be put beside them.
    pub fn path(&self) -> &Path {
        &self.staging
    }

    /// Writes the graph and `config.json`, which says what the options have made of the graph, and begins the record.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Onnx`] if a file cannot be written.
    pub fn write(
        &self,
        model: &Model,
        config: &ModelConfig,
        options: &ExportOptions,
    ) -> Result<ExportRecord> {
        let write = WriteOptions { external_data: options.external_data, ..WriteOptions::default() };
        let written = model.write(self.staging.join("model.onnx"), &write)?;
        self.write_json("config.json", &config.clone().with(options)?)?;
        let files = std::iter::once(&written.model).chain(&written.data);
        Ok(ExportRecord {
            schema: ExportRecord::SCHEMA.to_owned(),
            opset: options.opset,
            ir_version: model.ir_version(),
            batch: options.batch,
            dtype: "float32".to_owned(),
            lowering: options.lowering,
            files: files.map(|path| FileRecord::of(path)).collect::<Result<_>>()?,
            parameters: config.network.parameter_count(),
            parity: Vec::new(),
            not_checked: Vec::new(),
        })
    }

    /// Writes `export.json` and gives the folder its name. A model that was there is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails; what was there before then stays.
    pub fn commit(self, record: &ExportRecord) -> Result<()> {
        self.write_json("export.json", record)?;
        let old = beside(&self.target, "old")?;
        let replaces = self.target.exists();
        if replaces {
            std::fs::rename(&self.target, &old).map_err(Error::io("replace", &self.target))?;
        }
        if let Err(error) = std::fs::rename(&self.staging, &self.target) {
            if replaces {
                std::fs::rename(&old, &self.target).map_err(Error::io("restore", &self.target))?;
            }
            return Err(Error::io("create", &self.target)(error));
        }
        if replaces {
            std::fs::remove_dir_all(&old).map_err(Error::io("remove", &old))?;
        }
        Ok(())
    }

    fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let path = self.staging.join(name);
        let text = serde_json::to_string_pretty(value).map_err(Error::json(&path))?;
        std::fs::write(&path, text + "\n").map_err(Error::io("write", &path))
    }
}

impl Drop for ModelFolder {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = std::fs::remove_dir_all(&self.staging);
    }
}

/// `.NAME.PID.SUFFIX` in the folder of `target`.
fn beside(target: &Path, suffix: &str) -> Result<PathBuf> {
    let name = target
        .file_name()
        .ok_or_else(|| Error::mismatch("model folder", "a path that ends in a name", target.display()))?;
    Ok(target.with_file_name(format!(".{}.{}.{suffix}", name.to_string_lossy(), std::process::id())))
}
