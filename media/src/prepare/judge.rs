//! One file: decoded, cut into clips, measured, judged.

use super::PrepareOptions;
use crate::audit::{AuditRow, Look, Measured, Reason};
use crate::decode::decode_noting;
use crate::error::{Error, Result};
use crate::inspect::silent_or_still;
use crate::{Clip, ClipGrid, DecodeOptions, FrameSize, fit_to_grid};
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::Path;

/// Kinds of file that no decoder is asked about.
const NO_CLIPS: [&str; 14] =
    ["txt", "md", "json", "jsonl", "csv", "tsv", "html", "xml", "yaml", "yml", "toml", "pdf", "srt", "zip"];

/// A row of the audit and what belongs to it.
pub(super) struct Made {
    pub(super) row: AuditRow,
    pub(super) look: Look,
    /// The clip, if it is kept.
    pub(super) clip: Option<Clip>,
}

/// How long a judgement holds while the file and the options are the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Holds {
    /// The built-in decoders came to it.
    Always,
    /// ffmpeg of this version was asked.
    With(String),
    /// The system refused to read, or nothing that is here reads the file: another time it may be otherwise.
    Now,
}

impl Holds {
    /// Whether it does with this ffmpeg, or none.
    pub(super) fn with(&self, ffmpeg: Option<&str>) -> bool {
        match self {
            Self::Always => true,
            Self::With(version) => Some(version.as_str()) == ffmpeg,
            Self::Now => false,
        }
    }

    fn new(error: Option<&Error>, asked: bool, ffmpeg: Option<&str>) -> Self {
        let damage = |kind| matches!(kind, ErrorKind::UnexpectedEof | ErrorKind::InvalidData);
        match (error, asked, ffmpeg) {
            (Some(Error::Io { source, .. }), ..) if !damage(source.kind()) => Self::Now,
            (Some(Error::Unsupported { .. }), ..) | (_, true, None) => Self::Now,
            (_, true, Some(version)) => Self::With(version.to_owned()),
            (_, false, _) => Self::Always,
        }
    }
}

/// What became of a file.
pub(super) struct Judged {
    pub(super) made: Vec<Made>,
    pub(super) holds: Holds,
}

/// Decodes, cuts and judges a file: one row for the file if nothing can be cut from it, else one for each clip.
/// `ffmpeg` is the version of the one that may be asked.
///
/// # Errors
/// [`Error::Unencodable`] if a thumbnail cannot be made; what is wrong with the file itself becomes a row.
pub(super) fn judge(
    path: &Path,
    grid: &ClipGrid,
    options: &PrepareOptions,
    ffmpeg: Option<&str>,
) -> Result<Judged> {
    let source = path.display().to_string();
    let whole = |reason, detail: String, decoded: Option<&Clip>| -> Result<Vec<Made>> {
        let detail = detail.strip_prefix(&format!("{source}: ")).unwrap_or(&detail);
        let detail = detail.split("\n\n").next().unwrap_or_default().to_owned();
        let measured = decoded.map(Measured::of);
        let row = AuditRow { source: source.clone(), start_s: None, reason: Some(reason), detail, measured };
        let look = decoded.map_or(Ok(Look::default()), |clip| Look::of(path, clip))?;
        Ok(vec![Made { row, look, clip: None }])
    };
    if NO_CLIPS.iter().any(|kind| path.extension().is_some_and(|found| found.eq_ignore_ascii_case(kind))) {
        let made = whole(Reason::NotAClip, "files of this kind hold no clips".to_owned(), None)?;
        return Ok(Judged { made, holds: Holds::Always });
    }
    let size = FrameSize::Fit { width: grid.width, height: grid.height };
    let mut asked = false;
    let decoded = decode_noting(path, &DecodeOptions { size, ..options.decode }, &mut asked);
    let holds = Holds::new(decoded.as_ref().err(), asked, ffmpeg);
    let decoded = match decoded {
        Ok(decoded) => decoded,
        Err(error) => {
            let is_another = matches!(error, Error::Unsupported { .. });
            let reason = if is_another { Reason::NotAClip } else { Reason::Undecodable };
            return Ok(Judged { made: whole(reason, error.to_string(), None)?, holds });
        }
    };
    let clips = match fit_to_grid(&decoded.clip, grid, &options.fit) {
        Ok(clips) => clips,
        Err(reject) => {
            let made = whole(Reason::from(&reject), reject.to_string(), Some(&decoded.clip))?;
            return Ok(Judged { made, holds });
        }
    };
    let mut made = Vec::with_capacity(clips.len());
    for (index, clip) in clips.into_iter().enumerate() {
        let reject = silent_or_still(&clip, &options.thresholds);
        let finite = clip.audio.iter().flat_map(|audio| &audio.samples).all(|sample| sample.is_finite());
        let reason = if finite { reject.as_ref().map(Reason::from) } else { Some(Reason::Undecodable) };
        let detail = match (finite, reject) {
            (false, _) => "the sound has samples that are not finite numbers".to_owned(),
            (true, Some(reject)) => reject.to_string(),
            (true, None) => format!("read by {}", decoded.decoder),
        };
        let start_s = Some(index as f64 * grid.duration_s());
        let measured = Some(Measured::of(&clip));
        let row = AuditRow { source: source.clone(), start_s, reason, detail, measured };
        let look = Look::of(path, &clip)?;
        made.push(Made { row, look, clip: reason.is_none().then_some(clip) });
    }
    Ok(Judged { made, holds })
}
