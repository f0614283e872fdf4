//! What has been made of each file, kept beside the dataset until it is whole, so that work can go on after a stop.
//!
//! `.work/clips/<key>`, where the key is a hash of the file's path, size and time and of everything that decides what
//! becomes of it: `h` as u64 little-endian, `h` bytes of JSON, then for each clip kept its frames as bytes and its
//! samples as f32 little-endian.

use super::PrepareOptions;
use crate::atomic::write_atomically;
use crate::audit::{AuditRow, Reason};
use crate::error::{Error, Result};
use crate::inspect::silent_or_still;
use crate::{Audio, Clip, ClipGrid, DecodeOptions, FrameSize, Video, decode_with, fit_to_grid};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

const SCHEMA: &str = "avdit-work/1";

/// Kinds of file that no decoder is asked about.
const NO_CLIPS: [&str; 14] =
    ["txt", "md", "json", "jsonl", "csv", "tsv", "html", "xml", "yaml", "yml", "toml", "pdf", "srt", "zip"];

/// What became of one file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    schema: String,
    /// One row for the file if nothing could be cut from it, else one for each clip in it.
    pub(super) rows: Vec<AuditRow>,
}

pub(super) struct Work<'a> {
    folder: PathBuf,
    grid: ClipGrid,
    options: &'a PrepareOptions,
}

/// A clip that was kept, on the disk.
#[derive(Clone, Debug)]
pub(super) struct Kept {
    file: PathBuf,
    offset: u64,
    pub(super) row: AuditRow,
}

impl<'a> Work<'a> {
    pub(super) fn new(folder: PathBuf, grid: ClipGrid, options: &'a PrepareOptions) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
        Ok(Self { folder, grid, options })
    }

    fn clip_bytes(&self) -> u64 {
        (self.grid.frames * self.grid.width * self.grid.height * 3 + 4 * self.grid.samples()) as u64
    }

    fn key(&self, path: &Path) -> PathBuf {
        let mut hash = Sha256::new();
        let PrepareOptions { decode, fit, thresholds, .. } = self.options;
        hash.update(format!("{SCHEMA} {:?} {decode:?} {fit:?} {thresholds:?}", self.grid));
        let mut parts = vec![path.to_owned(), path.with_extension("wav")];
        if let Ok(entries) = std::fs::read_dir(path) {
            parts.extend(entries.filter_map(|entry| Some(entry.ok()?.path())));
            parts[2..].sort();
        }
        for part in parts {
            hash.update(part.as_os_str().as_encoded_bytes());
            if let Ok(metadata) = std::fs::metadata(&part) {
                hash.update(format!("|{}|{:?}|", metadata.len(), metadata.modified().ok()));
            }
        }
        let name: String = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
        self.folder.join(name)
    }

    /// Makes clips of a file, unless that has been done; tells whether it had been.
    ///
    /// # Errors
    /// [`Error::Io`] if the work cannot be kept; what is wrong with the file itself becomes a row.
    pub(super) fn file(&self, path: &Path) -> Result<(Outcome, bool)> {
        let kept = self.key(path);
        if let Some((outcome, _)) = self.read(&kept) {
            return Ok((outcome, true));
        }
        let (rows, clips) = self.make(path);
        let outcome = Outcome { schema: SCHEMA.to_owned(), rows };
        let header = serde_json::to_vec(&outcome).expect("names and numbers are JSON");
        write_atomically(&kept, |file| {
            let mut write = || {
                file.write_all(&(header.len() as u64).to_le_bytes())?;
                file.write_all(&header)?;
                for clip in &clips {
                    clip.video
                        .iter()
                        .flat_map(|video| &video.frames)
                        .try_for_each(|frame| file.write_all(frame))?;
                    let samples = clip.audio.iter().flat_map(|audio| &audio.samples);
                    samples.into_iter().try_for_each(|sample| file.write_all(&sample.to_le_bytes()))?;
                }
                Ok(())
            };
            write().map_err(|source| Error::io(&kept, source))
        })?;
        Ok((outcome, false))
    }

