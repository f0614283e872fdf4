//! `RUN/history.jsonl`: when a run was started, from which step, on what, and how each start ended.

use anyhow::Result;
use avdit_media::atomic::write_bytes_atomically;
use avdit_runtime::machine::Machine;
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
/// Those of the file system.
pub fn add(run: &Path, event: &Event, anew: bool) -> Result<()> {
    let path = run.join(FILE);
    let mut text = if anew { String::new() } else { std::fs::read_to_string(&path).unwrap_or_default() };
    text += &serde_json::to_string(event)?;
    text.push('\n');
    Ok(write_bytes_atomically(&path, text.as_bytes())?)
}

/// The history of a run; empty for one that has none.
pub fn read(run: &Path) -> Vec<Event> {
    let text = std::fs::read_to_string(run.join(FILE)).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
