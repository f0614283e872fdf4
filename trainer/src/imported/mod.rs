//! Networks from public checkpoints: a folder of `network.json` and `model.safetensors`, under this project's names.
//!
//! [`Import::read`] sees what foreign files hold and compares it, whole, with the network that they are to be;
//! [`Import::write`] leaves a folder, one tensor in memory at a time; [`Imported::open`] takes it.

mod codecs;
mod dit;
mod import;
mod pickle;
mod plan;
mod run;
mod selection;
mod sources;

pub use import::{Import, ImportOptions};
pub use run::run_network;

use crate::checkpoint::read_json;
use crate::error::{Error, Result};
use crate::weight_file::WeightFile;
use avdit_media::tensors::TensorFile;
use avdit_nets::encodec::{self, EncodecConfig};
use avdit_nets::hifigan::{self, HifiganConfig};
use avdit_nets::vae::VaeConfig;
use avdit_nets::{DitConfig, Network, NetworkError, Parameter};
use import::Imports;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The format of `network.json`.
pub const FORMAT: &str = "avdit-network/1";

/// The file that says what an imported network is.
pub const NETWORK_FILE: &str = "network.json";

/// The file of its parameters.
pub const WEIGHTS_FILE: &str = "model.safetensors";

/// Blocks of a DiT, at most.
const MAX_DEPTH: usize = 1024;

/// The kinds of networks that can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// An image DiT.
    Dit,
    /// The autoencoder of Stable Diffusion or of AudioLDM.
    Vae,
    /// A vocoder.
    Hifigan,
    /// A codec of sound.
    Encodec,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Dit, Self::Vae, Self::Hifigan, Self::Encodec];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dit => "dit",
            Self::Vae => "vae",
            Self::Hifigan => "hifigan",
            Self::Encodec => "encodec",
        }
    }
}

/// What an imported network is made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "config", rename_all = "lowercase")]
pub enum ImportedConfig {
    /// An image DiT.
    Dit(DitConfig),
    /// The autoencoder of Stable Diffusion or of AudioLDM.
    Vae(VaeConfig),
    /// A vocoder.
    Hifigan(HifiganConfig),
    /// A codec of sound.
    Encodec(EncodecConfig),
}

impl ImportedConfig {
    /// Its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Dit(_) => Kind::Dit,
            Self::Vae(_) => Kind::Vae,
            Self::Hifigan(_) => Kind::Hifigan,
            Self::Encodec(_) => Kind::Encodec,
        }
    }

    fn check(&self) -> Result<(), NetworkError> {
        match self {
            // A stray number must not ask for a list of millions of parameters.
            Self::Dit(config) if config.depth > MAX_DEPTH => Err(NetworkError {
                network: "dit",
                what: format!("depth is {}, expected at most {MAX_DEPTH}", config.depth),
            }),
            Self::Dit(config) => Network::check(config),
            Self::Vae(config) => config.check(),
            Self::Hifigan(config) => config.check(),
            Self::Encodec(config) => config.check(),
        }
    }
}

/// Every tensor of a network that is imported, with so many codebooks where it has any.
pub(crate) fn parameters(config: &ImportedConfig, codebooks: usize) -> Vec<Parameter> {
    match config {
        ImportedConfig::Dit(config) => config.parameters(),
        ImportedConfig::Vae(config) => config.parameters(),
        ImportedConfig::Hifigan(config) => hifigan::parameters(config),
        ImportedConfig::Encodec(config) => {
            // Layers do not depend on how long the sound is.
            let encoder = encodec::Encoder::new(config, 1).map(|part| part.parameters());
            let decoder = encodec::Decoder::new(config, 1).map(|part| part.parameters());
            let books = encodec::Quantizer::parameters(config, codebooks);
            [encoder.unwrap_or_default(), decoder.unwrap_or_default(), books].concat()
        }
    }
}

