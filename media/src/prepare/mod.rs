//! From files to a dataset: list, decode, cut, audit, fit the codec, encode, write.
//!
//! Receives files and folders; hands on a folder with `dataset.json`, the codec, shards of latents and the audit.
//! **Invariant:** the folder holds a whole dataset or, until the last moment, what it held before. Its bytes follow
//! from the inputs, the options and, for files that it is asked about, ffmpeg alone: not from the number of threads, processes or machines, not from their order,
//! not from stops in between.

mod assemble;
mod each;
mod join;
mod judge;
mod list;
mod parts;
mod survey;
mod work;

pub use join::join;
pub use parts::Part;
pub use survey::{Survey, survey};

use crate::atomic::FolderLock;
use crate::audit::{AuditRow, Reason, RenderPage, count_reasons};
use crate::codec::{Codec, CodecConfig, FitReport, LinearCodec, file_sha256};
use crate::decode::{Ffmpeg, Preference};
use crate::error::{Error, Result};
use crate::inspect::Thresholds;
use crate::shard::{DATASET_FILE, DatasetInfo, LatentStats};
use crate::{ClipGrid, DecodeOptions, FitPolicy, FrameSize};
use assemble::assemble;
use each::each_file;
use list::Found;
use parts::Plan;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use work::{Known, Work};

/// Where the codec comes from.
#[derive(Clone, Debug)]
pub enum CodecChoice {
    /// Fitted to the clips that are kept.
    Fit(CodecConfig),
    /// Linear, read from a file; clips are brought onto its grid.
    File(PathBuf),
    /// Opened by the caller; clips are brought onto its grid.
    Open(OpenCodec),
}

/// A codec that somebody else has opened, such as one whose networks an engine runs.
#[derive(Clone)]
pub struct OpenCodec {
    /// The codec.
    pub codec: Arc<dyn Codec>,
    /// The file that it was opened from, which the dataset keeps a copy of.
    pub file: PathBuf,
}

impl std::fmt::Debug for OpenCodec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} codec of {}", self.codec.name(), self.file.display())
    }
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
    /// Replace a dataset that is there; it stays until the new one is whole.
    pub overwrite: bool,
    /// Writes `audit.html`; there is none without.
    pub page: Option<RenderPage>,
}

impl PrepareOptions {
    /// The defaults with a codec.
    pub fn new(codec: CodecChoice) -> Self {
        Self {
            codec,
            decode: DecodeOptions::default(),
            fit: FitPolicy::default(),
            thresholds: Thresholds::default(),
            overwrite: false,
            page: None,
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
    /// What was measured when the codec was fitted; a learned one says it elsewhere.
    pub codec: Option<FitReport>,
    /// What its latents are like.
    pub stats: LatentStats,
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

/// What [`prepare_part`] has made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartSummary {
    /// Which part.
    pub part: Part,
    /// Files of this part.
    pub files: usize,
    /// Of them, files whose clips were at hand from an earlier run.
    pub resumed: usize,
    /// Clips that can be kept.
    pub kept: usize,
    /// Rows of the audit for what cannot.
    pub left_out: usize,
}

/// The codec: known before any clip is read, or fitted to those that are kept.
enum CodecPlan<'a> {
    Fit(&'a CodecConfig),
    Use(Used),
}

/// A codec that was made before.
struct Used {
    codec: Arc<dyn Codec>,
    /// What was measured when it was fitted, where that is known.
    report: Option<FitReport>,
    file: PathBuf,
    sha256: String,
}

impl<'a> CodecPlan<'a> {
    fn new(choice: &'a CodecChoice) -> Result<Self> {
        match choice {
            CodecChoice::Fit(config) => {
                config.check()?;
                Ok(Self::Fit(config))
            }
            CodecChoice::File(path) => {
                let (codec, sha256) = (LinearCodec::load(path)?, file_sha256(path)?);
                let report = Some(codec.report().clone());
                Ok(Self::Use(Used { codec: Arc::new(codec), report, file: path.clone(), sha256 }))
            }
            CodecChoice::Open(OpenCodec { codec, file }) => {
                let sha256 = file_sha256(file)?;
                Ok(Self::Use(Used { codec: codec.clone(), report: None, file: file.clone(), sha256 }))
            }
        }
    }

    fn grid(&self) -> ClipGrid {
        match self {
            Self::Fit(config) => config.grid,
            Self::Use(used) => used.codec.grid(),
        }
    }

    fn known(&self) -> Option<Known<'_>> {
        match self {
            Self::Fit(_) => None,
            Self::Use(used) => Some(Known { codec: &*used.codec, sha256: &used.sha256 }),
        }
    }
}

/// What all ways to work begin with: the codec, the files, the folder of work.
struct Begun<'a> {
    codec: CodecPlan<'a>,
    found: Found,
    folder: PathBuf,
    options: &'a PrepareOptions,
    /// As [`version_of_ffmpeg`] has it.
    ffmpeg: Option<String>,
}

impl<'a> Begun<'a> {
    fn new(inputs: &[PathBuf], out: &Path, options: &'a PrepareOptions) -> Result<Self> {
        let codec = CodecPlan::new(&options.codec)?;
        if !options.overwrite && out.join(DATASET_FILE).exists() {
            return Err(Error::Exists { path: out.to_owned() });
        }
        std::fs::create_dir_all(out).map_err(|source| Error::io(out, source))?;
        let found = list::list(inputs, out)?;
        let folder = out.join(".work");
        std::fs::create_dir_all(&folder).map_err(|source| Error::io(&folder, source))?;
        Ok(Self { codec, found, folder, options, ffmpeg: version_of_ffmpeg(options) })
    }

