//! `RUN/history.jsonl`: when a run was started, from which step, on what, and how each start ended.

use anyhow::Result;
use avdit_media::atomic::write_bytes_atomically;
use avdit_runtime::machine::Machine;
use avdit_trainer::Error;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

const FILE: &str = "history.jsonl";

/// A line of the history.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
pub enum Event {
    /// Training began, anew or from a checkpoint.
    Start(Box<Start>),
    /// Training ended. A start without one was killed, or goes on still.
    End(End),
}

/// What a start found.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Start {
    /// When.
    pub at: String,
    /// Steps that were done before.
    pub from_step: usize,
    /// The command line.
    pub command: Vec<String>,
    /// The version of this program.
    pub avdit: String,
    /// The machine.
    pub machine: Machine,
    /// Threads of the pool.
    pub threads: usize,
    /// Parameters of the network.
    pub parameters: usize,
    /// Multiply-adds of a forward pass on one example.
    pub multiply_adds: u64,
    /// The data.
    pub data: Data,
}

/// The data of a start.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Data {
    /// The dataset's folder.
    pub folder: PathBuf,
    /// Clips in it.
    pub clips: usize,
    /// Clips that its audit left out.
    pub left_out: usize,
    /// What tells it from any other.
    pub identity: String,
    /// Its pictures, in words.
    pub pictures: String,
    /// Its sound, in words.
    pub sound: String,
    /// Its latents, in words.
    pub latents: String,
    /// The kind of its codec.
    pub codec: String,
}

/// How a start ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct End {
    /// When.
    pub at: String,
    /// Steps done in all.
    pub step: usize,
    /// `complete`, `stopped`, `interrupted`, or the error.
    pub why: String,
    /// Wall time since the start.
    pub seconds: f64,
    /// Of it, in samples.
    pub sampling_seconds: f64,
}

/// Adds a line; a new run begins its history anew.
///
/// # Errors
/// Those of the file system; a history that cannot be read stays as it is.
pub fn add(run: &Path, event: &Event, anew: bool) -> Result<()> {
    let path = run.join(FILE);
    let mut text = if anew { String::new() } else { text_of(&path)? };
    text += &serde_json::to_string(event)?;
    text.push('\n');
    Ok(write_bytes_atomically(&path, text.as_bytes())?)
}

/// The history of a run; empty for one that has none. Lines of another version are left out.
///
/// # Errors
/// If it is there and cannot be read.
pub fn read(run: &Path) -> Result<Vec<Event>> {
    let text = text_of(&run.join(FILE))?;
    Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect())
}

fn text_of(path: &Path) -> Result<String> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => {
            let what = format!("{error}\n\nhint: make it readable, or move it away to begin a new history");
            Err(Error::content(path, what).into())
        }
        Ok(text) => Ok(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_that_cannot_be_read_is_an_error_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let (run, path) = (folder.path(), folder.path().join(FILE));
        assert!(read(run).unwrap().is_empty());
        let end = |step| {
            let (at, why) = (String::new(), "stopped".to_owned());
            Event::End(End { at, step, why, seconds: 1.0, sampling_seconds: 0.0 })
        };
        add(run, &end(1), false).unwrap();
        add(run, &end(2), false).unwrap();
        assert_eq!(read(run).unwrap().len(), 2);
        let spoilt = [std::fs::read(&path).unwrap(), vec![0xff]].concat();
        std::fs::write(&path, &spoilt).unwrap();
        for error in [add(run, &end(3), false).unwrap_err(), read(run).unwrap_err()] {
            assert!(error.to_string().contains(FILE), "{error}");
        }
        assert!(std::fs::read(&path).unwrap() == spoilt, "no line of it may be lost");
        add(run, &end(3), true).unwrap();
        assert_eq!(read(run).unwrap().len(), 1);
    }
}
