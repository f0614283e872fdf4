//! Files that are whole or absent: written under a temporary name beside the target, then renamed.

use crate::{Error, Result};
use std::fs::{File, TryLockError};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// How the names of temporary files begin.
const TEMPORARY: &str = ".avdit-";

/// Writes `path` through `fill` and renames it into place; on any error `path` is left as it was.
///
/// # Errors
/// [`Error::Io`] naming `path`, also when the disk is full, or whatever `fill` returns.
pub fn write_atomically<T>(path: &Path, fill: impl FnOnce(&mut BufWriter<&File>) -> Result<T>) -> Result<T> {
    let io = |source| Error::io(path, source);
    if std::fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        // A device or a pipe is written to, not replaced.
        let file = File::options().write(true).open(path).map_err(io)?;
        let mut writer = BufWriter::new(&file);
        let value = fill(&mut writer)?;
        writer.flush().map_err(io)?;
        return Ok(value);
    }
    // A link stays one: what it points to is replaced.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let path = target.as_path();
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let file = temporary_in(folder).map_err(io)?;
    let mut writer = BufWriter::new(file.as_file());
    let value = fill(&mut writer)?;
    writer.flush().map_err(io)?;
    drop(writer);
    file.as_file().sync_all().map_err(io)?;
    file.persist(path).map_err(|failed| io(failed.error))?;
    Ok(value)
}

/// [`write_atomically`] of bytes at hand.
pub fn write_bytes_atomically(path: &Path, bytes: &[u8]) -> Result<()> {
    write_atomically(path, |writer| writer.write_all(bytes).map_err(|source| Error::io(path, source)))
}

/// [`write_atomically`] of what a file holds, which is never in memory whole.
///
/// # Errors
/// [`Error::Io`] naming the file that cannot be read, or `path`.
pub fn copy_atomically(from: &Path, path: &Path) -> Result<()> {
    let mut source = File::open(from).map_err(|source| Error::io(from, source))?;
    write_atomically(path, |writer| {
        std::io::copy(&mut source, writer).map(drop).map_err(|source| Error::io(path, source))
    })
}

/// Removes what processes that were killed while they wrote have left in a folder. Only for a folder that nobody else
/// writes at this time, and a folder that is not there has nothing in it.
///
/// # Errors
/// [`Error::Io`] naming the folder or the file.
pub fn remove_leftovers(folder: &Path) -> Result<()> {
    let io = |source| Error::io(folder, source);
    let entries = match std::fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(io)?,
    };
    for entry in entries {
        let entry = entry.map_err(io)?;
        let leftover = entry.file_name().to_string_lossy().starts_with(TEMPORARY);
        if leftover && entry.file_type().map_err(io)?.is_file() {
            std::fs::remove_file(entry.path()).map_err(|source| Error::io(entry.path(), source))?;
        }
    }
    Ok(())
}

/// A folder that one process writes, or several that have agreed how to share it: held until it is dropped.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

/// A process that is being started holds its parent's locks for a moment, also one that the parent has just let go.
const GRACE: Duration = Duration::from_millis(500);

impl FolderLock {
    /// Takes the folder, which must exist, with a lock on a file `.lock` in it.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process holds or shares it; [`Error::Io`] if the file cannot be made.
    pub fn take(folder: &Path) -> Result<Self> {
        Self::of(&folder.join(".lock"), folder, File::try_lock)
    }

    /// Shares the folder with others that share it.
    ///
    /// # Errors
    /// [`Error::Busy`] if another process has taken it; [`Error::Io`] if the file cannot be made.
    pub fn share(folder: &Path) -> Result<Self> {
        Self::of(&folder.join(".lock"), folder, File::try_lock_shared)
    }

    /// Takes what a file stands for; the file is made.
    ///
    /// # Errors
    /// As [`FolderLock::take`], naming the file.
    pub fn take_file(file: &Path) -> Result<Self> {
        Self::of(file, file, File::try_lock)
    }

    /// Takes `target`, which need not be there, with a lock on the file `path`.
    pub(crate) fn take_by(path: &Path, target: &Path) -> Result<Self> {
        Self::of(path, target, File::try_lock)
    }

    fn of(path: &Path, name: &Path, lock: impl Fn(&File) -> Result<(), TryLockError>) -> Result<Self> {
        // Network file systems share a file only if it is open for reading, and take it only if for writing.
        let options = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let file = options.map_err(|source| Error::io(path, source))?;
        let since = Instant::now();
        loop {
            match lock(&file) {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if since.elapsed() < GRACE => std::thread::sleep(GRACE / 20),
                Err(TryLockError::WouldBlock) => return Err(Error::Busy { path: name.to_owned() }),
                Err(TryLockError::Error(source)) => return Err(Error::io(path, source)),
            }
        }
    }
}

#[cfg(unix)]
fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    use std::os::unix::fs::PermissionsExt;
    // The umask narrows this; without it the renamed file would be readable by its owner alone.
    let permissions = std::fs::Permissions::from_mode(0o666);
    tempfile::Builder::new().prefix(TEMPORARY).permissions(permissions).tempfile_in(folder)
}

#[cfg(not(unix))]
fn temporary_in(folder: &Path) -> std::io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_write_leaves_the_earlier_file_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("kept");
        write_bytes_atomically(&path, b"old").unwrap();
        let failed: Result<()> = write_atomically(&path, |writer| {
            writer.write_all(b"half of the ne").unwrap();
            Err(Error::malformed("x", "stopped on purpose"))
        });
        assert!(failed.is_err());
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert!(copy_atomically(&folder.path().join("gone"), &path).is_err());
        copy_atomically(&path, &path).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_folder_is_written_by_one_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let held = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(Error::Busy { .. })));
        assert!(matches!(FolderLock::share(folder.path()), Err(Error::Busy { .. })));
        drop(held);
        let shared = [FolderLock::share(folder.path()).unwrap(), FolderLock::share(folder.path()).unwrap()];
        assert!(matches!(FolderLock::take(folder.path()), Err(Error::Busy { .. })));
        drop(shared);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn a_folder_that_is_missing_is_an_error_naming_the_file() {
        let error = write_bytes_atomically(Path::new("/nowhere/at/all.bin"), b"").unwrap_err();
        assert!(error.to_string().starts_with("/nowhere/at/all.bin: "), "{error}");
    }
}
