//! A fitted linear codec as one file.
//!
//! A safetensors file. Metadata: `format` (`avdit-codec/1`), `kind` (`linear`), `config` and `report` (JSON).
//! Tensors, all f32, for each of `first_frame`, `frames` and `audio`: `.mean` (positions, values), `.basis`
//! (channels, values), `.centre` (channels) and `.scale` (channels).

use super::audio::Spectra;
use super::config::CodecConfig;
use super::linear::{LinearCodec, Projection};
use super::video::Patches;
use crate::error::{Error, Result};
use crate::tensors::{TensorFile, TensorRef, write_tensors};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

const FORMAT: &str = "avdit-codec/1";
const NAMES: [&str; 3] = ["first_frame", "frames", "audio"];

impl LinearCodec {
    /// Writes the codec.
    ///
    /// # Errors
    /// [`Error::Io`]; an earlier file is then still there.
    pub fn save(&self, path: &Path) -> Result<()> {
        let json = |value: serde_json::Result<String>| value.expect("plain numbers and names are JSON");
        let metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("kind".to_owned(), "linear".to_owned()),
            ("config".to_owned(), json(serde_json::to_string(&self.config))),
            ("report".to_owned(), json(serde_json::to_string(&self.report))),
        ]);
        let names =
            NAMES.map(|name| ["mean", "basis", "centre", "scale"].map(|part| format!("{name}.{part}")));
        let mut tensors = Vec::new();
        for (p, [mean, basis, centre, scale]) in self.projections.iter().zip(&names) {
            let (k, d) = (p.centre.len(), p.d());
            tensors.push(TensorRef { name: mean, shape: vec![p.mean.len() / d, d], values: &p.mean });
            tensors.push(TensorRef { name: basis, shape: vec![k, d], values: &p.basis });
            tensors.push(TensorRef { name: centre, shape: vec![k], values: &p.centre });
            tensors.push(TensorRef { name: scale, shape: vec![k], values: &p.scale });
        }
        write_tensors(path, &metadata, &tensors)
    }

    /// Reads a codec.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] naming the file and what is wrong in it.
    pub fn load(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        file.check_format(FORMAT)?;
        if file.meta("kind")? != "linear" {
            return Err(Error::malformed(
                path,
                format!("codec of kind {}, expected linear", file.meta("kind")?),
            ));
        }
        let config: CodecConfig = file.meta_json("config")?;
        config.check().map_err(|error| Error::malformed(path, format!("metadata config: {error}")))?;
        let report = file.meta_json("report")?;
        let (patches, spectra) = (Patches::new(&config.grid, &config.video), Spectra::new(&config));
        let projection = |kind: usize| -> Result<Projection> {
            let (positions, d, k) = match kind {
                2 => (1, spectra.values(), config.audio.channels),
                _ => (patches.positions(), patches.values(kind), config.video.channels),
            };
            let tensor = |part: &str, shape: &[usize]| {
                let name = format!("{}.{part}", NAMES[kind]);
                let values = file.tensor_of(&name, shape)?;
                let bad = |x: &f32| !x.is_finite() || (part == "scale" && *x <= 0.0);
                match values.iter().position(bad) {
                    None => Ok(values),
                    Some(i) => {
                        Err(Error::malformed(path, format!("tensor {name}: value {i} is {}", values[i])))
                    }
                }
            };
            Ok(Projection {
                mean: tensor("mean", &[positions, d])?,
                basis: tensor("basis", &[k, d])?,
                centre: tensor("centre", &[k])?,
                scale: tensor("scale", &[k])?,
            })
        };
        let projections = [projection(0)?, projection(1)?, projection(2)?];
        Ok(Self { layout: config.layout(), config, patches, spectra, projections, report })
    }
}

/// The SHA-256 of a file, in hexadecimal: how shards name the codec that made them.
///
/// # Errors
/// [`Error::Io`].
pub fn file_sha256(path: &Path) -> Result<String> {
    let mut file = std::fs::File::open(path).map_err(|source| Error::io(path, source))?;
    let mut hasher = Sha256::new();
    std::io::copy(&mut file, &mut hasher).map_err(|source| Error::io(path, source))?;
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}
