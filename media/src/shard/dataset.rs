//! A dataset: a folder of shards with the codec that made them.

use super::ClipOrigin;
use super::stats::{LatentStats, STATS_FILE};
use super::stream::{Stream, StreamOptions, Traffic};
use crate::ClipGrid;
use crate::codec::{Codec, LinearCodec, file_sha256};
use crate::error::{Error, Result};
use avdit_core::{Latents, Layout};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The file that makes a folder a dataset; written last.
pub const DATASET_FILE: &str = "dataset.json";
const SCHEMA: &str = "avdit-dataset/1";

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
    /// The SHA-256 of its file, so that what tells datasets apart tells their clips apart; `None` if it was made
    /// before shards had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

impl DatasetInfo {
    pub(crate) fn schema() -> String {
        SCHEMA.to_owned()
    }

    /// Reads a `dataset.json`.
    fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read(path).map_err(|source| Error::io(path, source))?;
        let malformed = |what: String| Error::malformed(path, what);
        let info: Self = serde_json::from_slice(&text).map_err(|error| malformed(error.to_string()))?;
        if info.schema != SCHEMA {
            return Err(malformed(format!("schema is {}, expected {SCHEMA}", info.schema)));
        }
        info.layout.check().map_err(|error| malformed(format!("layout: {error}")))?;
        let sum: usize = info.shards.iter().map(|shard| shard.clips).sum();
        if sum != info.clips {
            return Err(malformed(format!("its shards have {sum} clips, it says {}", info.clips)));
        }
        Ok(info)
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

/// A dataset on disk: clips are read one by one where they lie, so that it may be far larger than memory.
pub struct Dataset {
    folder: PathBuf,
    info: DatasetInfo,
    stream: Stream,
    /// The index of the first clip of each shard.
    begins: Vec<usize>,
}

impl Dataset {
    /// [`Dataset::open_with`] the default options.
    ///
    /// # Errors
    /// As [`Dataset::open_with`].
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_with(folder, StreamOptions::default())
    }

    /// Opens the dataset in a folder: all its files must be there and its codec the one that made it. A shard is
    /// checked when it is first read; one outside the folder, as those of a joined dataset are, is then read whole once to
    /// compare its SHA-256.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] naming the file.
    pub fn open_with(folder: &Path, options: StreamOptions) -> Result<Self> {
        let path = folder.join(DATASET_FILE);
        let info = DatasetInfo::read(&path)?;
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
        let begins = info.shards.iter().scan(0, |end, shard| {
            *end += shard.clips;
            Some(*end - shard.clips)
        });
        let begins = begins.collect();
        let paths = info.shards.iter().map(|shard| folder.join(&shard.file)).collect();
        Ok(Self { folder: folder.to_owned(), info, stream: Stream::new(paths, options), begins })
    }

    /// Reads the header of every shard: whether it is whole and belongs to the dataset. Numbers are checked as they are
    /// read.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] naming the file.
    pub fn check_shards(&self) -> Result<()> {
        (0..self.info.shards.len()).try_for_each(|shard| self.stream.check(&self.info, shard).map(drop))
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

    /// The statistics of its latents; `None` if it was made before there were any.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] naming the file.
    pub fn stats(&self) -> Result<Option<LatentStats>> {
        let path = self.folder.join(STATS_FILE);
        if path.is_file() { LatentStats::read(&path).map(Some) } else { Ok(None) }
    }

    /// A clip.
    ///
    /// # Errors
    /// As [`Dataset::latents`].
    pub fn get(&self, index: usize) -> Result<Item> {
        Ok(Item { latents: self.latents(index)?, origin: self.origin(index)? })
    }

    /// The latents of a clip, finite, as a batch of one; nothing else is read or kept.
    ///
    /// # Errors
    /// [`Error::Value`] if there is none of this index; [`Error::Io`]; [`Error::Malformed`] if the shard is not of
    /// this dataset or the clip has a number that is not finite.
    pub fn latents(&self, index: usize) -> Result<Latents> {
        let (shard, within) = self.place(index)?;
        self.stream.latents(&self.info, shard, within)
    }

    /// Where a clip comes from. Reads the header of its shard: for messages, not for every step.
    ///
    /// # Errors
    /// As [`Dataset::latents`].
    pub fn origin(&self, index: usize) -> Result<ClipOrigin> {
        let (shard, within) = self.place(index)?;
        self.stream.origin(&self.info, shard, within)
    }

    /// Several clips as one batch.
    ///
    /// # Errors
    /// As [`Dataset::latents`].
    pub fn batch(&self, indices: &[usize]) -> Result<Latents> {
        let parts: Vec<Latents> = indices.iter().map(|&i| self.latents(i)).collect::<Result<_>>()?;
        Ok(Latents::concat(&parts))
    }

    /// What reading it has cost so far.
    pub fn traffic(&self) -> Traffic {
        self.stream.traffic()
    }

    #[cfg(test)]
    pub(super) fn open_files(&self) -> usize {
        self.stream.open_now()
    }

    /// The shard of a clip, and its place there.
    fn place(&self, index: usize) -> Result<(usize, usize)> {
        if index >= self.len() {
            return Err(Error::value("index of a clip", format!("below {}", self.len()), index));
        }
        let shard = self.begins.partition_point(|&begin| begin <= index) - 1;
        Ok((shard, index - self.begins[shard]))
    }
}
