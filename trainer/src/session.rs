//! A run in memory: its batches, its steps, its checkpoints.

use crate::checkpoint::{self, Checkpoint, CheckpointConfig, FORMAT, State};
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::model::Model;
use crate::objective::{NoisyBatch, Objective};
use crate::optimizer::Optimizer;
use avdit_core::{Latents, Levels, Mixture, Modality, Noise, Purpose, Stream};
use candle_core::Device;
use rayon::prelude::*;
use serde::Serialize;
use std::path::Path;
use std::time::Instant;

/// What happened in a step.
#[derive(Clone, Debug, Serialize)]
pub struct StepMetrics {
    /// The step, from 1.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// The loss.
    pub loss: f64,
    /// Its video term.
    pub loss_video: f64,
    /// Its audio term.
    pub loss_audio: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub lr: f64,
    /// Wall time of the step.
    pub step_ms: f64,
}

/// A run in memory.
pub struct Session<'a> {
    config: &'a TrainConfig,
    checkpoint_config: CheckpointConfig,
    examples: &'a dyn Examples,
    mixture: Mixture,
    objective: Objective,
    model: Model,
    optimizer: Optimizer,
    gradients_checked: bool,
    /// Steps done.
    pub step: usize,
}

impl<'a> Session<'a> {
    /// A new run, or the newest checkpoint of `config.out`. Writes nothing.
    ///
    /// # Errors
    /// If the configuration or the data cannot be used, or the checkpoint is of another configuration.
    pub fn open(config: &'a TrainConfig, examples: &'a dyn Examples, resume: bool) -> Result<Self> {
        config.check()?;
        let layout = examples.layout();
        if examples.count() == 0 {
            return Err(Error::Config(format!("dataset {} holds no clips", config.data.display())));
        }
        let network = config.network(layout)?;
        let spec = config.spec(layout);
        let mixture = config.mixture()?;
        mixture.check(layout.segments())?;
        let objective = Objective::new(&spec, config.objective.weighting)?;
        let checkpoint_config = CheckpointConfig {
            format: FORMAT.into(),
            architecture: "avdit".into(),
            dataset: examples.identity()?,
            network: network.clone(),
            spec,
            train: config.clone(),
        };
        let device = Device::Cpu;
        let (model, optimizer, step) = if resume {
            let folder = checkpoint::latest(&config.out)?;
            let saved = Checkpoint::read(&folder)?;
            check_same_run(&folder, &saved.config, &checkpoint_config)?;
            let model = Model::with_weights(&network, &saved.weights, &device)?;
            let step = saved.state.step;
            let optimizer = Optimizer::restore(&config.optimizer, &model, step, &saved.moments, &saved.ema)?;
            (model, optimizer, step)
        } else {
            let model = Model::new(&network, config.seed, &device)?;
            let optimizer = Optimizer::new(&config.optimizer, &model)?;
            (model, optimizer, 0)
        };
        Ok(Self {
            config,
            checkpoint_config,
            examples,
            mixture,
            objective,
            model,
            optimizer,
            gradients_checked: false,
            step,
        })
    }

    /// Examples of a step: whole passes over the data, each in an order of its own.
    fn batch_indices(&self, step: usize) -> Vec<usize> {
        let (count, batch) = (self.examples.count(), self.config.run.batch);
        let noise = Noise::new(self.config.seed);
        let mut order = (usize::MAX, Vec::new());
        (step * batch..(step + 1) * batch)
            .map(|position| {
                let epoch = position / count;
                if order.0 != epoch {
                    order = (epoch, noise.permutation(Stream::new(Purpose::Shuffle, epoch as u32, 0), count));
                }
                order.1[position % count]
            })
            .collect()
    }

