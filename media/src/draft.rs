//! Folders that are whole or absent: filled under a temporary name beside their place, then renamed.

use crate::atomic::FolderLock;
use crate::{Error, Result};
use std::path::{Path, PathBuf};

/// A folder under construction, beside its place and under a temporary name; removed unless committed. One process at a
/// time writes a folder.
#[derive(Debug)]
pub struct FolderDraft {
    target: PathBuf,
    path: PathBuf,
    replaced: PathBuf,
    /// Goes after the file that it is on.
    lock: Option<FolderLock>,
    locked_by: PathBuf,
}

impl FolderDraft {
    /// Begins a folder that will be `target`. What is there already may be replaced only if `is_own` says so of it; `own`
    /// is the word for such a thing. What an earlier attempt left behind when it was cut off is put right.
    ///
    /// # Errors
    /// [`Error::Malformed`] if something else is there or the path ends in no name; [`Error::Busy`] if another process
    /// writes it; [`Error::Io`] if the folder cannot be made.
    pub fn begin(target: &Path, own: &str, is_own: impl Fn(&Path) -> bool) -> Result<Self> {
        let Some(name) = target.file_name().map(|name| name.to_string_lossy().into_owned()) else {
            return Err(Error::malformed(target, "the path of a folder to write must end in its name"));
        };
        let beside = |kind: &str| target.with_file_name(format!(".{name}.{kind}"));
        let (path, replaced, locked_by) = (beside("part"), beside("old"), beside("lock"));
        if let Some(parent) = target.parent() {
            std::fs::create_dir_all(parent).map_err(|source| Error::io(parent, source))?;
        }
        let lock = FolderLock::take_by(&locked_by, target)?;
        let draft = Self { target: target.to_owned(), path, replaced, lock: Some(lock), locked_by };
        draft.prepare(own, is_own)?;
        Ok(draft)
    }

    fn prepare(&self, own: &str, is_own: impl Fn(&Path) -> bool) -> Result<()> {
        let Self { target, path, replaced, .. } = self;
        if replaced.exists() && !target.exists() {
            // The last attempt was cut off between its two renames.
            std::fs::rename(replaced, target).map_err(|source| Error::io(target, source))?;
        }
        let mut entries = std::fs::read_dir(target);
        let occupied = entries.as_mut().map_or(target.exists(), |entries| entries.next().is_some());
        if occupied && !is_own(target) {
            let what = format!(
                "holds something other than {own}, which is not overwritten\n\nhint: name another folder with -o"
            );
            return Err(Error::malformed(target, what));
        }
        for leftover in [path, replaced] {
            if leftover.exists() {
                std::fs::remove_dir_all(leftover).map_err(|source| Error::io(leftover, source))?;
            }
        }
        std::fs::create_dir_all(path).map_err(|source| Error::io(path, source))
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
        sync(&self.path)?;
        let replaces = self.target.exists();
        if replaces {
            std::fs::rename(&self.target, &self.replaced).map_err(io)?;
        }
        if let Err(error) = std::fs::rename(&self.path, &self.target) {
            if replaces {
                std::fs::rename(&self.replaced, &self.target).map_err(io)?;
            }
            return Err(io(error));
        }
        sync(match self.target.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        })?;
        if replaces {
            std::fs::remove_dir_all(&self.replaced).map_err(|source| Error::io(&self.replaced, source))?;
        }
        Ok(())
    }
}

impl Drop for FolderDraft {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = std::fs::remove_dir_all(&self.path);
        // While it is held: once it is let go it may be another's.
        let _ = std::fs::remove_file(&self.locked_by);
        self.lock = None;
    }
}

/// Has the entries of a folder on the disk, so that a loss of power cannot take back what was renamed into it.
fn sync(folder: &Path) -> Result<()> {
    if cfg!(unix) {
        let io = |source| Error::io(folder, source);
        std::fs::File::open(folder).map_err(io)?.sync_all().map_err(io)?;
    }
    Ok(())
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
        assert!(refused.contains("made: holds something other than theirs"), "{refused}");
    }

    #[test]
    fn a_folder_is_written_by_one_at_a_time_and_the_other_changes_nothing() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("made");
        let draft = FolderDraft::begin(&target, "ours", |_| true).unwrap();
        std::fs::write(draft.path().join("mark"), "first").unwrap();
        let refused = FolderDraft::begin(&target, "ours", |_| true).unwrap_err();
        assert!(matches!(&refused, Error::Busy { path } if *path == target), "{refused}");
        draft.commit().unwrap();
        assert_eq!(std::fs::read_to_string(target.join("mark")).unwrap(), "first");
        FolderDraft::begin(&target, "ours", |_| true).unwrap();
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
    }

    #[test]
    fn what_was_cut_off_is_put_right_by_the_next_attempt() {
        let place = tempfile::tempdir().unwrap();
        let target = place.path().join("made");
        // Cut off while it was filled, and between the two renames.
        for (name, text) in [(".made.part", "half"), (".made.old", "whole")] {
            std::fs::create_dir(place.path().join(name)).unwrap();
            std::fs::write(place.path().join(name).join("mark"), text).unwrap();
        }
        let draft = FolderDraft::begin(&target, "ours", |folder| folder.join("mark").exists()).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("mark")).unwrap(), "whole");
        assert_eq!(std::fs::read_dir(draft.path()).unwrap().count(), 0);
        drop(draft);
        assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "nothing else is left");
    }
}
