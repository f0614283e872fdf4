//! A network as it was imported: a folder of `network.json` and `model.safetensors`.

use anyhow::{Result, bail};
use avdit_media::codec::file_sha256;
use avdit_media::tensors::TensorFile;
use avdit_nets::Parameter;
use avdit_nets::encodec::EncodecConfig;
use avdit_nets::hifigan::HifiganConfig;
use avdit_nets::vae::VaeConfig;
use avdit_trainer::Error;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

const FORMAT: &str = "avdit-network/1";
const NETWORK_FILE: &str = "network.json";
const WEIGHTS_FILE: &str = "model.safetensors";

/// What an imported network is made of; of those that are no codecs, only the kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "config", rename_all = "lowercase")]
pub enum ImportedConfig {
    /// An image DiT.
    Dit(Value),
    /// The autoencoder of Stable Diffusion or of AudioLDM.
    Vae(VaeConfig),
    /// A vocoder.
    Hifigan(HifiganConfig),
    /// A codec of sound.
    Encodec(EncodecConfig),
}

impl ImportedConfig {
    /// What it is, in words.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Dit(_) => "a DiT",
            Self::Vae(config) if config.in_channels == 1 => "an autoencoder of mel spectrograms (vae)",
            Self::Vae(_) => "an autoencoder of pictures (vae)",
            Self::Hifigan(_) => "a vocoder (hifigan)",
            Self::Encodec(_) => "a codec of sound (encodec)",
        }
    }
}

#[derive(Deserialize)]
struct Record {
    #[serde(flatten)]
    config: ImportedConfig,
    weights_sha256: String,
    #[serde(default)]
    source: Value,
}

/// An imported network.
pub struct Imported {
    pub config: ImportedConfig,
    /// The SHA-256 of its file of tensors.
    pub sha256: String,
    /// Where it comes from.
    pub source: Value,
    tensors: TensorFile,
}

impl Imported {
    /// Opens a folder; its tensors are as they were when it was imported, and read when they are asked for.
    ///
    /// # Errors
    /// One that names the file and what is wrong with it.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(NETWORK_FILE);
        let hint = "hint: give the folder of an imported network";
        let text = match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                bail!(Error::content(folder, format!("holds no {NETWORK_FILE}\n\n{hint}")))
            }
            read => read.map_err(|source| avdit_media::Error::io(&path, source))?,
        };
        let malformed = |error: serde_json::Error| Error::content(&path, error);
        let value: Value = serde_json::from_slice(&text).map_err(malformed)?;
        if value["format"] != FORMAT {
            bail!(Error::content(
                &path,
                format!("format is {}, expected \"{FORMAT}\"\n\n{hint}", value["format"])
            ));
        }
        let Record { config, weights_sha256, source } = serde_json::from_value(value).map_err(malformed)?;
        let weights = folder.join(WEIGHTS_FILE);
        let tensors = TensorFile::read(&weights)?;
        let found = file_sha256(&weights)?;
        if found != weights_sha256 {
            let what = format!("its SHA-256 is {found}, {NETWORK_FILE} says {weights_sha256}");
            bail!(Error::content(&weights, format!("{what}\n\nhint: import it again")));
        }
        Ok(Self { config, sha256: weights_sha256, source, tensors })
    }

    /// The values of a parameter.
    ///
    /// # Errors
    /// One that names the file and the tensor that is missing, of another shape, or holds what is no number.
    pub fn values(&self, parameter: &Parameter) -> Result<Vec<f32>> {
        let values = self.tensors.tensor_of(&parameter.name, &parameter.shape)?;
        match values.iter().position(|x| !x.is_finite()) {
            None => Ok(values),
            Some(i) => {
                let what = format!("tensor {}: value {i} is {}", parameter.name, values[i]);
                bail!(Error::content(self.tensors.path(), what))
            }
        }
    }
}
