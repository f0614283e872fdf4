//! Whether all ranks see the same folder.

use super::Ranks;
use crate::error::{Error, Result};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A network file system may show a new file this much later.
const AT_MOST: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

impl Ranks {
    /// Checks that the folder `folder` of every rank, which exists on the first one, is the same: that all see a file
    /// which the first makes there, and removes again.
    ///
    /// # Errors
    /// [`Error::Content`] naming the folder and the rank that does not see it, [`Error::OtherRank`] with the same on the
    /// others; if the file cannot be made; if a rank is lost.
    pub fn check_shared(&mut self, folder: &Path) -> Result<()> {
        if self.count() == 1 {
            return Ok(());
        }
        let (mut made, mut name) = (Ok(()), String::new());
        if self.is_first() {
            // No file of an earlier run has this name, and if it stays behind, the next run clears it away.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos();
            name = format!(".avdit-shared-{}-{now}", std::process::id());
            let path = folder.join(&name);
            made = std::fs::write(&path, b"").map_err(Error::io(&path));
        }
        let told = self.gather(name.as_bytes())?;
        let first = told.first().map(|name| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
        if !self.is_first() {
            made = self.look(folder, &first);
        }
        let agreed = self.all(made);
        if self.is_first() {
            // Nothing depends on it any more.
            let _ = std::fs::remove_file(folder.join(&name));
        }
        agreed
    }

    fn look(&self, folder: &Path, name: &str) -> Result<()> {
        let since = Instant::now();
        loop {
            // Listing a folder has a network file system ask for what is new in it.
            let listed = std::fs::read_dir(folder).into_iter().flatten().flatten();
            if listed.into_iter().any(|entry| entry.file_name() == name) {
                return Ok(());
            }
            if since.elapsed() > AT_MOST {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let (rank, of) = (self.rank(), self.count());
        Err(Error::content(
            folder,
            format!(
                "rank {rank} of {of} ranks does not find in this folder what rank 0 has just written to it\n\nhint: `out` must \
                 be a folder that all ranks share"
            ),
        ))
    }
}