/// A file that a network came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// Its name, without the folder.
    pub file: String,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// Where an imported network comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// The file, or the first of several.
    #[serde(flatten)]
    pub first: SourceFile,
    /// The other files of a checkpoint in parts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub more: Vec<SourceFile>,
    /// The key that its tensors stood under.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What the names of its tensors began with there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub within: Option<String>,
    /// Beginnings of the names of tensors that were left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Whose names its tensors had: `official`, `diffusers`, `transformers`, or a codec's `former` ones.
    pub names: String,
}

/// What `network.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// [`FORMAT`].
    pub format: String,
    /// Kind and configuration.
    #[serde(flatten)]
    pub config: ImportedConfig,
    /// The SHA-256 of `model.safetensors`.
    pub weights_sha256: String,
    /// Where it comes from.
    pub source: Source,
}

/// An imported network.
pub struct Imported {
    /// What it is made of.
    pub config: ImportedConfig,
    /// Its parameters, read when they are asked for.
    pub weights: WeightFile,
    /// The SHA-256 of its parameters' file, as it was written.
    pub sha256: String,
    /// Where it comes from.
    pub source: Source,
    folder: PathBuf,
}

impl Imported {
    /// Whether a folder says that it is an imported network.
    pub fn is_in(folder: &Path) -> bool {
        folder.join(NETWORK_FILE).is_file()
    }

    /// Opens a folder. The header of its parameters is read, and no parameter.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`] naming the file: one that is not there, another format, a configuration that
    /// cannot be built, or the first tensor that is missing, left over or of another shape.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(NETWORK_FILE);
        if !path.is_file() {
            let hint = "give the folder of an imported network; `avdit import FILE -o FOLDER` makes one";
            return Err(Error::content(folder, format!("holds no {NETWORK_FILE}\n\nhint: {hint}")));
        }
        let record: NetworkRecord = read_json(&path)?;
        if record.format != FORMAT {
            return Err(Error::content(&path, format!("format is {}, expected {FORMAT}", record.format)));
        }
        record.config.check().map_err(|error| Error::content(&path, error))?;
        let weights = folder.join(WEIGHTS_FILE);
        let codebooks = match record.config.kind() {
            Kind::Encodec => {
                codecs::codebooks(TensorFile::read(&weights)?.names().iter().map(String::as_str))
            }
            _ => 0,
        };
        let parameters = parameters(&record.config, codebooks);
        let weights =
            WeightFile::open(&weights, &parameters.into_iter().map(|p| (p.name, p.shape)).collect())?;
        let NetworkRecord { config, weights_sha256: sha256, source, .. } = record;
        Ok(Self { config, weights, sha256, source, folder: folder.to_owned() })
    }

    /// Reads the file of its parameters through and compares it with what was written.
    ///
    /// # Errors
    /// [`Error::Content`] with both sums if it has changed since.
    pub fn verify(&self) -> Result<()> {
        let path = self.weights.path();
        let found = avdit_media::codec::file_sha256(path)?;
        if found == self.sha256 {
            return Ok(());
        }
        let what = format!("its SHA-256 is {found}, {NETWORK_FILE} says {}", self.sha256);
        Err(Error::content(path, format!("{what}\n\nhint: import it again with `avdit import`")))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// An image DiT's configuration.
    ///
    /// # Errors
    /// [`Error::Content`] naming the kind that it is.
    pub fn dit(&self) -> Result<&DitConfig> {
        match &self.config {
            ImportedConfig::Dit(config) => Ok(config),
            _ => Err(self.is_no(Kind::Dit)),
        }
    }

    /// An autoencoder's configuration.
    ///
    /// # Errors
    /// [`Error::Content`] naming the kind that it is.
    pub fn vae(&self) -> Result<&VaeConfig> {
        match &self.config {
            ImportedConfig::Vae(config) => Ok(config),
            _ => Err(self.is_no(Kind::Vae)),
        }
    }

    fn is_no(&self, expected: Kind) -> Error {
        let what = format!("is of kind {}, expected {}", self.config.kind().name(), expected.name());
        Error::content(&self.folder.join(NETWORK_FILE), what)
    }
}
