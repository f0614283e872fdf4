//! A folder that is whole or absent.

use crate::error::{Error, Result};
use std::path::{Path, PathBuf};

/// A folder under construction, beside its place and under a temporary name; removed unless committed.
pub(super) struct Staged {
    target: PathBuf,
    staging: PathBuf,
    replaced: PathBuf,
}

impl Staged {
    /// Begins a folder that will be `target`. What is there already is replaced only if `is_own` says so of it; `what` is
    /// the name of such a thing.
    ///
    /// # Errors
    /// [`Error::Content`] if something else is there or the path ends in no name; [`Error::Io`] if the folder cannot be
    /// made.
    pub(super) fn begin(target: &Path, what: &str, is_own: &dyn Fn(&Path) -> bool) -> Result<Self> {
        let Some(name) = target.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Err(Error::content(target, "the path of a folder to write must end in its name"));
        };
        let beside = |kind: &str| target.with_file_name(format!(".{name}.{kind}"));
        let (staging, replaced) = (beside("part"), beside("old"));
        if replaced.exists() && !target.exists() {
            // The last attempt was cut off between its two renames.
            std::fs::rename(&replaced, target).map_err(Error::io(target))?;
        }
        let occupied =
            std::fs::read_dir(target).map_or(target.exists(), |mut entries| entries.next().is_some());
        if occupied && !is_own(target) {
            return Err(Error::content(
                target,
                format!(
                    "holds something other than {what}, which is not overwritten\n\nhint: name another folder with -o"
                ),
            ));
        }
        for leftover in [&staging, &replaced] {
            if leftover.exists() {
                std::fs::remove_dir_all(leftover).map_err(Error::io(leftover))?;
            }
        }
        std::fs::create_dir_all(&staging).map_err(Error::io(&staging))?;
        Ok(Self { target: target.to_owned(), staging, replaced })
    }

    /// Where the files lie until then.
    pub(super) fn path(&self) -> &Path {
        &self.staging
    }

    /// Gives the folder its name.
    ///
    /// # Errors
    /// [`Error::Io`]; what was there before then stays.
    pub(super) fn commit(self) -> Result<()> {
        sync(&self.staging)?;
        let replaces = self.target.exists();
        if replaces {
            std::fs::rename(&self.target, &self.replaced).map_err(Error::io(&self.target))?;
        }
        if let Err(error) = std::fs::rename(&self.staging, &self.target) {
            if replaces {
                std::fs::rename(&self.replaced, &self.target).map_err(Error::io(&self.target))?;
            }
            return Err(Error::io(&self.target)(error));
        }
        sync(match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        })?;
        if replaces {
            std::fs::remove_dir_all(&self.replaced).map_err(Error::io(&self.replaced))?;
        }
        Ok(())
    }
}

/// The codec of the latents, which may lie beside an adapter or a merged network.
const CODEC_FILE: &str = "codec.safetensors";

/// Whether a folder has all of these files and, but for a codec, no other entry.
pub(super) fn holds_only(folder: &Path, files: &[&str]) -> bool {
    let is_named = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.is_ok_and(|entry| files.iter().chain(&[CODEC_FILE]).any(|name| entry.file_name() == *name))
    };
    files.iter().all(|name| folder.join(name).is_file())
        && std::fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_named))
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = std::fs::remove_dir_all(&self.staging);
    }
}

/// Has the entries of a folder on the disk, so that a loss of power cannot take back what was renamed into it.
fn sync(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        let opened = std::fs::File::open(folder).map_err(Error::io(folder))?;
        opened.sync_all().map_err(Error::io(folder))?;
    }
    Ok(())
}
