//! A learned codec as one file.
//!
//! A safetensors file. Metadata: `format` (`avdit-codec/1`), `kind` (`learned`), `grid`, `autoencoder` and `training`
//! (JSON). Tensors: every parameter of the autoencoder by its name, f32.

use super::config::CodecTraining;
use crate::error::{Error, Result};
use crate::model::Weights;
use avdit_core::Layout;
use avdit_media::ClipGrid;
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_nets::AutoencoderConfig;
use std::collections::BTreeMap;
use std::path::Path;

const FORMAT: &str = "avdit-codec/1";
const KIND: &str = "learned";

/// A learned codec.
#[derive(Clone, Debug, PartialEq)]
pub struct CodecFile {
    /// Pixels and samples of a clip.
    pub grid: ClipGrid,
    /// The networks.
    pub autoencoder: AutoencoderConfig,
    /// Their parameters.
    pub weights: Weights,
    /// How it was trained.
    pub training: CodecTraining,
}

impl CodecFile {
    /// The grid of its latents.
    pub fn layout(&self) -> Layout {
        self.autoencoder.layout()
    }

    /// The kind of the codec in a file, such as `linear`; `learned` is for [`CodecFile::read`].
    ///
    /// # Errors
    /// A media error if it is no file of a codec.
    pub fn kind(path: &Path) -> Result<String> {
        let file = TensorFile::read(path)?;
        file.check_format(FORMAT)?;
        Ok(file.meta("kind")?.to_owned())
    }

    /// Writes the file.
    ///
    /// # Errors
    /// A media error; an earlier file is then still there.
    pub fn write(&self, path: &Path) -> Result<()> {
        let json = |value: serde_json::Result<String>| value.expect("plain numbers and names are JSON");
        let metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("kind".to_owned(), KIND.to_owned()),
            ("grid".to_owned(), json(serde_json::to_string(&self.grid))),
            ("autoencoder".to_owned(), json(serde_json::to_string(&self.autoencoder))),
            ("training".to_owned(), json(serde_json::to_string(&self.training))),
        ]);
        let list = self.autoencoder.parameters();
        let tensor = |p: &'_ avdit_nets::Parameter| {
            let missing = || Error::Parameter { name: p.name.clone(), what: "missing from the codec".into() };
            self.weights.get(&p.name).ok_or_else(missing)
        };
        let values = list.iter().map(tensor).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<_> = list
            .iter()
            .zip(values)
            .map(|(p, values)| TensorRef { name: &p.name, shape: p.shape.clone(), values })
            .collect();
        Ok(write_tensors(path, &metadata, &tensors)?)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// A media error or [`Error::Content`] naming the file and what is wrong in it.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        file.check_format(FORMAT)?;
        if file.meta("kind")? != KIND {
            return Err(Error::content(
                path,
                format!("codec of kind {}, expected {KIND}", file.meta("kind")?),
            ));
        }
        let autoencoder: AutoencoderConfig = file.meta_json("autoencoder")?;
        let training: CodecTraining = file.meta_json("training")?;
        let grid: ClipGrid = file.meta_json("grid")?;
        training.check().map_err(|error| Error::content(path, error))?;
        if (training.grid, &training.autoencoder) != (grid, &autoencoder) {
            return Err(Error::content(path, "its training is that of another autoencoder or grid"));
        }
        let one = |p: avdit_nets::Parameter| -> Result<(String, Vec<f32>)> {
            let values = file.tensor_of(&p.name, &p.shape)?;
            match values.iter().position(|x| !x.is_finite()) {
                Some(i) => {
                    Err(Error::content(path, format!("tensor {}: value {i} is {}", p.name, values[i])))
                }
                None => Ok((p.name, values)),
            }
        };
        let weights = autoencoder.parameters().into_iter().map(one).collect::<Result<_>>()?;
        Ok(Self { grid, autoencoder, weights, training })
    }
}
