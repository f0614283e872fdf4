//! How processes that share no more than a folder find each other: through a file that the first one writes.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How much earlier than this process the first one may have come, by clocks that may differ a little.
const EARLIER: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// The file, for a launch that may have the name of an earlier one which left its file behind.
pub(super) struct Meeting {
    file: PathBuf,
    /// What is older belongs to another launch.
    since: SystemTime,
}

impl Meeting {
    /// Of a launch that begins now.
    pub(super) fn new(folder: &Path, launch: &str) -> Self {
        let now = SystemTime::now();
        Self { file: folder.join(format!(".nccl-{launch}")), since: now.checked_sub(EARLIER).unwrap_or(now) }
    }

    /// Removes the file, if there is one: at first what another launch has left, at last one's own.
    pub(super) fn clear(&self) -> Result<(), String> {
        match std::fs::remove_file(&self.file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(self.said(error)),
            _ => Ok(()),
        }
    }

    /// Tells all others.
    pub(super) fn call(&self, bytes: &[u8]) -> Result<(), String> {
        avdit_media::atomic::write_bytes_atomically(&self.file, bytes).map_err(|error| error.to_string())
    }

    /// What the first one tells, which is so many bytes.
    pub(super) fn wait<const N: usize>(&self, timeout: Duration) -> Result<[u8; N], String> {
        let (started, mut stale) = (Instant::now(), false);
        loop {
            if let Ok((written, bytes)) = self.read() {
                if written >= self.since {
                    let len = bytes.len();
                    return bytes.try_into().map_err(|_| self.said(format!("has {len} bytes, expected {N}")));
                }
                stale = true;
            }
            if started.elapsed() >= timeout {
                break;
            }
            std::thread::sleep(PAUSE);
        }
        let why = if stale {
            "stays one of an earlier launch: does rank 0 run, and do the clocks of the machines agree?"
        } else {
            "did not appear: do all ranks share this folder, and does rank 0 run?"
        };
        Err(self.said(format!("waited {:.0} s, and it {why}", timeout.as_secs_f64())))
    }

    fn read(&self) -> std::io::Result<(SystemTime, Vec<u8>)> {
        let mut file = std::fs::File::open(&self.file)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok((file.metadata()?.modified()?, bytes))
    }

    fn said(&self, what: impl std::fmt::Display) -> String {
        format!("{}: {what}", self.file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// A folder with the file of a launch that died an hour ago.
    fn left_behind() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(".nccl-29500");
        std::fs::write(&path, [1; 4]).unwrap();
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();
        folder
    }

    #[test]
    fn what_a_launch_of_the_same_name_left_behind_is_not_taken() {
        let folder = left_behind();
        let meeting = Meeting::new(folder.path(), "29500");
        std::thread::scope(|scope| {
            let other = scope.spawn(|| Meeting::new(folder.path(), "29500").wait::<4>(LONG));
            std::thread::sleep(Duration::from_millis(100));
            meeting.clear().unwrap();
            meeting.call(&[2; 4]).unwrap();
            assert_eq!(other.join().unwrap().unwrap(), [2; 4]);
        });
        meeting.clear().unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        meeting.clear().unwrap();
    }

    #[test]
    fn who_waits_in_vain_is_told_what_there_was() {
        let folder = left_behind();
        let wait = |launch: &str| Meeting::new(folder.path(), launch).wait::<4>(Duration::ZERO).unwrap_err();
        assert!(wait("29500").contains(".nccl-29500: waited 0 s, and it stays one of an earlier launch"));
        assert!(wait("29501").contains(".nccl-29501: waited 0 s, and it did not appear"));
        Meeting::new(folder.path(), "29501").call(&[3; 5]).unwrap();
        assert!(wait("29501").ends_with("has 5 bytes, expected 4"));
    }
}