    fn work(&self) -> Result<Work<'_>> {
        let (folder, ffmpeg) = (self.folder.join("clips"), self.ffmpeg.as_deref());
        Work::new(folder, self.codec.grid(), self.options, self.codec.known(), ffmpeg)
    }

    fn plan(&self, by: String, parts: usize) -> Plan {
        let sha256 = self.codec.known().map(|known| known.sha256);
        Plan::new(by, parts, &self.found, self.codec.grid(), self.options, sha256, self.ffmpeg.as_deref())
    }
}

/// The files under a folder that [`prepare`] would try to read as clips, in its order: folders of png are one each, files
/// that this program writes beside clips are none.
///
/// # Errors
/// [`Error::Io`] if the folder is not there.
pub fn clip_files(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(list::list(&[folder.to_owned()], Path::new(""))?.clips)
}

/// Makes a dataset in the folder `out` of the clips in files and, recursively, folders.
///
/// `cancelled` is asked several times a second; what was decoded until then stays in `out/.work`, and the next run
/// goes on from there: what the system refused to read, and what no decoder that was there reads, is tried again. A bad
/// file becomes a row of the audit.
///
/// # Errors
/// [`Error::Io`] if an input is not there or `out` cannot be written (a full disk); [`Error::Interrupted`];
/// [`Error::Exists`] if `out` holds a dataset that is not to be replaced; [`Error::Value`] if no clip can be kept;
/// the errors of [`LinearCodec::fit`] and [`LinearCodec::load`].
pub fn prepare(
    inputs: &[PathBuf],
    out: &Path,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<Summary> {
    let begun = Begun::new(inputs, out, options)?;
    let _lock = FolderLock::take(&begun.folder)?;
    assemble(&begun, out, progress, cancelled)
}

/// Makes one of several parts of the work: decodes and judges every n-th file, and encodes it where the codec is
/// known beforehand. Parts may run at the same time, on machines that see the same files, in any order, and again
/// after a stop; when all are done, [`merge`] makes the dataset.
///
/// # Errors
/// As [`prepare`]; [`Error::Malformed`] naming both sides if another part was given other files or options;
/// [`Error::Busy`] if the same part is being made.
pub fn prepare_part(
    inputs: &[PathBuf],
    out: &Path,
    part: Part,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<PartSummary> {
    let begun = Begun::new(inputs, out, options)?;
    let _shared = FolderLock::share(&begun.folder)?;
    let notes = parts::make_folder(&begun.folder)?;
    begun.plan(format!("part {part}"), part.of).join(&begun.folder)?;
    let _own = FolderLock::take_file(&notes.join(format!("part-{:05}.lock", part.index)))?;
    let mine: Vec<PathBuf> = begun.found.clips.iter().skip(part.index).step_by(part.of).cloned().collect();
    let (rows, resumed) = decode_all(&begun.work()?, &mine, progress, cancelled)?;
    parts::finish(&begun.folder, part, mine.len())?;
    let kept = rows.iter().flatten().filter(|row| row.reason.is_none()).count();
    let left_out = rows.iter().flatten().count() - kept;
    Ok(PartSummary { part, files: mine.len(), resumed, kept, left_out })
}

/// Makes the dataset of what all parts have made: the same bytes as [`prepare`] of the same files and options.
///
/// # Errors
/// As [`prepare`]; [`Error::MissingParts`] naming those that are not done; [`Error::Malformed`] naming both sides if
/// the parts were given other files or options; [`Error::Busy`] if a part is being made.
pub fn merge(
    inputs: &[PathBuf],
    out: &Path,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<Summary> {
    let begun = Begun::new(inputs, out, options)?;
    let _lock = FolderLock::take(&begun.folder)?;
    let none = || Error::value("parts to merge", "at least one that has been made", "none");
    let of = Plan::parts_of(&begun.folder)?.ok_or_else(none)?;
    begun.plan("the merge".to_owned(), of).agree(&begun.folder)?;
    let missing = parts::missing(&begun.folder, of);
    if !missing.is_empty() {
        return Err(Error::MissingParts { path: out.to_owned(), missing });
    }
    assemble(&begun, out, progress, cancelled)
}

fn interrupted() -> Error {
    Error::Interrupted { what: "prepare".to_owned() }
}

/// Makes clips of all files, on all cores; gives the rows of each in their order, and how many were at hand.
fn decode_all(
    work: &Work<'_>,
    files: &[PathBuf],
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<(Vec<Vec<AuditRow>>, usize)> {
    let made = each_file(files, |path| work.file(path), progress, cancelled)?;
    let resumed = made.iter().filter(|(_, before)| *before).count();
    Ok((made.into_iter().map(|(rows, _)| rows).collect(), resumed))
}

/// The version of the ffmpeg that may be asked; `None` if there is none or it is not to be.
fn version_of_ffmpeg(options: &PrepareOptions) -> Option<String> {
    let may_be = options.decode.preference != Preference::BuiltIn;
    let found = may_be.then(|| Ffmpeg::find(FrameSize::Own)).flatten();
    found.map(|ffmpeg| ffmpeg.version().to_owned())
}

#[cfg(test)]
mod tests;
