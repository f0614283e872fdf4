//! Checkpoints: folders that are whole or absent.
//!
//! `RUN/checkpoints/step-000100/` holds
//! - `config.json`: `format`, the network, what a sampler must know of it, and the configuration of the run;
//! - `model.safetensors`, `ema.safetensors`: the parameters and their moving average, f32, by their full names;
//! - `optimizer.safetensors`: `first.NAME` and `second.NAME`, AdamW's moments;
//! - `state.json`: the step. All randomness is a function of seed and step, so the step is also the state of the
//!   random numbers and the place in the data.
//!
//! A checkpoint is written under a temporary name and renamed when it is complete.

use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::model::Weights;
use crate::weight_file::WeightFile;
use avdit_core::DenoiserSpec;
use avdit_media::tensors::{TensorRef, write_tensors};
use avdit_nets::avdit::AvditConfig;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The format's name, in `config.json` and `state.json`.
pub const FORMAT: &str = "avdit-checkpoint/1";

/// `config.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointConfig {
    /// [`FORMAT`].
    pub format: String,
    /// The architecture's name.
    pub architecture: String,
    /// The network.
    pub network: AvditConfig,
    /// What a sampler must know of it.
    pub spec: DenoiserSpec,
    /// The run.
    pub train: TrainConfig,
    /// What tells the data from any other.
    pub dataset: String,
}

/// `state.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// [`FORMAT`].
    pub format: String,
    /// Steps done.
    pub step: usize,
    /// Examples seen: the place in the data.
    pub examples_seen: usize,
    /// The seed of every random number.
    pub seed: u64,
}

/// A checkpoint in memory.
pub struct Checkpoint {
    /// `config.json`.
    pub config: CheckpointConfig,
    /// `state.json`.
    pub state: State,
    /// The parameters.
    pub weights: Weights,
    /// Their moving average.
    pub ema: Weights,
    /// AdamW's moments.
    pub moments: Weights,
}

impl Checkpoint {
    /// Writes it into a run's folder; returns its path.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file, also when the disk is full; earlier checkpoints are then as they were.
    pub fn write(&self, run: &Path) -> Result<PathBuf> {
        let parent = run.join("checkpoints");
        std::fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
        let name = format!("step-{:06}", self.state.step);
        let (temporary, target) = (parent.join(format!(".{name}.part")), parent.join(&name));
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(Error::io(&temporary))?;
        }
        let written = self.fill(&temporary);
        if written.is_err() {
            // What is left would only take room that the disk may lack.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        written?;
        let replaced = parent.join(format!(".{name}.old"));
        if target.exists() {
            std::fs::rename(&target, &replaced).map_err(Error::io(&target))?;
        }
        std::fs::rename(&temporary, &target).map_err(Error::io(&target))?;
        if replaced.exists() {
            std::fs::remove_dir_all(&replaced).map_err(Error::io(&replaced))?;
        }
        Ok(target)
    }

    fn fill(&self, folder: &Path) -> Result<()> {
        std::fs::create_dir(folder).map_err(Error::io(folder))?;
        let parameters = shapes(&self.config.network);
        let moments = moment_shapes(&parameters);
        let write = |file: &str, weights: &Weights, shapes: &Shapes| {
            let shape_of = |name: &str| shapes.get(name).cloned().unwrap_or_default();
            let tensors: Vec<_> = weights
                .iter()
                .map(|(name, values)| TensorRef { name, shape: shape_of(name), values })
                .collect();
            let metadata = BTreeMap::from([
                ("format".to_owned(), "pt".to_owned()),
                ("avdit".to_owned(), FORMAT.to_owned()),
            ]);
            write_tensors(&folder.join(file), &metadata, &tensors)
        };
        write("model.safetensors", &self.weights, &parameters)?;
        write("ema.safetensors", &self.ema, &parameters)?;
        write("optimizer.safetensors", &self.moments, &moments)?;
        write_json(&folder.join("config.json"), &self.config)?;
        write_json(&folder.join("state.json"), &self.state)
    }

    /// Reads a checkpoint's folder whole.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`] naming the file.
    pub fn read(folder: &Path) -> Result<Self> {
        let config = read_config(folder)?;
        let path = folder.join("state.json");
        let state: State = read_json(&path)?;
        check_format(&path, &state.format)?;
        let parameters = shapes(&config.network);
        Ok(Self {
            weights: read_weights(folder, "model.safetensors", &parameters)?,
            ema: read_weights(folder, "ema.safetensors", &parameters)?,
            moments: read_weights(folder, "optimizer.safetensors", &moment_shapes(&parameters))?,
            config,
            state,
        })
    }

