//! Folders that are whole or absent: filled under a temporary name beside their place, then renamed.

use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A folder under construction; removed unless committed.
#[derive(Debug)]
pub struct FolderDraft {
    target: PathBuf,
    path: PathBuf,
}

impl FolderDraft {
    /// Begins a folder that will be `target`. One that is there and not empty may be replaced only if `is_own` says so.
    ///
    /// # Errors
    /// [`Error::Malformed`] if `target` is something else, of which `own` is the word for what it might have been;
    /// [`Error::Io`] if the folder cannot be made.
    pub fn begin(target: &Path, own: &str, is_own: impl Fn(&Path) -> bool) -> Result<Self> {
        let mut entries = std::fs::read_dir(target);
        let occupied = entries.as_mut().map_or(target.exists(), |entries| entries.next().is_some());
        if occupied && !is_own(target) {
            let what = format!("is there, and neither empty nor {own}\n\nhint: name another folder with -o");
            return Err(Error::malformed(target, what));
        }
        let path = beside(target, "tmp")?;
        std::fs::create_dir_all(&path).map_err(|source| Error::io(&path, source))?;
        Ok(Self { target: target.to_owned(), path })
    }

    /// Where its files are put until it is committed.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the folder its name. One that was there is replaced.
    ///
    /// # Errors
    /// [`Error::Io`] if that fails; what was there before then stays.
    pub fn commit(self) -> Result<()> {
        let io = |source| Error::io(&self.target, source);
        let old = beside(&self.target, "old")?;
        let replaces = self.target.exists();
        if replaces {
            std::fs::rename(&self.target, &old).map_err(io)?;
        }
        if let Err(error) = std::fs::rename(&self.path, &self.target) {
            if replaces {
                std::fs::rename(&old, &self.target).map_err(io)?;
            }
            return Err(io(error));
        }
        if replaces {
            std::fs::remove_dir_all(&old).map_err(|source| Error::io(&old, source))?;
        }
        Ok(())
    }
}

impl Drop for FolderDraft {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// `.NAME.PID.SUFFIX` in the folder of `target`.
fn beside(target: &Path, suffix: &str) -> Result<PathBuf> {
    let name = target.file_name().ok_or_else(|| Error::malformed(target, "is no name of a folder"))?;
    Ok(target.with_file_name(format!(".{}.{}.{suffix}", name.to_string_lossy(), std::process::id())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_there_when_it_is_whole_and_takes_the_place_of_its_own_kind_alone() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("made");
        let fill = |text: &str| {
            let draft = FolderDraft::begin(&target, "ours", |folder| folder.join("mark").exists()).unwrap();
            std::fs::write(draft.path().join("mark"), text).unwrap();
            draft
        };
        drop(fill("given up"));
        assert!(!target.exists());
        fill("first").commit().unwrap();
        fill("second").commit().unwrap();
        assert_eq!(std::fs::read_to_string(target.join("mark")).unwrap(), "second");
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
        let refused = FolderDraft::begin(&target, "theirs", |_| false).unwrap_err().to_string();
        assert!(refused.contains("made: is there, and neither empty nor theirs"), "{refused}");
    }
}
