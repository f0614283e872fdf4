//! A run in memory: its steps, its checkpoints.

use crate::audit::{Audit, GradientTable};
use crate::batches::{Batch, Batches};
use crate::checkpoint::{self, Checkpoint, CheckpointConfig, FORMAT, State};
use crate::config::TrainConfig;
use crate::denoiser::CandleDenoiser;
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::failure;
use crate::metrics::{StepMetrics, Tally};
use crate::model::Model;
use crate::optimizer::Optimizer;
use avdit_core::Modality;
use avdit_nets::avdit::AvditConfig;
use candle_core::Device;
use std::path::Path;
use std::sync::Arc;

/// A run in memory.
pub struct Session<'a> {
    config: &'a TrainConfig,
    checkpoint_config: CheckpointConfig,
    batches: Arc<Batches<'a>>,
    model: Model,
    optimizer: Optimizer,
    /// Of a run from its beginning: whether every parameter learns.
    audit: Option<Audit>,
    reached: bool,
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
        let batches = Arc::new(Batches::new(config, examples, &spec)?);
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
            let emas: Vec<_> = std::iter::once(saved.ema).chain(saved.more_ema).collect();
            let optimizer = Optimizer::restore(&config.optimizer, &model, step, &saved.moments, &emas)?;
            (model, optimizer, step)
        } else {
            let model = Model::new(&network, config.seed, &device)?;
            let optimizer = Optimizer::new(&config.optimizer, &model)?;
            (model, optimizer, 0)
        };
        let audit = (step == 0).then(Audit::default);
        Ok(Self { config, checkpoint_config, batches, model, optimizer, audit, reached: false, step })
    }

    /// What makes its batches.
    pub fn batches(&self) -> Arc<Batches<'a>> {
        Arc::clone(&self.batches)
    }

    /// The network.
    pub fn network(&self) -> &AvditConfig {
        self.model.config()
    }

    /// One step on its batch. What it took is left for the caller to fill in.
    ///
    /// # Errors
    /// As [`train`](crate::train::train).
    pub fn advance(&mut self, batch: &Batch) -> Result<StepMetrics> {
        let (loss, gradients) = self.model.gradients(&batch.noisy, self.config.run.chunk)?;
        let not_finite = |model: &Model, what, value| {
            failure::describe(what, value, &self.batches, batch, (model, &loss, &gradients))
        };
        if !loss.total().is_finite() {
            return Err(not_finite(&self.model, "the loss", loss.total())?);
        }
        if !self.reached {
            self.model.check_gradients(&gradients)?;
            self.reached = true;
        }
        if let Some(audit) = &mut self.audit {
            let objective = &self.config.objective;
            let weights = [objective.video_weight, objective.audio_weight];
            let weighs = Modality::ALL
                .map(|modality| batch.whole.get(modality) > 0 && weights[modality as usize] > 0.0);
            audit.look(self.step + 1, &self.model, &gradients, weighs)?;
        }
        let lr = self.config.optimizer.lr_at(self.step, self.config.run.steps);
        let gradient_norm = self.optimizer.step(&self.model, &gradients, lr)?;
        if !gradient_norm.is_finite() {
            return Err(not_finite(&self.model, "the norm of the gradient", gradient_norm)?);
        }
        self.step += 1;
        let (layout, timesteps) = (self.batches.layout(), self.config.objective.timesteps);
        let tally = Tally::new(layout, timesteps, self.batches.objective(), batch, &loss.cells);
        Ok(StepMetrics {
            step: self.step,
            steps: self.config.run.steps,
            loss: loss.total(),
            loss_video: loss.video,
            loss_audio: loss.audio,
            gradient_norm,
            lr,
            by_strategy: tally.by_strategy(),
            by_level_bin: tally.by_level_bin(),
            ..StepMetrics::default()
        })
    }

    /// What the audit of the first steps has found, if that is more than when it was last asked for.
    pub fn gradients(&mut self) -> Option<&GradientTable> {
        self.audit.as_mut().and_then(Audit::news)
    }

    /// The network at the first moving average of its parameters.
    ///
    /// # Errors
    /// If Candle fails.
    pub fn denoiser(&self) -> Result<CandleDenoiser> {
        CandleDenoiser::new(self.network(), &self.optimizer.ema(), self.checkpoint_config.spec.clone())
    }

    /// The run as it stands.
    ///
    /// # Errors
    /// If Candle cannot read a parameter.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut emas = self.optimizer.emas().into_iter();
        Ok(Checkpoint {
            config: self.checkpoint_config.clone(),
            state: State {
                format: FORMAT.into(),
                step: self.step,
                examples_seen: self.step * self.config.run.batch,
                seed: self.config.seed,
            },
            weights: self.model.weights()?,
            ema: emas.next().unwrap_or_default(),
            more_ema: emas.collect(),
            moments: self.optimizer.moments(),
        })
    }
}

/// Refuses to go on with another network, objective, optimizer, batch or seed than the checkpoint's.
fn check_same_run(folder: &Path, saved: &CheckpointConfig, now: &CheckpointConfig) -> Result<()> {
    let facts = |config: &CheckpointConfig| {
        let train = &config.train;
        let run = serde_json::json!({
            "steps": train.run.steps, "batch": train.run.batch, "chunk": train.run.chunk,
            "overfit_one_batch": train.run.overfit_one_batch,
        });
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
