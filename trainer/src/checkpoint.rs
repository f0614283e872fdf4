//! Checkpoints: folders that are whole or absent.
//!
//! `RUN/checkpoints/step-000100/` holds
//! - `config.json`: `format`, the network, what a sampler must know of it, and the configuration of the run;
//! - `model.safetensors`, `ema.safetensors`: the trained parameters and their moving average, f32, by their full names; each
//!   further average as `ema-DECAY.safetensors`;
//! - `optimizer.safetensors`: `first.NAME` and `second.NAME`, AdamW's moments;
//! - `state.json`: the step. All randomness is a function of seed and step, so the step is also the state of the
//!   random numbers and the place in the data.
//!
//! A checkpoint is written under a temporary name, and renamed when all of it is on the disk: a crash or a loss of power
//! leaves it whole or absent. `RUN/checkpoints/latest` is a text file with the newest one's name.

mod folder;

pub use folder::{LATEST_FILE, clean, is_run, latest, list, prune, remove};

use crate::base::BaseRecord;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::model::Weights;
use crate::weight_file::WeightFile;
use avdit_core::DenoiserSpec;
use avdit_media::tensors::{TensorRef, write_tensors};
use avdit_nets::NetworkConfig;
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
    pub network: NetworkConfig,
    /// The network beneath it, whose tensors the checkpoint does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<BaseRecord>,
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

/// Which values of the parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Values {
    /// Those of the last step.
    Raw,
    /// Their first moving average.
    Ema,
    /// Their moving average of this decay.
    EmaOf(f64),
}

/// A checkpoint in memory.
pub struct Checkpoint {
    /// `config.json`.
    pub config: CheckpointConfig,
    /// `state.json`.
    pub state: State,
    /// The parameters.
    pub weights: Weights,
    /// Their first moving average.
    pub ema: Weights,
    /// The further ones, in the order of `optimizer.ema_decay`.
    pub more_ema: Vec<Weights>,
    /// AdamW's moments.
    pub moments: Weights,
}

/// The folder's name of a step's checkpoint.
pub fn name(step: usize) -> String {
    format!("step-{step:06}")
}

impl Checkpoint {
    /// Writes it into a run's folder; returns its path.
    ///
    /// # Errors
    /// [`Error::Io`] naming the file, also when the disk is full; earlier checkpoints are then as they were.
    pub fn write(&self, run: &Path) -> Result<PathBuf> {
        let parent = run.join("checkpoints");
        std::fs::create_dir_all(&parent).map_err(Error::io(&parent))?;
        let name = name(self.state.step);
        let target = parent.join(&name);
        let (temporary, replaced) = (folder::beside(&target, "part"), folder::beside(&target, "old"));
        if temporary.exists() {
            std::fs::remove_dir_all(&temporary).map_err(Error::io(&temporary))?;
        }
        let written = self.fill(&temporary);
        if written.is_err() {
            // What is left would only take room that the disk may lack.
            let _ = std::fs::remove_dir_all(&temporary);
        }
        written?;
        if target.exists() {
            std::fs::rename(&target, &replaced).map_err(Error::io(&target))?;
        }
        std::fs::rename(&temporary, &target).map_err(Error::io(&target))?;
        folder::sync(&parent)?;
        folder::write_latest(&parent, &name)?;
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
        let decays = &self.config.train.optimizer.ema_decay;
        for (&decay, ema) in decays.all().iter().zip(std::iter::once(&self.ema).chain(&self.more_ema)) {
            write(&decays.file(decay).unwrap_or_default(), ema, &parameters)?;
        }
        write("optimizer.safetensors", &self.moments, &moments)?;
        write_json(&folder.join("config.json"), &self.config)?;
        write_json(&folder.join("state.json"), &self.state)?;
        folder::sync(folder)
    }

