//! A model as a folder: `model.onnx` (with `model.onnx_data` where large), `config.json`, `export.json`, and whatever
//! the caller puts beside them. The folder appears under its name when all of it is there.

use crate::avdit::ExportOptions;
use crate::error::{Error, Result};
use crate::lowering::Lowering;
use crate::validate::ParityReport;
use avdit_core::DenoiserSpec;
use avdit_nets::AvditConfig;
use avdit_onnx::{Model, WriteOptions};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

/// Where a model comes from, as the caller sees it: run, step, dataset, ….
pub type Provenance = serde_json::Map<String, serde_json::Value>;

/// `config.json` of a model folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// [`ModelConfig::FORMAT`].
    pub format: String,
    /// The network's name, `avdit`.
    pub architecture: String,
    /// The network.
    pub network: AvditConfig,
    /// What a sampler must know of it.
    pub spec: DenoiserSpec,
    /// Where it comes from.
    #[serde(default)]
    pub provenance: Provenance,
}

impl ModelConfig {
    /// The format that this version writes.
    pub const FORMAT: &str = "avdit-model/1";

    /// The configuration of an AVDiT.
    pub fn avdit(network: AvditConfig, spec: DenoiserSpec, provenance: Provenance) -> Self {
        Self { format: Self::FORMAT.to_owned(), architecture: "avdit".to_owned(), network, spec, provenance }
    }

    /// Reads `config.json` of a model folder.
    ///
    /// # Errors
    /// [`Error::Io`] if it is not there, [`Error::Json`] if it cannot be understood, [`Error::Mismatch`] if it is of
    /// another format.
    pub fn read(folder: &Path) -> Result<Self> {
        let path = folder.join("config.json");
        let config: Self = read_json(&path)?;
        if config.format != Self::FORMAT {
            return Err(Error::mismatch(
                format!("format of {}", path.display()),
                Self::FORMAT,
                config.format,
            ));
        }
        Ok(config)
    }
}

/// A file of a model folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileRecord {
    /// Its name in the folder.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// `export.json` of a model folder: how the graph was made, and how it compares with what it was made from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRecord {
    /// [`ExportRecord::SCHEMA`].
    pub schema: String,
    /// Version of ONNX's operator set.
    pub opset: i64,
    /// Version of the intermediate representation.
    pub ir_version: i64,
    /// The fixed batch; `None` for any.
    pub batch: Option<usize>,
    /// The type of the weights.
    pub dtype: String,
    /// The target that it was written for.
    pub lowering: Lowering,
    /// The graph's files.
    pub files: Vec<FileRecord>,
    /// Number of learned values.
    pub parameters: usize,
    /// The comparisons that were made.
    pub parity: Vec<ParityReport>,
}

impl ExportRecord {
    /// The schema that this version writes.
    pub const SCHEMA: &str = "avdit-export/1";

    /// Reads `export.json` of a model folder.
    ///
    /// # Errors
    /// [`Error::Io`] if it is not there, [`Error::Json`] if it cannot be understood.
    pub fn read(folder: &Path) -> Result<Self> {
        read_json(&folder.join("export.json"))
    }

    /// Checks the files of a folder against this record.
    ///
    /// # Errors
    /// [`Error::Io`] if one is missing, [`Error::Mismatch`] if one has other content.
    pub fn check_files(&self, folder: &Path) -> Result<()> {
        for expected in &self.files {
            let path = folder.join(&expected.name);
            let got = FileRecord::of(&path)?;
            if got != *expected {
                let show = |file: &FileRecord| format!("{} bytes, sha256 {}", file.bytes, file.sha256);
                return Err(Error::mismatch(path.display().to_string(), show(expected), show(&got)));
            }
        }
        Ok(())
    }
}

impl FileRecord {
    fn of(path: &Path) -> Result<Self> {
        let mut file = File::open(path).map_err(Error::io("read", path))?;
        let (mut digest, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
        loop {
            match file.read(&mut buffer).map_err(Error::io("read", path))? {
                0 => break,
                n => {
                    digest.update(&buffer[..n]);
                    bytes += n as u64;
                }
            }
        }
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { name, bytes, sha256 })
    }
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    serde_json::from_slice(&text).map_err(Error::json(path))
}

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

    /// Writes the graph and `config.json`, and begins the record.
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
        self.write_json("config.json", config)?;
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
