//! A dataset: a folder of shards with the codec that made them.

use super::{ClipOrigin, Shard};
use crate::ClipGrid;
use crate::codec::{Codec, LinearCodec, file_sha256};
use crate::error::{Error, Result};
use avdit_core::{Latents, Layout};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// The file that makes a folder a dataset; written last.
pub const DATASET_FILE: &str = "dataset.json";
const SCHEMA: &str = "avdit-dataset/1";
/// Latents kept in memory, beside the shard in use.
const CACHE_BYTES: usize = 512 << 20;

/// What `dataset.json` says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatasetInfo {
    /// `avdit-dataset/1`.
    pub schema: String,
    /// The pixels and samples of its clips.
    pub grid: ClipGrid,
    /// The grid of its latents.
    pub layout: Layout,
    /// Clips in all shards.
    pub clips: usize,
    /// Clips that the audit left out.
    pub left_out: usize,
    /// The codec that made the latents.
    pub codec: CodecInfo,
    /// The shards, in order.
    pub shards: Vec<ShardInfo>,
}

/// Names a codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CodecInfo {
    /// Its file, in the folder of the dataset.
    pub file: String,
    /// What kind it is.
    pub kind: String,
    /// The SHA-256 of its file.
    pub sha256: String,
}

/// Names a shard.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardInfo {
    /// Its file, in the folder of the dataset.
    pub file: String,
    /// Clips in it.
    pub clips: usize,
}

impl DatasetInfo {
    pub(crate) fn schema() -> String {
        SCHEMA.to_owned()
    }
}

/// The latents of one clip.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Where they come from.
    pub origin: ClipOrigin,
    /// A batch of one.
    pub latents: Latents,
}

/// A dataset on disk, of which as much is in memory as fits in 512 MiB.
pub struct Dataset {
    folder: PathBuf,
    info: DatasetInfo,
    /// The last used last.
    loaded: Mutex<Vec<(usize, Arc<Shard>)>>,
}

impl Dataset {
    /// Opens the dataset in a folder: all its files must be there and its codec the one that made it. The shards
    /// are read and checked when they are needed.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] naming the file.
    pub fn open(folder: &Path) -> Result<Self> {
        let path = folder.join(DATASET_FILE);
        let text = std::fs::read(&path).map_err(|source| Error::io(&path, source))?;
        let info: DatasetInfo =
            serde_json::from_slice(&text).map_err(|error| Error::malformed(&path, error.to_string()))?;
        let malformed = |what: String| Error::malformed(&path, what);
        if info.schema != SCHEMA {
            return Err(malformed(format!("schema is {}, expected {SCHEMA}", info.schema)));
        }
        info.layout.check().map_err(|error| malformed(format!("layout: {error}")))?;
        let sum: usize = info.shards.iter().map(|shard| shard.clips).sum();
        if sum != info.clips {
            return Err(malformed(format!("its shards have {sum} clips, it says {}", info.clips)));
        }
        for shard in &info.shards {
            let file = folder.join(&shard.file);
            std::fs::metadata(&file).map_err(|source| Error::io(&file, source))?;
        }
        let codec = folder.join(&info.codec.file);
        let got = file_sha256(&codec)?;
        if got != info.codec.sha256 {
            let what = format!("codec has SHA-256 {got}, the dataset was made with {}", info.codec.sha256);
            return Err(Error::malformed(codec, what));
        }
        Ok(Self { folder: folder.to_owned(), info, loaded: Mutex::default() })
    }

    /// What its `dataset.json` says.
    pub fn info(&self) -> &DatasetInfo {
        &self.info
    }

    /// The grid of its latents.
    pub fn layout(&self) -> &Layout {
        &self.info.layout
    }

    /// Its clips.
    pub fn len(&self) -> usize {
        self.info.clips
    }

    /// Whether it has no clips.
    pub fn is_empty(&self) -> bool {
        self.info.clips == 0
    }

    /// The path of its codec.
    pub fn codec_path(&self) -> PathBuf {
        self.folder.join(&self.info.codec.file)
    }

    /// Its codec.
    ///
    /// # Errors
    /// As [`LinearCodec::load`]; [`Error::Malformed`] if its latents are of another layout.
    pub fn codec(&self) -> Result<LinearCodec> {
        let codec = LinearCodec::load(&self.codec_path())?;
        if *codec.layout() != self.info.layout {
            let what = format!("layout is {:?}, the dataset has {:?}", codec.layout(), self.info.layout);
            return Err(Error::malformed(self.codec_path(), what));
        }
        Ok(codec)
    }

    /// A clip.
    ///
    /// # Errors
    /// [`Error::Value`] if there is none of this index; as [`Shard::read`]; [`Error::Malformed`] if the shard is not
    /// of this dataset.
    pub fn get(&self, index: usize) -> Result<Item> {
        let mut within = index;
        for (number, shard) in self.info.shards.iter().enumerate() {
            if within < shard.clips {
                let shard = self.shard(number)?;
                let latents = shard.latents.item(&shard.layout, within);
                return Ok(Item { origin: shard.clips[within].clone(), latents });
            }
            within -= shard.clips;
        }
        Err(Error::value("index of a clip", format!("below {}", self.len()), index))
    }

    /// Several clips as one batch.
    ///
    /// # Errors
    /// As [`Dataset::get`].
    pub fn batch(&self, indices: &[usize]) -> Result<Latents> {
        let parts: Vec<Latents> = indices.iter().map(|&i| Ok(self.get(i)?.latents)).collect::<Result<_>>()?;
        Ok(Latents::concat(&parts))
    }

    fn shard(&self, number: usize) -> Result<Arc<Shard>> {
        let mut loaded = self.loaded.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(at) = loaded.iter().position(|(n, _)| *n == number) {
            let used = loaded.remove(at);
            loaded.push(used);
        } else {
            loaded.push((number, Arc::new(self.read(number)?)));
            let bytes = |shard: &Shard| 4 * (shard.latents.video.len() + shard.latents.audio.len());
            while loaded.len() > 1
                && loaded.iter().map(|(_, shard)| bytes(shard)).sum::<usize>() > CACHE_BYTES
            {
                loaded.remove(0);
            }
        }
        Ok(Arc::clone(&loaded.last().expect("one was just pushed").1))
    }

    fn read(&self, number: usize) -> Result<Shard> {
        let expected = &self.info.shards[number];
        let path = self.folder.join(&expected.file);
        let shard = Shard::read(&path)?;
        let malformed = |what: String| Err(Error::malformed(&path, what));
        if shard.layout != self.info.layout {
            return malformed(format!(
                "layout is {:?}, the dataset has {:?}",
                shard.layout, self.info.layout
            ));
        }
        if shard.codec_sha256 != self.info.codec.sha256 {
            let (got, expected) = (&shard.codec_sha256, &self.info.codec.sha256);
            return malformed(format!("made with the codec {got}, the dataset has {expected}"));
        }
        if shard.clips.len() != expected.clips {
            return malformed(format!(
                "has {} clips, the dataset says {}",
                shard.clips.len(),
                expected.clips
            ));
        }
        Ok(shard)
    }
}
