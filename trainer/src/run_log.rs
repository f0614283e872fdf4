//! The log of a run: `metrics.jsonl`, a line for each step.

use crate::error::{Error, Result};
use crate::metrics::StepMetrics;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file in a run's folder.
pub const METRICS_FILE: &str = "metrics.jsonl";

/// The log, open to append to. Every line is written at once, so that whoever reads along sees whole ones.
pub struct RunLog {
    path: PathBuf,
    file: File,
}

impl RunLog {
    /// Opens the log of a run, after dropping lines past the step that it goes on from.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn open(run: &Path, step: usize) -> Result<Self> {
        let path = run.join(METRICS_FILE);
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Error::io(&path)(error)),
        };
        // A line cut off by a crash has no step and goes.
        let step_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["step"].as_u64();
        let kept = text.lines().filter(|line| step_of(line).is_some_and(|s| s <= step as u64));
        let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
        avdit_media::atomic::write_bytes_atomically(&path, kept.as_bytes())?;
        let file = File::options().append(true).open(&path).map_err(Error::io(&path))?;
        Ok(Self { path, file })
    }

    /// Appends the line of a step.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn write(&mut self, metrics: &StepMetrics) -> Result<()> {
        let mut line = serde_json::to_vec(metrics).map_err(|error| Error::content(&self.path, error))?;
        line.push(b'\n');
        self.file.write_all(&line).map_err(Error::io(&self.path))
    }

    /// Has all lines on the disk.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn sync(&self) -> Result<()> {
        self.file.sync_data().map_err(Error::io(&self.path))
    }

    /// The losses of the first and the last step in a run's log, if it has one.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file.
    pub fn losses(run: &Path) -> Result<Option<(f64, f64)>> {
        let path = run.join(METRICS_FILE);
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
        let loss = |line: &str| Some(serde_json::from_str::<StepMetrics>(line).ok()?.loss);
        let (first, last) = (text.lines().next(), text.lines().next_back());
        Ok(first.and_then(loss).zip(last.and_then(loss)))
    }
}
