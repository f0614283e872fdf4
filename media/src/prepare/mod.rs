//! From files to a dataset: list, decode, cut, audit, fit the codec, encode, write.
//!
//! Receives files and folders; hands on a folder with `dataset.json`, the codec, shards of latents and the audit.
//! **Invariant:** the folder holds a whole dataset or, until the last moment, what it held before; a run that was
//! stopped and run again gives the same bytes as one that was not.

mod list;
mod work;

use crate::atomic::FolderLock;
use crate::audit::{AuditRow, Reason, count_reasons, write_jsonl, write_markdown};
use crate::codec::{ClipSource, Codec, CodecConfig, FitReport, LinearCodec, file_sha256};
use crate::error::{Error, Result};
use crate::inspect::Thresholds;
use crate::shard::{ClipOrigin, CodecInfo, DATASET_FILE, DatasetInfo, Shard, ShardInfo};
use crate::{Clip, DecodeOptions, FitPolicy};
use avdit_core::{Latents, Modality};
use rayon::prelude::*;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use work::{Kept, Outcome, Work};

const CODEC_FILE: &str = "codec.safetensors";
/// A shard has as many clips as fit, but at least one.
const SHARD_BYTES: usize = 32 << 20;
/// Clips encoded between two looks at whether to stop.
const CHUNK: usize = 32;

/// Where the codec comes from.
#[derive(Clone, Debug)]
pub enum CodecChoice {
    /// Fitted to the clips that are kept.
    Fit(CodecConfig),
    /// Read from a file; clips are brought onto its grid.
    File(PathBuf),
}

/// How [`prepare`] works.
#[derive(Clone, Debug)]
pub struct PrepareOptions {
    /// The codec.
    pub codec: CodecChoice,
    /// How files are read; the size of the frames follows from the grid.
    pub decode: DecodeOptions,
    /// What a file must have; pictures and sound are needed in any case.
    pub fit: FitPolicy,
    /// From where on a clip is silent or still.
    pub thresholds: Thresholds,
}

impl PrepareOptions {
    /// The defaults with a codec.
    pub fn new(codec: CodecChoice) -> Self {
        Self {
            codec,
            decode: DecodeOptions::default(),
            fit: FitPolicy::default(),
            thresholds: Thresholds::default(),
        }
    }
}

/// What [`prepare`] is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Decoding and judging files.
    Decode,
    /// Fitting the codec.
    Fit,
    /// Encoding clips.
    Encode,
}

/// How far [`prepare`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub stage: Stage,
    /// Steps of the stage that are done.
    pub done: usize,
    /// Steps of the stage.
    pub total: usize,
}

/// What [`prepare`] has made.
#[derive(Clone, Debug)]
pub struct Summary {
    /// The dataset, as its file says.
    pub dataset: DatasetInfo,
    /// What was measured when the codec was fitted.
    pub codec: FitReport,
    /// Files that were looked at.
    pub files: usize,
    /// Files whose clips were at hand from an earlier run.
    pub resumed: usize,
    /// The audit: a row for every clip kept, and for every clip or file left out.
    pub rows: Vec<AuditRow>,
}

impl Summary {
    /// How many rows were left out for each reason.
    pub fn left_out(&self) -> Vec<(Reason, usize)> {
        count_reasons(&self.rows)
    }
}

enum Plan<'a> {
    Fit(&'a CodecConfig),
    Use(Box<LinearCodec>),
}

struct Source<'a> {
    work: &'a Work<'a>,
    kept: Vec<Kept>,
}

impl ClipSource for Source<'_> {
    fn len(&self) -> usize {
        self.kept.len()
    }

    fn clip(&self, index: usize) -> Result<Clip> {
        self.work.clip(&self.kept[index])
    }
}