    /// Opens only what inference needs: the configuration, and the file of the moving average (or of the raw
    /// parameters), whose tensors are read when they are asked for.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn open_for_inference(folder: &Path, ema: bool) -> Result<(CheckpointConfig, WeightFile)> {
        let config = read_config(folder)?;
        let file = if ema { "ema.safetensors" } else { "model.safetensors" };
        let weights = WeightFile::open(&folder.join(file), &shapes(&config.network))?;
        Ok((config, weights))
    }
}

fn read_config(folder: &Path) -> Result<CheckpointConfig> {
    let path = folder.join("config.json");
    let config: CheckpointConfig = read_json(&path)?;
    check_format(&path, &config.format)?;
    if config.architecture != "avdit" {
        return Err(Error::content(
            &path,
            format!("architecture is {}, expected avdit", config.architecture),
        ));
    }
    Ok(config)
}

fn check_format(path: &Path, format: &str) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    Err(Error::content(path, format!("format is {format}, expected {FORMAT}")))
}

type Shapes = BTreeMap<String, Vec<usize>>;

/// The shape of every parameter.
fn shapes(network: &AvditConfig) -> Shapes {
    network.parameters().into_iter().map(|p| (p.name, p.shape)).collect()
}

/// The shape of both moments of every parameter.
fn moment_shapes(parameters: &Shapes) -> Shapes {
    let named = |kind: &str, (name, shape): (&String, &Vec<usize>)| (format!("{kind}.{name}"), shape.clone());
    parameters.iter().flat_map(|entry| ["first", "second"].map(|kind| named(kind, entry))).collect()
}

/// The tensors of a file, which must be those of `shapes` and no others, all finite.
fn read_weights(folder: &Path, file: &str, shapes: &Shapes) -> Result<Weights> {
    let file = WeightFile::open(&folder.join(file), shapes)?;
    shapes.keys().map(|name| Ok((name.clone(), file.load(name)?))).collect()
}

/// Whether a folder is a checkpoint.
fn is_checkpoint(folder: &Path) -> bool {
    folder.join("state.json").is_file()
}

/// Whether a folder is a run with a checkpoint, or a checkpoint.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub fn is_run(folder: &Path) -> Result<bool> {
    Ok(is_checkpoint(folder) || !list(folder)?.is_empty())
}

/// The newest checkpoint of a run, or the folder itself if it is one.
///
/// # Errors
/// [`Error::Content`] with the command that makes one, if there is none.
pub fn latest(run: &Path) -> Result<PathBuf> {
    if is_checkpoint(run) {
        return Ok(run.to_owned());
    }
    list(run)?.pop().ok_or_else(|| {
        Error::content(run, "holds no checkpoint\n\nhint: run `avdit train CONFIG.toml`, and give the folder that its `out` names")
    })
}

/// The checkpoints of a run, oldest first.
///
/// # Errors
/// [`Error::Io`] if the folder cannot be listed.
pub fn list(run: &Path) -> Result<Vec<PathBuf>> {
    let parent = run.join("checkpoints");
    if !parent.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(&parent).map_err(Error::io(&parent))? {
        let path = entry.map_err(Error::io(&parent))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse::<usize>().ok()) {
            found.push((step, path));
        }
    }
    found.sort();
    Ok(found.into_iter().map(|(_, path)| path).collect())
}

/// Removes all but the newest `keep` checkpoints; 0 keeps all.
///
/// # Errors
/// [`Error::Io`] if one cannot be removed.
pub fn prune(run: &Path, keep: usize) -> Result<()> {
    let found = list(run)?;
    if keep == 0 {
        return Ok(());
    }
    for old in found.iter().take(found.len().saturating_sub(keep)) {
        std::fs::remove_dir_all(old).map_err(Error::io(old))?;
    }
    Ok(())
}

/// Writes JSON atomically.
///
/// # Errors
/// A media error naming the file.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let mut text = serde_json::to_string_pretty(value).map_err(|error| Error::content(path, error))?;
    text.push('\n');
    Ok(avdit_media::atomic::write_bytes_atomically(path, text.as_bytes())?)
}

/// Reads JSON.
///
/// # Errors
/// [`Error::Io`], or [`Error::Content`] with the place in the text.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    serde_json::from_str(&text).map_err(|error| Error::content(path, error))
}
