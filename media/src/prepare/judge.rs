//! One file: decoded, cut into clips, measured, judged.

use super::PrepareOptions;
use crate::audit::{AuditRow, Look, Measured, Reason};
use crate::error::{Error, Result};
use crate::inspect::silent_or_still;
use crate::{Clip, ClipGrid, DecodeOptions, FrameSize, decode_with, fit_to_grid};
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

/// Decodes, cuts and judges a file: one row for the file if nothing can be cut from it, else one for each clip.
///
/// # Errors
/// [`Error::Unencodable`] if a thumbnail cannot be made; what is wrong with the file itself becomes a row.
pub(super) fn judge(path: &Path, grid: &ClipGrid, options: &PrepareOptions) -> Result<Vec<Made>> {
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
        return whole(Reason::NotAClip, "files of this kind hold no clips".to_owned(), None);
    }
    let size = FrameSize::Fit { width: grid.width, height: grid.height };
    let decoded = match decode_with(path, &DecodeOptions { size, ..options.decode }) {
        Ok(decoded) => decoded,
        Err(error @ Error::Unsupported { .. }) => return whole(Reason::NotAClip, error.to_string(), None),
        Err(error) => return whole(Reason::Undecodable, error.to_string(), None),
    };
    let clips = match fit_to_grid(&decoded.clip, grid, &options.fit) {
        Ok(clips) => clips,
        Err(reject) => return whole(Reason::from(&reject), reject.to_string(), Some(&decoded.clip)),
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
    Ok(made)
}