    /// The outcome in a file of work and where its clips begin; `None` if it is missing or not whole.
    fn read(&self, kept: &Path) -> Option<(Outcome, u64)> {
        let mut file = std::fs::File::open(kept).ok()?;
        let mut length = [0u8; 8];
        file.read_exact(&mut length).ok()?;
        let length = u64::from_le_bytes(length);
        let mut header = Vec::new();
        (&file).take(length).read_to_end(&mut header).ok()?;
        let outcome: Outcome = serde_json::from_slice(&header).ok()?;
        let clips = outcome.rows.iter().filter(|row| row.reason.is_none()).count() as u64;
        let whole = 8 + length + clips * self.clip_bytes();
        (outcome.schema == SCHEMA && file.metadata().ok()?.len() == whole).then_some((outcome, 8 + length))
    }

    /// The clips kept of a file that has been worked on.
    pub(super) fn kept(&self, path: &Path) -> Result<Vec<Kept>> {
        let file = self.key(path);
        let changed = || Error::malformed(path, "the file has changed while clips were being made of it");
        let (outcome, start) = self.read(&file).ok_or_else(changed)?;
        let rows = outcome.rows.into_iter().filter(|row| row.reason.is_none());
        let at = |i: usize| start + i as u64 * self.clip_bytes();
        Ok(rows.enumerate().map(|(i, row)| Kept { file: file.clone(), offset: at(i), row }).collect())
    }

    /// Reads a clip that was kept.
    pub(super) fn clip(&self, kept: &Kept) -> Result<Clip> {
        let mut bytes = vec![0u8; self.clip_bytes() as usize];
        let mut read = || {
            let mut file = std::fs::File::open(&kept.file)?;
            file.seek(SeekFrom::Start(kept.offset))?;
            file.read_exact(&mut bytes)
        };
        read().map_err(|source| Error::io(&kept.file, source))?;
        let ClipGrid { frames, fps, width, height, sample_rate_hz } = self.grid;
        let (pictures, sound) = bytes.split_at(frames * width * height * 3);
        let frames = pictures.chunks_exact(width * height * 3).map(<[u8]>::to_vec).collect();
        let (samples, _) = sound.as_chunks::<4>();
        let samples = samples.iter().map(|&sample| f32::from_le_bytes(sample)).collect();
        Ok(Clip {
            video: Some(Video { width, height, fps, frames }),
            audio: Some(Audio { sample_rate_hz, samples }),
        })
    }

    /// Decodes, cuts and judges a file.
    fn make(&self, path: &Path) -> (Vec<AuditRow>, Vec<Clip>) {
        let source = path.display().to_string();
        let whole = |reason, detail: String| {
            let detail = detail.strip_prefix(&format!("{source}: ")).unwrap_or(&detail);
            let detail = detail.split("\n\n").next().unwrap_or_default().to_owned();
            (
                vec![AuditRow { source: source.clone(), start_s: None, reason: Some(reason), detail }],
                Vec::new(),
            )
        };
        if NO_CLIPS.iter().any(|kind| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(kind)))
        {
            return whole(Reason::NotAClip, "files of this kind hold no clips".to_owned());
        }
        let size = FrameSize::Fit { width: self.grid.width, height: self.grid.height };
        let options = DecodeOptions { size, ..self.options.decode };
        let decoded = match decode_with(path, &options) {
            Ok(decoded) => decoded,
            Err(error @ Error::Unsupported { .. }) => return whole(Reason::NotAClip, error.to_string()),
            Err(error) => return whole(Reason::Undecodable, error.to_string()),
        };
        let clips = match fit_to_grid(&decoded.clip, &self.grid, &self.options.fit) {
            Ok(clips) => clips,
            Err(reject) => return whole(Reason::from(&reject), reject.to_string()),
        };
        let (mut rows, mut kept) = (Vec::new(), Vec::new());
        for (index, clip) in clips.into_iter().enumerate() {
            let reject = silent_or_still(&clip, &self.options.thresholds);
            let finite = clip.audio.iter().flat_map(|audio| &audio.samples).all(|sample| sample.is_finite());
            let reason = if finite { reject.as_ref().map(Reason::from) } else { Some(Reason::Undecodable) };
            let detail = match (finite, reject) {
                (false, _) => "the sound has samples that are not finite numbers".to_owned(),
                (true, Some(reject)) => reject.to_string(),
                (true, None) => format!("read by {}", decoded.decoder),
            };
            let start_s = Some(index as f64 * self.grid.duration_s());
            rows.push(AuditRow { source: source.clone(), start_s, reason, detail });
            if reason.is_none() {
                kept.push(clip);
            }
        }
        (rows, kept)
    }
}