/// Makes a dataset in the folder `out` of the clips in files and, recursively, folders.
///
/// `cancelled` is asked several times a second; what was decoded until then stays in `out/.work`, and the next run
/// goes on from there. A bad file becomes a row of the audit.
///
/// # Errors
/// [`Error::Io`] if an input is not there or `out` cannot be written (a full disk); [`Error::Interrupted`];
/// [`Error::Value`] if no clip can be kept; the errors of [`LinearCodec::fit`] and [`LinearCodec::load`].
pub fn prepare(
    inputs: &[PathBuf],
    out: &Path,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<Summary> {
    let plan = match &options.codec {
        CodecChoice::Fit(config) => {
            config.check()?;
            Plan::Fit(config)
        }
        CodecChoice::File(path) => Plan::Use(Box::new(LinearCodec::load(path)?)),
    };
    let grid = match &plan {
        Plan::Fit(config) => config.grid,
        Plan::Use(codec) => codec.grid(),
    };
    std::fs::create_dir_all(out).map_err(|source| Error::io(out, source))?;
    let found = list::list(inputs, out)?;
    let work_folder = out.join(".work");
    std::fs::create_dir_all(&work_folder).map_err(|source| Error::io(&work_folder, source))?;
    let _lock = FolderLock::take(&work_folder)?;
    let work = Work::new(work_folder.join("clips"), grid, options)?;
    let (outcomes, resumed) = decode_all(&work, &found.clips, progress, cancelled)?;
    let rows: Vec<AuditRow> =
        found.rows.into_iter().chain(outcomes.into_iter().flat_map(|o| o.rows)).collect();
    let kept: Vec<Vec<Kept>> = found.clips.iter().map(|path| work.kept(path)).collect::<Result<_>>()?;
    let source = Source { work: &work, kept: kept.into_iter().flatten().collect() };
    if source.kept.is_empty() {
        return Err(nothing_kept(out, &rows));
    }
    let mut fitting = |done, total| {
        progress(Progress { stage: Stage::Fit, done, total });
        if cancelled() { Err(interrupted()) } else { Ok(()) }
    };
    let codec = match plan {
        Plan::Fit(config) => LinearCodec::fit(config.clone(), &source, &mut fitting)?,
        Plan::Use(codec) => *codec,
    };
    let staged = work_folder.join("dataset");
    if staged.exists() {
        std::fs::remove_dir_all(&staged).map_err(|source| Error::io(&staged, source))?;
    }
    std::fs::create_dir_all(&staged).map_err(|source| Error::io(&staged, source))?;
    write_jsonl(&staged.join("audit.jsonl"), &rows)?;
    write_markdown(&staged.join("audit.md"), &rows)?;
    let dataset =
        write_dataset(&staged, &codec, &source, rows.len() - source.kept.len(), progress, cancelled)?;
    install(&staged, out)?;
    std::fs::remove_dir_all(&work_folder).map_err(|source| Error::io(&work_folder, source))?;
    Ok(Summary { dataset, codec: codec.report().clone(), files: found.clips.len(), resumed, rows })
}

fn interrupted() -> Error {
    Error::Interrupted { what: "prepare".to_owned() }
}

fn nothing_kept(out: &Path, rows: &[AuditRow]) -> Error {
    let reasons: Vec<String> =
        count_reasons(rows).iter().map(|(reason, n)| format!("{n} {}", reason.describe())).collect();
    let mut got = if rows.is_empty() { "no files".to_owned() } else { reasons.join(", ") };
    // An earlier dataset keeps its own audit.
    if !rows.is_empty()
        && !out.join(DATASET_FILE).exists()
        && write_markdown(&out.join("audit.md"), rows).is_ok()
    {
        got += &format!(" (see {})", out.join("audit.md").display());
    }
    Error::value("clips to prepare", "at least 1 that can be kept", got)
}

/// Makes clips of all files, on all cores, in their order.
fn decode_all(
    work: &Work<'_>,
    files: &[PathBuf],
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<(Vec<Outcome>, usize)> {
    let mut made: Vec<Option<Result<(Outcome, bool)>>> = (0..files.len()).map(|_| None).collect();
    let (stop, (sender, receiver)) = (AtomicBool::new(false), channel());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            files.par_iter().enumerate().for_each_with(sender, |sender, (i, path)| {
                if !stop.load(Ordering::Relaxed) {
                    // Nobody listens any more only if the scope is being left.
                    let _ = sender.send((i, work.file(path)));
                }
            });
        });
        let mut done = 0;
        loop {
            match receiver.recv_timeout(Duration::from_millis(100)) {
                Ok((i, outcome)) => {
                    stop.fetch_or(outcome.is_err(), Ordering::Relaxed);
                    made[i] = Some(outcome);
                    done += 1;
                    progress(Progress { stage: Stage::Decode, done, total: files.len() });
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            stop.fetch_or(cancelled(), Ordering::Relaxed);
        }
    });
    if let Some(at) = made.iter().position(|outcome| matches!(outcome, Some(Err(_))))
        && let Some(Err(error)) = made.swap_remove(at)
    {
        return Err(error);
    }
    let made: Option<Result<Vec<_>>> = made.into_iter().collect();
    let made = made.filter(|_| !cancelled()).ok_or_else(interrupted)??;
    let resumed = made.iter().filter(|(_, before)| *before).count();
    Ok((made.into_iter().map(|(outcome, _)| outcome).collect(), resumed))
}

