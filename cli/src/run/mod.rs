//! What a training run leaves in its folder, read back: log, history, samples, settings, checkpoints.

pub mod audit;
pub mod figures;
pub mod history;
pub mod log;
pub mod samples;

use anyhow::Result;
use avdit_trainer::checkpoint::{self, CheckpointConfig};
use std::path::{Path, PathBuf};

/// A run's folder, read.
pub struct Run {
    /// The folder.
    pub folder: PathBuf,
    /// Its log.
    pub lines: Vec<log::Line>,
    /// Its settings; empty if it has no `config.toml`.
    pub settings: toml::Table,
    /// Its starts and ends; empty for a run of an earlier version.
    pub history: Vec<history::Event>,
    /// What it sampled.
    pub samples: Vec<samples::SampleSet>,
    /// Names of its checkpoints, oldest first.
    pub checkpoints: Vec<String>,
    /// The gradients of the first steps; empty if they are not on record.
    pub audit: Vec<audit::StepGradients>,
    /// What the newest checkpoint says of itself, if this version can read it.
    pub newest: Option<CheckpointConfig>,
}

impl Run {
    /// Reads a run's folder, also while it is being trained.
    ///
    /// # Errors
    /// If the folder holds no log, or a file of it cannot be read.
    pub fn read(folder: &Path) -> Result<Self> {
        let lines = log::read(folder)?;
        let checkpoints = checkpoint::list(folder)?;
        let newest = checkpoints.last().map(|path| path.join("config.json"));
        let name = |path: &PathBuf| {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        };
        Ok(Self {
            folder: folder.to_owned(),
            lines,
            settings: if folder.join("config.toml").is_file() {
                log::settings(folder)?
            } else {
                toml::Table::new()
            },
            history: history::read(folder)?,
            samples: samples::read(folder)?,
            audit: audit::read(folder),
            newest: newest.and_then(|path| checkpoint::read_json(&path).ok()),
            checkpoints: checkpoints.iter().map(name).collect(),
        })
    }

    /// A setting as text: `setting("run", "batch")`.
    pub fn setting(&self, section: &str, name: &str) -> Option<&toml::Value> {
        self.settings.get(section)?.get(name)
    }

    /// The run's name: that of its folder.
    pub fn name(&self) -> String {
        let folder = self.folder.canonicalize().unwrap_or_else(|_| self.folder.clone());
        folder.file_name().map_or_else(|| "run".to_owned(), |name| name.to_string_lossy().into_owned())
    }

    /// The starts, in order.
    pub fn starts(&self) -> impl Iterator<Item = &history::Start> {
        self.history.iter().filter_map(|event| match event {
            history::Event::Start(start) => Some(start.as_ref()),
            history::Event::End(_) => None,
        })
    }
}
