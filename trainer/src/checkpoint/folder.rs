//! The checkpoints of a run: which there are, which is the newest, which go.

use crate::error::{Error, Result};
use avdit_media::atomic::remove_leftovers;
use std::path::{Path, PathBuf};

/// The file that names the newest checkpoint, in the folder of checkpoints.
pub const LATEST_FILE: &str = "latest";

/// Whether a folder is a checkpoint.
fn is_checkpoint(folder: &Path) -> bool {
    folder.join("state.json").is_file()
}

/// Whether a folder is a run with a checkpoint, or a checkpoint.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub fn is_run(folder: &Path) -> Result<bool> {
    Ok(is_checkpoint(folder) || !list(folder)?.is_empty())
}

/// The newest checkpoint of a run, or the folder itself if it is one.
///
/// # Errors
/// [`Error::Content`] with the command that makes one, if there is none.
pub fn latest(run: &Path) -> Result<PathBuf> {
    if is_checkpoint(run) {
        return Ok(run.to_owned());
    }
    list(run)?.pop().ok_or_else(|| {
        Error::content(run, "holds no checkpoint\n\nhint: run `avdit train CONFIG.toml`, and give the folder that its `out` names")
    })
}

/// The checkpoints of a run, oldest first.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub fn list(run: &Path) -> Result<Vec<PathBuf>> {
    let parent = run.join("checkpoints");
    if !parent.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&parent).map_err(Error::io(&parent))? {
        let path = entry.map_err(Error::io(&parent))?.path();
        if let Some(step) = step_of(&path) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Removes all but the newest `keep` checkpoints and those of every `keep_every`'th step; `keep` 0 keeps all.
///
/// # Errors
/// [`Error::Io`] if one cannot be removed.
pub fn prune(run: &Path, keep: usize, keep_every: usize) -> Result<()> {
    let found = list(run)?;
    if keep == 0 {
        return Ok(());
    }
    for old in found.iter().take(found.len().saturating_sub(keep)) {
        let kept_for_good =
            keep_every > 0 && step_of(old).is_some_and(|step| step.is_multiple_of(keep_every));
        if !kept_for_good {
            remove(old)?;
        }
    }
    Ok(())
}

/// Removes a checkpoint. One that is half removed does not look like one.
///
/// # Errors
/// [`Error::Io`] if it cannot be removed.
pub fn remove(checkpoint: &Path) -> Result<()> {
    let going = beside(checkpoint, "gone");
    if going.exists() {
        std::fs::remove_dir_all(&going).map_err(Error::io(&going))?;
    }
    std::fs::rename(checkpoint, &going).map_err(Error::io(checkpoint))?;
    std::fs::remove_dir_all(&going).map_err(Error::io(&going))
}

/// Clears away what a process that was killed left behind: half-written files, half-written and half-removed
/// checkpoints go, one that was to be replaced comes back, and the file that names the newest one is put right, or goes
/// where there is none. Only for who holds the run's folder.
///
/// # Errors
/// [`Error::Io`] naming what cannot be listed, removed or written.
pub fn clean(run: &Path) -> Result<()> {
    let parent = run.join("checkpoints");
    for folder in [run, &parent, &run.join(crate::tensorboard::FOLDER)] {
        remove_leftovers(folder)?;
    }
    if !parent.is_dir() {
        return Ok(());
    }
    for entry in std::fs::read_dir(&parent).map_err(Error::io(&parent))? {
        let path = entry.map_err(Error::io(&parent))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some((stem, kind)) = name.strip_prefix(".step-").and_then(|name| name.rsplit_once('.')) else {
            continue;
        };
        let whole = parent.join(format!("step-{stem}"));
        match kind {
            "old" if !whole.exists() => std::fs::rename(&path, &whole).map_err(Error::io(&path))?,
            "part" | "old" | "gone" => std::fs::remove_dir_all(&path).map_err(Error::io(&path))?,
            _ => {}
        }
    }
    let latest = parent.join(LATEST_FILE);
    let named = std::fs::read_to_string(&latest).unwrap_or_default();
    match list(run)?.pop().as_deref().and_then(Path::file_name).and_then(|name| name.to_str()) {
        Some(newest) if newest != named.trim_end() => write_latest(&parent, newest),
        None if latest.is_file() => std::fs::remove_file(&latest).map_err(Error::io(&latest)),
        _ => Ok(()),
    }
}

/// The step of a checkpoint, by its name.
fn step_of(checkpoint: &Path) -> Option<usize> {
    checkpoint.file_name()?.to_str()?.strip_prefix("step-")?.parse().ok()
}

/// The name that a checkpoint has while it is written or removed.
pub(super) fn beside(checkpoint: &Path, kind: &str) -> PathBuf {
    let name = checkpoint.file_name().unwrap_or_default().to_string_lossy();
    checkpoint.with_file_name(format!(".{name}.{kind}"))
}

/// Names the newest checkpoint.
pub(super) fn write_latest(parent: &Path, name: &str) -> Result<()> {
    let text = format!("{name}\n");
    Ok(avdit_media::atomic::write_bytes_atomically(&parent.join(LATEST_FILE), text.as_bytes())?)
}

/// Has the entries of a folder on the disk, so that a loss of power cannot take back what was renamed into it.
pub(super) fn sync(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        let opened = std::fs::File::open(folder).map_err(Error::io(folder))?;
        opened.sync_all().map_err(Error::io(folder))?;
    }
    Ok(())
}
