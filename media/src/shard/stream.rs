//! Single clips out of shards that are larger than memory: each is read from its place in its file.
//!
//! # Memory
//! 40 bytes a shard and a file handle for each of the files that are open; a reader holds the clip that it reads twice
//! (its bytes and its numbers) and, when it meets a shard for the first time, that shard's header. No shard is kept.

use super::{DatasetInfo, FORMAT, ShardInfo};
use crate::codec::file_sha256;
use crate::error::{Error, Result};
use crate::shard::ClipOrigin;
use crate::tensors::TensorFile;
use avdit_core::{Latents, Layout, Modality};
use std::fs::File;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// How a dataset is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamOptions {
    /// Shards whose files are open at a time, at least 1.
    pub open_files: usize,
}

impl Default for StreamOptions {
    /// 64 files, far from the 1,024 that a process usually may open.
    fn default() -> Self {
        Self { open_files: 64 }
    }
}

/// What reading has cost so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes of latents read.
    pub bytes: u64,
    /// Shards whose header was read and checked.
    pub headers: u64,
    /// Shards outside the dataset's folder that were read whole, to compare their SHA-256.
    pub hashed: u64,
    /// Files opened for latents.
    pub opened: u64,
}

/// Where the values of a shard that was checked lie, in bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    video: u64,
    audio: u64,
    size: u64,
}

/// The shards of one dataset.
pub(super) struct Stream {
    paths: Vec<PathBuf>,
    places: Vec<OnceLock<Place>>,
    /// Held by the one who checks a shard for the first time.
    checking: Vec<Mutex<()>>,
    /// The last used last.
    open: Mutex<Vec<(usize, Arc<File>)>>,
    most_open: usize,
    bytes: AtomicU64,
    headers: AtomicU64,
    hashed: AtomicU64,
    opened: AtomicU64,
}

impl Stream {
    pub(super) fn new(paths: Vec<PathBuf>, options: StreamOptions) -> Self {
        Self {
            places: paths.iter().map(|_| OnceLock::new()).collect(),
            checking: paths.iter().map(|_| Mutex::default()).collect(),
            paths,
            open: Mutex::default(),
            most_open: options.open_files.max(1),
            bytes: AtomicU64::default(),
            headers: AtomicU64::default(),
            hashed: AtomicU64::default(),
            opened: AtomicU64::default(),
        }
    }

    pub(super) fn traffic(&self) -> Traffic {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Traffic {
            bytes: of(&self.bytes),
            headers: of(&self.headers),
            hashed: of(&self.hashed),
            opened: of(&self.opened),
        }
    }

