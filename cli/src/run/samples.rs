//! `RUN/samples/step-000500/samples.json`: what was sampled while a run was trained.

use anyhow::Result;
use avdit_trainer::Error;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The manifest's name.
pub const FILE: &str = "samples.json";

/// The samples of one step.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SampleSet {
    /// `avdit-run-samples/1`.
    pub schema: String,
    /// Training steps done.
    pub step: usize,
    /// Wall time that they took, which is in no step's time.
    pub seconds: f64,
    /// Whose parameters: `moving average 0.999`.
    pub weights: String,
    /// The sampler.
    pub sampler: String,
    /// Its steps.
    pub sampling_steps: usize,
    /// Of all noise.
    pub seed: u64,
    /// The samples.
    pub samples: Vec<Made>,
}

/// One sample.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Made {
    /// The task: `continue:1`.
    pub task: String,
    /// Its name: `continue-1-0`; its files have it in the folder of the step.
    pub name: String,
    /// Which of its task; decides the noise.
    pub item: usize,
    /// The given cells of video, by segment.
    pub given_video: Vec<bool>,
    /// The given cells of audio, by segment.
    pub given_audio: Vec<bool>,
    /// The clip that gave them: a name in `samples/given`.
    pub reference: Option<String>,
}

/// The name of the folder of a step.
pub fn folder_name(step: usize) -> String {
    format!("step-{step:06}")
}

/// Whether a folder has a name that [`folder_name`] makes.
fn is_of_a_step(folder: &Path) -> bool {
    let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let step = name.strip_prefix("step-").and_then(|digits| digits.parse().ok());
    step.is_some_and(|step| folder_name(step) == name)
}

/// The folders of steps that a run has sampled, whatever is in them.
///
/// # Errors
/// If they cannot be listed.
pub fn folders(run: &Path) -> Result<Vec<PathBuf>> {
    let folder = run.join("samples");
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&folder).map_err(Error::io(&folder))? {
        let path = entry.map_err(Error::io(&folder))?.path();
        if is_of_a_step(&path) {
            found.push(path);
        }
    }
    Ok(found)
}

/// What a run has sampled, in order of step.
///
/// # Errors
/// If the folder cannot be listed or a manifest is none.
pub fn read(run: &Path) -> Result<Vec<SampleSet>> {
    let mut sets = Vec::new();
    for manifest in folders(run)?.iter().map(|path| path.join(FILE)).filter(|path| path.is_file()) {
        sets.push(avdit_trainer::checkpoint::read_json::<SampleSet>(&manifest)?);
    }
    sets.sort_by_key(|set| set.step);
    Ok(sets)
}
