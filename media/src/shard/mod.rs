//! Shards of latents, and the folder that holds a dataset of them.
//!
//! # A shard, byte for byte
//! A safetensors file `latents-00000.safetensors`, `latents-00001.safetensors`, …:
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `h`, the length of the header, u64 little-endian |
//! | 8..8+h | the header, JSON in UTF-8, padded with spaces to a multiple of 8 |
//! | then | `video`: `n·F·C·H·W` f32 little-endian, clip after clip in row-major order `(F, C, H, W)` |
//! | then | `audio`: `n·A·Ca` f32 little-endian, clip after clip in row-major order `(A, Ca)` |
//!
//! The header maps `video` and `audio` to their `dtype` (`F32`), `shape` (`[n, F, C, H, W]`, `[n, A, Ca]`) and
//! `data_offsets`, and `__metadata__` to strings, sorted by key:
//!
//! | key | value |
//! |---|---|
//! | `clips` | JSON: a list of n `{"name": …, "source": …, "start_s": …}` |
//! | `codec_sha256` | the SHA-256 of the codec's file, hexadecimal |
//! | `format` | `avdit-shard/1` |
//! | `layout` | JSON: the [`Layout`] of the latents |
//!
//! The latents are of unit scale, as the codec gives them. **Invariant:** a shard that was read holds finite numbers
//! of the layout it says.

mod dataset;
mod stats;
mod stream;

pub use dataset::{CodecInfo, DATASET_FILE, Dataset, DatasetInfo, Item, ShardInfo};
pub(crate) use stats::Collect;
pub use stats::{LatentStats, ModalityStats, Moments, STATS_FILE};
pub use stream::{StreamOptions, Traffic};

use crate::error::{Error, Result};
use crate::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_core::{Latents, Layout, Modality};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

const FORMAT: &str = "avdit-shard/1";

/// Where latents come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipOrigin {
    /// The clip's name, unique in its dataset.
    pub name: String,
    /// The file it was cut from.
    pub source: String,
    /// Where in the file it starts.
    pub start_s: f64,
}

/// The latents of several clips.
#[derive(Clone, Debug, PartialEq)]
pub struct Shard {
    /// The grid of the latents.
    pub layout: Layout,
    /// The SHA-256 of the codec that made them.
    pub codec_sha256: String,
    /// Where each comes from.
    pub clips: Vec<ClipOrigin>,
    /// The latents of all of them.
    pub latents: Latents,
}

impl Shard {
    /// The name of the file of shard `index`.
    pub fn file_name(index: usize) -> String {
        format!("latents-{index:05}.safetensors")
    }

    /// Writes the shard.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the latents are not finite, [`Error::Core`] or [`Error::Count`] if they are not of the
    /// layout, [`Error::Io`].
    pub fn write(&self, path: &Path) -> Result<()> {
        self.latents.check(&self.layout)?;
        Error::check_count("clips named in a shard", self.latents.batch, self.clips.len())?;
        self.check_finite(path)?;
        let json = |value: serde_json::Result<String>| value.expect("names and numbers are JSON");
        let metadata = BTreeMap::from([
            ("format".to_owned(), FORMAT.to_owned()),
            ("layout".to_owned(), json(serde_json::to_string(&self.layout))),
            ("codec_sha256".to_owned(), self.codec_sha256.clone()),
            ("clips".to_owned(), json(serde_json::to_string(&self.clips))),
        ]);
        let tensors = Modality::ALL.map(|modality| TensorRef {
            name: modality.name(),
            shape: self.layout.shape(modality, self.latents.batch),
            values: self.latents.get(modality),
        });
        write_tensors(path, &metadata, &tensors)
    }

    /// Reads a shard.
    ///
    /// # Errors
    /// [`Error::Io`], or [`Error::Malformed`] naming the file and, where it applies, the tensor and the clip.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TensorFile::read(path)?;
        file.check_format(FORMAT)?;
        let layout: Layout = file.meta_json("layout")?;
        layout.check().map_err(|error| Error::malformed(path, format!("metadata layout: {error}")))?;
        let clips: Vec<ClipOrigin> = file.meta_json("clips")?;
        let tensor =
            |modality: Modality| file.tensor_of(modality.name(), &layout.shape(modality, clips.len()));
        let latents =
            Latents { batch: clips.len(), video: tensor(Modality::Video)?, audio: tensor(Modality::Audio)? };
        let shard = Self { codec_sha256: file.meta("codec_sha256")?.to_owned(), layout, clips, latents };
        shard.check_finite(path)?;
        Ok(shard)
    }

    fn check_finite(&self, path: &Path) -> Result<()> {
        for modality in Modality::ALL {
            let values = self.latents.get(modality);
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                let (clip, value) = (at / self.layout.len(modality), at % self.layout.len(modality));
                let (tensor, name, got) = (modality.name(), &self.clips[clip].name, values[at]);
                let what = format!(
                    "tensor {tensor}: clip {clip} ({name}): value {value} is {got}, not a finite number"
                );
                return Err(Error::malformed(path, what));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
