//! What a model folder says of itself: `config.json` and `export.json`.

use crate::denoiser::ExportOptions;
use crate::error::{Error, Result};
use crate::lowering::Lowering;
use crate::validate::ParityReport;
use avdit_core::sampler::StepForm;
use avdit_core::{DenoiserSpec, FrozenSchedule};
use avdit_nets::NetworkConfig;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Where a model comes from, as the caller sees it: run, step, dataset, ….
pub type Provenance = serde_json::Map<String, serde_json::Value>;

/// `config.json` of a model folder.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// [`ModelConfig::FORMAT`].
    pub format: String,
    /// The network's name: `avdit`, `av-dit`.
    pub architecture: String,
    /// The network.
    pub network: NetworkConfig,
    /// What a sampler must know of it.
    pub spec: DenoiserSpec,
    /// The levels that the graph can be told; any where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenSchedule>,
    /// The form of the sampler's update in the graph; a graph that predicts where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepForm>,
    /// Where it comes from.
    #[serde(default)]
    pub provenance: Provenance,
}

impl ModelConfig {
    /// The format that this version writes.
    pub const FORMAT: &str = "avdit-model/1";

    /// The configuration of a network whose graph predicts, at any level.
    pub fn of(network: impl Into<NetworkConfig>, spec: DenoiserSpec, provenance: Provenance) -> Self {
        let network = network.into();
        let (format, architecture) = (Self::FORMAT.to_owned(), network.architecture().to_owned());
        Self { format, architecture, network, spec, frozen: None, step: None, provenance }
    }

    /// The same, of a graph that was exported with these options.
    ///
    /// # Errors
    /// As [`ExportOptions::frozen`].
    pub fn with(self, options: &ExportOptions) -> Result<Self> {
        Ok(Self { frozen: options.frozen(&self.spec)?, step: options.step, ..self })
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
    /// The engines that were not compared, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<NotChecked>,
}

/// An engine on which a graph was not compared with what it was made from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotChecked {
    /// Its name.
    pub engine: String,
    /// Why.
    pub reason: String,
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
    /// The record of a file that is there.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be read.
    pub fn of(path: &Path) -> Result<Self> {
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
