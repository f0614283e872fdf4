//! Which cores a rank may use, so that ranks of one machine share them.

use super::Ranks;
use crate::error::Result;
use std::path::Path;

/// The machine and the cores that the system lets this process use.
fn place() -> String {
    let read = |path: &str| std::fs::read_to_string(Path::new(path)).unwrap_or_default();
    let status = read("/proc/self/status");
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    format!("{} cores {}", read("/proc/sys/kernel/hostname").trim(), cores.trim())
}

impl Ranks {
    /// Threads for this rank: what it may use, divided among the ranks that may use the same cores of the same machine.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn threads(&mut self) -> Result<usize> {
        let available = std::thread::available_parallelism().map_or(1, usize::from);
        let mine = place();
        let all = self.gather(mine.as_bytes())?;
        let sharing = all.iter().filter(|place| place.as_slice() == mine.as_bytes()).count();
        Ok((available / sharing.max(1)).max(1))
    }
}
