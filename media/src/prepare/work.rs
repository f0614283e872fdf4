//! What has been made of each file, kept beside the dataset until it is whole, so that work can go on after a stop and
//! be shared by several processes and machines.
//!
//! `.work/clips/<key>`, where the key is a hash of the file's path, size and time and of everything that decides what
//! becomes of it but for ffmpeg, which the header names where it was asked: `h` as u64 little-endian, `h` bytes of JSON, then the jpeg strip of each row that has one, then for
//! each clip kept either its frames as bytes and its samples as f32 little-endian, or, where the codec is known
//! beforehand, its latents as f32 little-endian, sight before sound.

use super::PrepareOptions;
use super::judge::{Holds, Judged, Made, judge};
use super::list::hash_file;
use crate::atomic::write_atomically;
use crate::audit::{AuditRow, Look};
use crate::codec::Codec;
use crate::error::{Error, Result};
use crate::{Audio, Clip, ClipGrid, Video};
use avdit_core::{Latents, Modality};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "avdit-work/3";

/// What became of one file, as its header says.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Header {
    schema: String,
    holds: Holds,
    /// One entry for the file if nothing could be cut from it, else one for each clip in it.
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Entry {
    row: AuditRow,
    /// Bytes of its strip of frames.
    frames: u64,
    sound: Vec<[i8; 2]>,
}

/// A codec that is known before any clip is read.
#[derive(Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) codec: &'a dyn Codec,
    pub(super) sha256: &'a str,
}

/// The folder of work.
pub(super) struct Work<'a> {
    folder: PathBuf,
    grid: ClipGrid,
    options: &'a PrepareOptions,
    known: Option<Known<'a>>,
    /// The version of the ffmpeg that may be asked.
    ffmpeg: Option<&'a str>,
}

/// A clip that was kept, on the disk.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    file: PathBuf,
    offset: u64,
    pub(super) row: AuditRow,
}

/// Where the parts of a whole file of work begin.
struct Whole {
    header: Header,
    frames: u64,
    clips: u64,
}