    /// Reads a checkpoint's folder whole.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Content`] naming the file.
    pub fn read(folder: &Path) -> Result<Self> {
        let (config, state) = (read_config(folder)?, read_state(folder)?);
        let parameters = shapes(&config.network);
        let decays = &config.train.optimizer.ema_decay;
        let files = decays.all().iter().skip(1).filter_map(|&decay| decays.file(decay));
        Ok(Self {
            weights: read_weights(folder, "model.safetensors", &parameters)?,
            ema: read_weights(folder, "ema.safetensors", &parameters)?,
            more_ema: files.map(|file| read_weights(folder, &file, &parameters)).collect::<Result<_>>()?,
            moments: read_weights(folder, "optimizer.safetensors", &moment_shapes(&parameters))?,
            config,
            state,
        })
    }

    /// Reads what a checkpoint says of itself, and makes sure that its files have every tensor, without reading them.
    ///
    /// # Errors
    /// As [`Checkpoint::read`], but for numbers that are not finite.
    pub fn look(folder: &Path) -> Result<CheckpointConfig> {
        let config = read_config(folder)?;
        read_state(folder)?;
        let parameters = shapes(&config.network);
        let decays = &config.train.optimizer.ema_decay;
        let averages = decays.all().iter().filter_map(|&decay| decays.file(decay));
        for file in std::iter::once("model.safetensors".to_owned()).chain(averages) {
            WeightFile::open(&folder.join(file), &parameters)?;
        }
        WeightFile::open(&folder.join("optimizer.safetensors"), &moment_shapes(&parameters))?;
        Ok(config)
    }

    /// Opens only what inference needs: the configuration, and the file of the moving average (or of the raw
    /// parameters), whose tensors are read when they are asked for.
    ///
    /// # Errors
    /// As [`Checkpoint::read`].
    pub fn open_for_inference(folder: &Path, ema: bool) -> Result<(CheckpointConfig, WeightFile)> {
        Self::open_values(folder, if ema { Values::Ema } else { Values::Raw })
    }

    /// Opens the configuration and the file of some values, whose tensors are read when they are asked for.
    ///
    /// # Errors
    /// [`Error::Content`] with the decays that there are, for one that the run does not keep; else as
    /// [`Checkpoint::read`].
    pub fn open_values(folder: &Path, values: Values) -> Result<(CheckpointConfig, WeightFile)> {
        let config = read_config(folder)?;
        let decays = &config.train.optimizer.ema_decay;
        let file = match values {
            Values::Raw => "model.safetensors".to_owned(),
            Values::Ema => "ema.safetensors".to_owned(),
            Values::EmaOf(decay) => decays.file(decay).ok_or_else(|| {
                let kept = decays.all();
                Error::content(folder, format!("holds no moving average of decay {decay}, but of {kept:?}"))
            })?,
        };
        let weights = WeightFile::open(&folder.join(file), &shapes(&config.network))?;
        Ok((config, weights))
    }
}

fn read_config(folder: &Path) -> Result<CheckpointConfig> {
    let path = folder.join("config.json");
    let config: CheckpointConfig = read_json(&path)?;
    check_format(&path, &config.format)?;
    if config.architecture != config.network.architecture() {
        let (said, is) = (&config.architecture, config.network.architecture());
        return Err(Error::content(&path, format!("architecture is {said}, but the network is of {is}")));
    }
    Ok(config)
}

fn read_state(folder: &Path) -> Result<State> {
    let path = folder.join("state.json");
    let state: State = read_json(&path)?;
    check_format(&path, &state.format)?;
    Ok(state)
}

fn check_format(path: &Path, format: &str) -> Result<()> {
    if format == FORMAT {
        return Ok(());
    }
    Err(Error::content(path, format!("format is {format}, expected {FORMAT}")))
}

type Shapes = BTreeMap<String, Vec<usize>>;

/// The shape of every parameter that is trained.
fn shapes(network: &NetworkConfig) -> Shapes {
    network.trained_parameters().into_iter().map(|p| (p.name, p.shape)).collect()
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
