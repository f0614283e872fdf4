//! Which cores and which GPU a rank may use, so that ranks of one machine share them.

use super::Ranks;
use crate::device::Local;
use crate::error::Result;
use std::path::Path;

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(path)).unwrap_or_default()
}

/// The machine, by its name.
fn machine() -> String {
    read("/proc/sys/kernel/hostname").trim().to_owned()
}

/// The machine and the cores that the system lets this process use.
fn place() -> String {
    let status = read("/proc/self/status");
    let cores = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap_or_default();
    format!("{} cores {}", machine(), cores.trim())
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

    /// Where this rank stands among those of its machine.
    ///
    /// # Errors
    /// If a rank is lost.
    pub fn local(&mut self) -> Result<Local> {
        let mine = machine();
        let all = self.gather(mine.as_bytes())?;
        let here = |count: usize| all.iter().take(count).filter(|place| **place == mine.as_bytes()).count();
        Ok(Local { rank: here(self.rank()), ranks: here(self.count()), over_gpus: self.over_gpus() })
    }
}