impl<'a> Work<'a> {
    pub(super) fn new(
        folder: PathBuf,
        grid: ClipGrid,
        options: &'a PrepareOptions,
        known: Option<Known<'a>>,
        ffmpeg: Option<&'a str>,
    ) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
        Ok(Self { folder, grid, options, known, ffmpeg })
    }

    fn clip_bytes(&self) -> u64 {
        let ClipGrid { frames, width, height, .. } = self.grid;
        let bytes = match &self.known {
            Some(known) => Modality::ALL.map(|modality| 4 * known.codec.layout().len(modality)).iter().sum(),
            None => frames * width * height * 3 + 4 * self.grid.samples(),
        };
        bytes as u64
    }

    fn key(&self, path: &Path) -> PathBuf {
        let mut hash = Sha256::new();
        let PrepareOptions { decode, fit, thresholds, .. } = self.options;
        let codec = self.known.map(|known| known.sha256);
        hash.update(format!("{SCHEMA} {:?} {decode:?} {fit:?} {thresholds:?} {codec:?}", self.grid));
        hash_file(&mut hash, path);
        let name: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name)
    }

    /// Makes clips of a file, unless that has been done and still holds; gives its rows and whether it had been.
    ///
    /// # Errors
    /// [`Error::Io`] if the work cannot be kept; what is wrong with the file itself becomes a row.
    pub(super) fn file(&self, path: &Path) -> Result<(Vec<AuditRow>, bool)> {
        let kept = self.key(path);
        let rows = |header: Header| header.entries.into_iter().map(|entry| entry.row).collect();
        if let Some(whole) = self.read(&kept).filter(|whole| whole.header.holds.with(self.ffmpeg)) {
            return Ok((rows(whole.header), true));
        }
        let Judged { made, holds } = judge(path, &self.grid, self.options, self.ffmpeg)?;
        let entries = made.iter().map(|Made { row, look, .. }| {
            let sound = look.sound.clone();
            Entry { row: row.clone(), frames: look.frames.len() as u64, sound }
        });
        let header = Header { schema: SCHEMA.to_owned(), holds, entries: entries.collect() };
        let text = serde_json::to_vec(&header).expect("names and numbers are JSON");
        let latents: Option<Vec<Latents>> = match &self.known {
            Some(known) => Some(
                made.iter()
                    .filter_map(|made| made.clip.as_ref())
                    .map(|c| known.codec.encode(c))
                    .collect::<Result<_>>()?,
            ),
            None => None,
        };
        write_atomically(&kept, |file| {
            let mut write = || {
                file.write_all(&(text.len() as u64).to_le_bytes())?;
                file.write_all(&text)?;
                made.iter().try_for_each(|made| file.write_all(&made.look.frames))?;
                match &latents {
                    Some(all) => all.iter().try_for_each(|one| {
                        write_floats(file, &one.video)?;
                        write_floats(file, &one.audio)
                    }),
                    None => made.iter().filter_map(|m| m.clip.as_ref()).try_for_each(|c| write_clip(file, c)),
                }
            };
            write().map_err(|source| Error::io(&kept, source))
        })?;
        Ok((rows(header), false))
    }

    /// A file of work; `None` if it is missing or not whole.
    fn read(&self, kept: &Path) -> Option<Whole> {
        let mut file = File::open(kept).ok()?;
        let mut length = [0u8; 8];
        file.read_exact(&mut length).ok()?;
        let length = u64::from_le_bytes(length);
        let mut text = Vec::new();
        (&file).take(length).read_to_end(&mut text).ok()?;
        let header: Header = serde_json::from_slice(&text).ok()?;
        let count = header.entries.iter().filter(|entry| entry.row.reason.is_none()).count() as u64;
        let frames = 8 + length;
        let clips = frames + header.entries.iter().map(|entry| entry.frames).sum::<u64>();
        let size = clips + count * self.clip_bytes();
        (header.schema == SCHEMA && file.metadata().ok()?.len() == size).then_some(Whole {
            header,
            frames,
            clips,
        })
    }

    fn whole(&self, path: &Path) -> Result<(PathBuf, Whole)> {
        let file = self.key(path);
        let changed = || Error::malformed(path, "the file has changed while clips were being made of it");
        let whole = self.read(&file).ok_or_else(changed)?;
        Ok((file, whole))
    }

    /// The clips kept of a file that has been worked on.
    pub(super) fn kept(&self, path: &Path) -> Result<Vec<Kept>> {
        let (file, whole) = self.whole(path)?;
        let rows = whole.header.entries.into_iter().map(|entry| entry.row).filter(|row| row.reason.is_none());
        let at = |i: usize| whole.clips + i as u64 * self.clip_bytes();
        Ok(rows.enumerate().map(|(i, row)| Kept { file: file.clone(), offset: at(i), row }).collect())
    }

    /// The look of row `index` of a file that has been worked on.
    pub(super) fn look(&self, path: &Path, index: usize) -> Result<Look> {
        let (file, whole) = self.whole(path)?;
        let before: u64 = whole.header.entries.iter().take(index).map(|entry| entry.frames).sum();
        let entry = &whole.header.entries[index];
        let frames = read_part(&file, whole.frames + before, entry.frames)?;
        Ok(Look { frames, sound: entry.sound.clone() })
    }

    /// The latents of a clip that was kept: as they were made with the codec known beforehand, else by `codec` now.
    pub(super) fn latents(&self, kept: &Kept, codec: &dyn Codec) -> Result<Latents> {
        let Some(known) = &self.known else {
            return codec.encode(&self.clip(kept)?);
        };
        let bytes = read_part(&kept.file, kept.offset, self.clip_bytes())?;
        let values: Vec<f32> =
            bytes.as_chunks::<4>().0.iter().map(|&four| f32::from_le_bytes(four)).collect();
        let (video, audio) = values.split_at(known.codec.layout().len(Modality::Video));
        Ok(Latents { batch: 1, video: video.to_vec(), audio: audio.to_vec() })
    }

    /// Reads a clip that was kept; only where no codec is known beforehand.
    pub(super) fn clip(&self, kept: &Kept) -> Result<Clip> {
        let bytes = read_part(&kept.file, kept.offset, self.clip_bytes())?;
        let ClipGrid { frames, fps, width, height, sample_rate_hz } = self.grid;
        let (pictures, sound) = bytes.split_at(frames * width * height * 3);
        let frames = pictures.chunks_exact(width * height * 3).map(<[u8]>::to_vec).collect();
        let samples = sound.as_chunks::<4>().0.iter().map(|&sample| f32::from_le_bytes(sample)).collect();
        Ok(Clip {
            video: Some(Video { width, height, fps, frames }),
            audio: Some(Audio { sample_rate_hz, samples }),
        })
    }
}

fn read_part(path: &Path, offset: u64, length: u64) -> Result<Vec<u8>> {
    let mut bytes = vec![0u8; length as usize];
    let mut read = || {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        file.read_exact(&mut bytes)
    };
    read().map_err(|source| Error::io(path, source))?;
    Ok(bytes)
}

fn write_floats(file: &mut BufWriter<&File>, values: &[f32]) -> std::io::Result<()> {
    values.iter().try_for_each(|value| file.write_all(&value.to_le_bytes()))
}

fn write_clip(file: &mut BufWriter<&File>, clip: &Clip) -> std::io::Result<()> {
    let frames = clip.video.iter().flat_map(|video| &video.frames);
    frames.into_iter().try_for_each(|frame| file.write_all(frame))?;
    clip.audio.iter().try_for_each(|audio| write_floats(file, &audio.samples))
}