/// Writes the codec, the shards and, last, `dataset.json` into an empty folder.
fn write_dataset(
    folder: &Path,
    codec: &LinearCodec,
    source: &Source<'_>,
    left_out: usize,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<DatasetInfo> {
    let layout = codec.layout().clone();
    let codec_path = folder.join(CODEC_FILE);
    codec.save(&codec_path)?;
    let sha256 = file_sha256(&codec_path)?;
    let total = source.kept.len();
    let clip_bytes = 4 * (layout.len(Modality::Video) + layout.len(Modality::Audio));
    let per_shard = (SHARD_BYTES / clip_bytes).max(1);
    let mut shards = Vec::new();
    for (number, kept) in source.kept.chunks(per_shard).enumerate() {
        let mut parts = Vec::with_capacity(kept.len());
        for chunk in kept.chunks(CHUNK) {
            let encode = |kept: &Kept| codec.encode(&source.work.clip(kept)?);
            parts.extend(chunk.par_iter().map(encode).collect::<Result<Vec<Latents>>>()?);
            progress(Progress { stage: Stage::Encode, done: number * per_shard + parts.len(), total });
            if cancelled() {
                return Err(interrupted());
            }
        }
        let shard = Shard {
            layout: layout.clone(),
            codec_sha256: sha256.clone(),
            clips: kept.iter().map(origin).collect(),
            latents: Latents::concat(&parts),
        };
        let file = Shard::file_name(number);
        shard.write(&folder.join(&file))?;
        shards.push(ShardInfo { file, clips: kept.len() });
    }
    let codec_info = CodecInfo { file: CODEC_FILE.to_owned(), kind: codec.name().to_owned(), sha256 };
    let info = DatasetInfo {
        schema: DatasetInfo::schema(),
        grid: codec.grid(),
        layout,
        clips: total,
        left_out,
        codec: codec_info,
        shards,
    };
    let text = serde_json::to_vec_pretty(&info).expect("names and numbers are JSON");
    crate::atomic::write_bytes_atomically(&folder.join(DATASET_FILE), &text)?;
    Ok(info)
}

fn origin(kept: &Kept) -> ClipOrigin {
    let AuditRow { source, start_s, .. } = &kept.row;
    let start_s = start_s.unwrap_or(0.0);
    ClipOrigin { name: format!("{source}@{start_s:.3}"), source: source.clone(), start_s }
}

/// Moves a whole dataset into its place: nothing there calls itself a dataset until all of it is.
fn install(staged: &Path, out: &Path) -> Result<()> {
    let remove = |path: &Path| std::fs::remove_file(path).map_err(|source| Error::io(path, source));
    let names = |folder: &Path| -> Result<Vec<std::ffi::OsString>> {
        let entries = std::fs::read_dir(folder).map_err(|source| Error::io(folder, source))?;
        let names = entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>();
        names.map_err(|source| Error::io(folder, source))
    };
    if out.join(DATASET_FILE).exists() {
        remove(&out.join(DATASET_FILE))?;
    }
    for name in names(out)? {
        let text = name.to_string_lossy();
        if text.starts_with("latents-") && text.ends_with(".safetensors") {
            remove(&out.join(&name))?;
        }
    }
    let mut files = names(staged)?;
    files.sort_by_key(|name| name == DATASET_FILE);
    for name in files {
        let to = out.join(&name);
        std::fs::rename(staged.join(&name), &to).map_err(|source| Error::io(&to, source))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