    #[cfg(test)]
    pub(super) fn open_now(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The latents of clip `within` of shard `number`, finite.
    pub(super) fn latents(&self, info: &DatasetInfo, number: usize, within: usize) -> Result<Latents> {
        let (file, place) = self.file(info, number)?;
        let layout = &info.layout;
        let mut latents = Latents::zeros(layout, 1);
        for (modality, start) in [(Modality::Video, place.video), (Modality::Audio, place.audio)] {
            let values = latents.get_mut(modality);
            let mut bytes = vec![0; 4 * values.len()];
            let at = start + (within * bytes.len()) as u64;
            read_at(&file, at, &mut bytes).map_err(|source| Error::io(&self.paths[number], source))?;
            let numbers = bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four));
            values.iter_mut().zip(numbers).for_each(|(value, read)| *value = read);
            self.bytes.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            if let Some(at) = values.iter().position(|x| !x.is_finite()) {
                let name = self.origin(info, number, within)?.name;
                let (tensor, got) = (modality.name(), values[at]);
                let what = format!(
                    "tensor {tensor}: clip {within} ({name}): value {at} is {got}, not a finite number"
                );
                return Err(Error::malformed(&self.paths[number], what));
            }
        }
        Ok(latents)
    }

    /// Where clip `within` of shard `number` comes from: its name is read from the header when it is asked for.
    pub(super) fn origin(&self, info: &DatasetInfo, number: usize, within: usize) -> Result<ClipOrigin> {
        let (_, clips) = self.check(info, number)?;
        Ok(clips[within].clone())
    }

    /// The file of a shard, open and checked.
    fn file(&self, info: &DatasetInfo, number: usize) -> Result<(Arc<File>, Place)> {
        let known = self.places[number].get().copied();
        if let Some(place) = known {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(at) = open.iter().rposition(|(n, _)| *n == number) {
                let used = open.remove(at);
                let file = Arc::clone(&used.1);
                open.push(used);
                return Ok((file, place));
            }
        }
        let path = &self.paths[number];
        let place = match known {
            Some(place) => place,
            None => self.first(info, number)?,
        };
        let file = File::open(path).map_err(|source| Error::io(path, source))?;
        let size = file.metadata().map_err(|source| Error::io(path, source))?.len();
        if size != place.size {
            let what = format!("has changed since it was first read: {size} bytes, it had {}", place.size);
            return Err(Error::malformed(path, what));
        }
        self.opened.fetch_add(1, Ordering::Relaxed);
        let file = Arc::new(file);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.push((number, Arc::clone(&file)));
        let surplus = open.len().saturating_sub(self.most_open);
        open.drain(..surplus);
        Ok((file, place))
    }

    /// Checks a shard that nobody has, or waits for the one who does.
    fn first(&self, info: &DatasetInfo, number: usize) -> Result<Place> {
        let _mine = self.checking[number].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = self.places[number].get() {
            return Ok(*place);
        }
        let place = self.check(info, number)?.0;
        self.headers.fetch_add(1, Ordering::Relaxed);
        self.check_bytes(&info.shards[number], number)?;
        Ok(*self.places[number].get_or_init(|| place))
    }

    /// Compares the SHA-256 of a shard that lies outside the dataset's folder, as those of a joined dataset do, where
    /// somebody may have put another of the same shape in its place. Reads all of it, which is why the dataset's own
    /// shards, written with its `dataset.json`, are not compared, and why a shard is only once.
    fn check_bytes(&self, expected: &ShardInfo, number: usize) -> Result<()> {
        let Some(sha256) = expected.sha256.as_ref().filter(|_| is_elsewhere(&expected.file)) else {
            return Ok(());
        };
        let path = &self.paths[number];
        let got = file_sha256(path)?;
        self.hashed.fetch_add(1, Ordering::Relaxed);
        if got == *sha256 {
            return Ok(());
        }
        let what = format!(
            "has SHA-256 {got}, the dataset was joined with {sha256}\n\nhint: join the datasets again with \
             --overwrite if that is meant"
        );
        Err(Error::malformed(path, what))
    }

    /// Reads the header of a shard and checks that it belongs to the dataset.
    pub(super) fn check(&self, info: &DatasetInfo, number: usize) -> Result<(Place, Vec<ClipOrigin>)> {
        let path = &self.paths[number];
        let file = TensorFile::read(path)?;
        let clips = check_shard(path, &file, info, &info.shards[number])?;
        let place =
            |modality: Modality| file.place(modality.name(), &info.layout.shape(modality, clips.len()));
        Ok((
            Place { video: place(Modality::Video)?, audio: place(Modality::Audio)?, size: file.size() },
            clips,
        ))
    }
}

/// Whether a shard lies elsewhere than in the dataset's folder itself.
fn is_elsewhere(file: &str) -> bool {
    let mut way = Path::new(file).components();
    !(matches!(way.next(), Some(Component::Normal(_))) && way.next().is_none())
}

/// The clips of a shard, if it is of this dataset as far as its header says; [`Stream::check_bytes`] looks at the rest
/// where that may differ.
fn check_shard(
    path: &Path,
    file: &TensorFile,
    info: &DatasetInfo,
    expected: &ShardInfo,
) -> Result<Vec<ClipOrigin>> {
    file.check_format(FORMAT)?;
    let malformed = |what: String| Err(Error::malformed(path, what));
    let layout: Layout = file.meta_json("layout")?;
    if layout != info.layout {
        return malformed(format!("layout is {layout:?}, the dataset has {:?}", info.layout));
    }
    let (got, codec) = (file.meta("codec_sha256")?, &info.codec.sha256);
    if got != codec {
        return malformed(format!("made with the codec {got}, the dataset has {codec}"));
    }
    let clips: Vec<ClipOrigin> = file.meta_json("clips")?;
    if clips.len() != expected.clips {
        return malformed(format!("has {} clips, the dataset says {}", clips.len(), expected.clips));
    }
    Ok(clips)
}

#[cfg(unix)]
fn read_at(file: &File, at: u64, bytes: &mut [u8]) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, at)
}

#[cfg(windows)]
fn read_at(file: &File, mut at: u64, mut bytes: &mut [u8]) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, at)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            n => (bytes, at) = (&mut bytes[n..], at + n as u64),
        }
    }
    Ok(())
}
