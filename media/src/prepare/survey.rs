//! Clips looked over where they lie, for those who make no dataset of them.

use super::each::each_file;
use super::judge::judge;
use super::list::{hash_file, list};
use super::{CodecPlan, PrepareOptions, Progress, version_of_ffmpeg};
use crate::audit::AuditRow;
use crate::error::Result;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};

/// What files hold.
#[derive(Clone, Debug)]
pub struct Survey {
    /// The clips that [`prepare`](super::prepare) would keep, in its order: the file, and which it is of those that
    /// [`fit_to_grid`](crate::fit_to_grid) cuts the file into, from 0.
    pub clips: Vec<(PathBuf, usize)>,
    /// The audit: a row for every clip kept, and for every clip or file left out.
    pub rows: Vec<AuditRow>,
    /// Tells these clips from others: a hash of the names, sizes and times of their files and of which was kept.
    pub identity: String,
}

/// Lists and judges clips as [`prepare`](super::prepare) into the folder `out` does; writes nothing.
///
/// # Errors
/// [`Error::Io`](crate::Error::Io) if an input is not there; [`Error::Value`](crate::Error::Value) if it is `out`;
/// [`Error::Interrupted`](crate::Error::Interrupted); those of the codec that `options` names.
pub fn survey(
    inputs: &[PathBuf],
    out: &Path,
    options: &PrepareOptions,
    progress: &mut dyn FnMut(Progress),
    cancelled: &dyn Fn() -> bool,
) -> Result<Survey> {
    let grid = CodecPlan::new(&options.codec)?.grid();
    let found = list(inputs, out)?;
    let ffmpeg = version_of_ffmpeg(options);
    let rows_of = |path: &Path| -> Result<Vec<AuditRow>> {
        let judged = judge(path, &grid, options, ffmpeg.as_deref())?;
        Ok(judged.made.into_iter().map(|made| made.row).collect())
    };
    let made = each_file(&found.clips, rows_of, progress, cancelled)?;
    let (mut clips, mut hash) = (Vec::new(), Sha256::new());
    for (path, rows) in found.clips.iter().zip(&made) {
        let kept: Vec<usize> = (0..rows.len()).filter(|&i| rows[i].reason.is_none()).collect();
        if !kept.is_empty() {
            hash_file(&mut hash, path);
            hash.update(format!("{kept:?}"));
        }
        clips.extend(kept.into_iter().map(|i| (path.clone(), i)));
    }
    let identity = hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Survey { clips, rows: found.rows.into_iter().chain(made.into_iter().flatten()).collect(), identity })
}