    /// The batch of a step: a function of seed and step alone.
    fn batch(&self, step: usize) -> Result<NoisyBatch> {
        let layout = self.examples.layout();
        let (noise, objective) = (Noise::new(self.config.seed), &self.config.objective);
        let indices = self.batch_indices(step);
        let parts: Vec<(Latents, Latents, Vec<f32>)> = indices
            .par_iter()
            .enumerate()
            .map(|(item, &index)| {
                let clean = self.examples.read(index)?;
                let mut epsilon = Latents::zeros(layout, 1);
                for (offset, modality) in Modality::ALL.into_iter().enumerate() {
                    let stream = Stream::new(Purpose::Training, step as u32, 2 * item as u32 + offset as u32);
                    noise.normals(stream, epsilon.get_mut(modality));
                }
                let (segments, timesteps) = (layout.segments(), objective.timesteps);
                let levels = self.mixture.draw(
                    noise,
                    step as u32,
                    item as u32,
                    segments,
                    timesteps,
                    objective.clean_fraction,
                )?;
                Ok((clean, epsilon, levels))
            })
            .collect::<Result<_>>()?;
        let (mut clean, mut epsilon, mut levels) = (Vec::new(), Vec::new(), Vec::new());
        for (c, e, l) in parts {
            clean.push(c);
            epsilon.push(e);
            levels.push(l);
        }
        self.objective.noise(&Latents::concat(&clean), &Latents::concat(&epsilon), Levels::from_rows(&levels))
    }

    /// One step.
    ///
    /// # Errors
    /// As [`train`](crate::train::train).
    pub fn advance(&mut self) -> Result<StepMetrics> {
        let started = Instant::now();
        let batch = self.batch(self.step)?;
        let (loss, gradients) = self.model.gradients(&batch, &self.config.run.gradient_options())?;
        self.check_finite("the loss", loss.total())?;
        if !self.gradients_checked {
            self.model.check_gradients(&gradients)?;
            self.gradients_checked = true;
        }
        let lr = self.config.optimizer.lr_at(self.step, self.config.run.steps);
        let gradient_norm = self.optimizer.step(&self.model, &gradients, lr)?;
        self.check_finite("the norm of the gradient", gradient_norm)?;
        self.step += 1;
        Ok(StepMetrics {
            step: self.step,
            steps: self.config.run.steps,
            loss: loss.total(),
            loss_video: loss.video,
            loss_audio: loss.audio,
            gradient_norm,
            lr,
            step_ms: started.elapsed().as_secs_f64() * 1e3,
        })
    }

    fn check_finite(&self, what: &'static str, value: f64) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        let examples =
            self.batch_indices(self.step).iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::NotFinite { what, value, step: self.step + 1, examples })
    }

    /// The run as it stands.
    ///
    /// # Errors
    /// If Candle cannot read a parameter.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        Ok(Checkpoint {
            config: self.checkpoint_config.clone(),
            state: State {
                format: FORMAT.into(),
                step: self.step,
                examples_seen: self.step * self.config.run.batch,
                seed: self.config.seed,
            },
            weights: self.model.weights()?,
            ema: self.optimizer.ema(),
            moments: self.optimizer.moments(),
        })
    }
}

/// Refuses to go on with another network, objective, optimizer, batch or seed than the checkpoint's.
fn check_same_run(folder: &Path, saved: &CheckpointConfig, now: &CheckpointConfig) -> Result<()> {
    let facts = |config: &CheckpointConfig| {
        let train = &config.train;
        let run = serde_json::json!({ "steps": train.run.steps, "batch": train.run.batch, "chunk": train.run.chunk });
        serde_json::json!({
            "network": config.network, "spec": config.spec, "objective": train.objective,
            "optimizer": train.optimizer, "run": run, "seed": train.seed, "dataset": config.dataset,
        })
    };
    let mut differences = Vec::new();
    compare("", &facts(saved), &facts(now), &mut differences);
    if differences.is_empty() {
        return Ok(());
    }
    let what = format!(
        "was made with another configuration:\n  {}\n\nhint: restore these settings to resume, or choose another `out` for a new run",
        differences.join("\n  ")
    );
    Err(Error::content(folder, what))
}

fn compare(name: &str, saved: &serde_json::Value, now: &serde_json::Value, differences: &mut Vec<String>) {
    match (saved, now) {
        (serde_json::Value::Object(a), serde_json::Value::Object(b)) => {
            for (key, saved) in a {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                compare(&name, saved, b.get(key).unwrap_or(&serde_json::Value::Null), differences);
            }
        }
        _ if saved != now => {
            differences.push(format!("{name}: checkpoint has {saved}, configuration has {now}"))
        }
        _ => {}
    }
}
