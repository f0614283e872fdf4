//! Files that appear whole or not at all.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// A file under a temporary name beside its own, removed again unless it is committed.
pub(crate) struct Pending {
    target: PathBuf,
    temporary: PathBuf,
    writer: BufWriter<File>,
}

impl Pending {
    pub(crate) fn create(target: &Path) -> Result<Self> {
        let name = target.file_name().unwrap_or_default().to_string_lossy();
        let temporary = target.with_file_name(format!(".{name}.{}.tmp", std::process::id()));
        let file = File::create(&temporary).map_err(Error::io("write", target))?;
        Ok(Self { target: target.to_owned(), temporary, writer: BufWriter::with_capacity(1 << 20, file) })
    }

    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.writer.write_all(bytes).map_err(Error::io("write", &self.target))
    }

    /// Brings everything to the disk, so that a full one is noticed before anything is renamed.
    pub(crate) fn flush(&mut self) -> Result<()> {
        let flushed = self.writer.flush().and_then(|()| self.writer.get_ref().sync_all());
        flushed.map_err(Error::io("write", &self.target))
    }

    /// Takes the file's own name.
    pub(crate) fn commit(self) -> Result<()> {
        std::fs::rename(&self.temporary, &self.target).map_err(Error::io("write", &self.target))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Gone already after a commit.
        let _ = std::fs::remove_file(&self.temporary);
    }
}
