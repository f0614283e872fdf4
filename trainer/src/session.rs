//! A run in memory: its steps, its checkpoints.

use crate::audit::{Audit, GradientTable};
use crate::base::Base;
use crate::batches::{Batch, Batches};
use crate::checkpoint::{self, Checkpoint, CheckpointConfig, FORMAT, State};
use crate::config::TrainConfig;
use crate::denoiser::CandleDenoiser;
use crate::device::{self, Local};
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::failure;
use crate::frames::Frames;
use crate::metrics::{StepMetrics, Tally};
use crate::model::{Gradients, LossValues, Model, initial};
use crate::optimizer::Optimizer;
use crate::parallel::Ranks;
use avdit_nets::NetworkConfig;
use candle_core::Device;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A run in memory.
pub struct Session<'a> {
    config: &'a TrainConfig,
    checkpoint_config: CheckpointConfig,
    base: Option<Base>,
    batches: Arc<Batches<'a>>,
    device: Device,
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
        Self::open_share(config, examples, resume, 0..config.run.batch, Local::default())
    }

    /// As [`Session::open`], of a rank that takes the positions `share` of every batch, and stands at `local` among
    /// those of its machine.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub fn open_share(
        config: &'a TrainConfig,
        examples: &'a dyn Examples,
        resume: bool,
        share: Range<usize>,
        local: Local,
    ) -> Result<Self> {
        let (batches, checkpoint_config, base) = settle(config, examples, share)?;
        let batches = Arc::new(batches);
        let network = checkpoint_config.network.clone();
        let device = device::open_at(&config.run.device, local)?;
        let (model, optimizer, step) = if resume {
            let folder = checkpoint::latest(&config.out)?;
            let saved = Checkpoint::read(&folder)?;
            check_same_run(&folder, &saved.config, &checkpoint_config)?;
            let model = Model::on_base(&network, base.as_ref(), &saved.weights, &device)?;
            let step = saved.state.step;
            let emas: Vec<_> = std::iter::once(saved.ema).chain(saved.more_ema).collect();
            let optimizer = Optimizer::restore(&config.optimizer, &model, step, &saved.moments, &emas)?;
            (model, optimizer, step)
        } else {
            let initial = initial(&network, base.as_ref(), config.seed)?;
            let model = Model::on_base(&network, base.as_ref(), &initial, &device)?;
            let optimizer = Optimizer::new(&config.optimizer, &model)?;
            (model, optimizer, 0)
        };
        let model = model.in_precision(config.run.precision);
        let audit = (step == 0).then(Audit::default);
        Ok(Self {
            config,
            checkpoint_config,
            base,
            batches,
            device,
            model,
            optimizer,
            audit,
            reached: false,
            step,
        })
    }

    /// Refuses what [`Session::open`] refuses, without parameters in memory; returns the checkpoint that `resume` would
    /// go on from. Writes nothing.
    ///
    /// # Errors
    /// As [`Session::open`], but for numbers in a checkpoint that are not finite.
    pub fn check(config: &TrainConfig, examples: &dyn Examples, resume: bool) -> Result<Option<PathBuf>> {
        let (_, now, _) = settle(config, examples, 0..config.run.batch)?;
        device::open(&config.run.device)?;
        if !resume {
            return Ok(None);
        }
        let folder = checkpoint::latest(&config.out)?;
        check_same_run(&folder, &Checkpoint::look(&folder)?, &now)?;
        Ok(Some(folder))
    }

    /// What makes its batches.
    pub fn batches(&self) -> Arc<Batches<'a>> {
        Arc::clone(&self.batches)
    }

    /// Where it computes.
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// The network.
    pub fn network(&self) -> &NetworkConfig {
        self.model.config()
    }

    /// What all ranks must have alike before the first step.
    pub fn facts(&self) -> serde_json::Value {
        serde_json::json!({
            "version": env!("CARGO_PKG_VERSION"), "step": self.step, "run": facts(&self.checkpoint_config),
        })
    }

    /// One step on its batch, or on this rank's part of it. What it took is left for the caller to fill in.
    ///
    /// # Errors
    /// As [`train`](crate::train::train); a batch whose numbers are not finite is kept in the run's folder before the
    /// other ranks are told.
    pub fn advance(&mut self, batch: &Batch, ranks: &mut Ranks) -> Result<StepMetrics> {
        let keep = |error| failure::keep(error, &self.batches, batch, &self.config.out);
        let own = self.own_gradients(batch).map_err(keep);
        let (mut loss, mut gradients) = ranks.all(own)?;
        self.reached = true;
        let (layout, timesteps) = (self.batches.layout(), self.config.objective.timesteps);
        let mut tally = Tally::new(layout, timesteps, self.batches.objective(), batch, &loss.cells);
        ranks.sum_step(&mut loss, &mut tally, &mut gradients)?;
        if let Some(audit) = &mut self.audit {
            audit.look(self.step + 1, &self.model, &gradients, batch.weighs)?;
        }
        let lr = self.config.optimizer.lr_at(self.step, self.config.run.steps);
        let gradient_norm = self.optimizer.step(&self.model, &gradients, lr)?;
        if !gradient_norm.is_finite() {
            let found = (&self.model, &loss, &gradients);
            let what = "the norm of the gradient";
            let error = failure::describe(what, gradient_norm, &self.batches, batch, found)?;
            return Err(failure::keep(error, &self.batches, batch, &self.config.out));
        }
        self.step += 1;
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

    /// Loss and gradients of a batch, or of this rank's part of it.
    fn own_gradients(&self, batch: &Batch) -> Result<(LossValues, Gradients)> {
        let (loss, gradients) = self.model.gradients(&batch.noisy, &self.config.run.gradient_options())?;
        if !loss.total().is_finite() {
            let found = (&self.model, &loss, &gradients);
            return Err(failure::describe("the loss", loss.total(), &self.batches, batch, found)?);
        }
        if !self.reached {
            self.model.check_gradients(&gradients)?;
        }
        Ok((loss, gradients))
    }

    /// A number that two sets of parameters share only if they have the same bits, but for one chance in 2⁶⁴.
    ///
    /// # Errors
    /// If Candle cannot read a parameter.
    pub fn fingerprint(&self) -> Result<u64> {
        let mut hash = 0xCBF2_9CE4_8422_2325u64;
        for (_, var) in self.model.parameters() {
            for value in var.flatten_all()?.to_vec1::<f32>()? {
                hash =
                    (hash ^ u64::from(value.to_bits())).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
            }
        }
        Ok(hash)
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
        let spec = self.checkpoint_config.spec.clone();
        CandleDenoiser::on_base(self.network(), self.base.as_ref(), &self.optimizer.ema()?, spec)
    }

    /// The run as it stands.
    ///
    /// # Errors
    /// If Candle cannot read a parameter.
    pub fn checkpoint(&self) -> Result<Checkpoint> {
        let mut emas = self.optimizer.emas()?.into_iter();
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
            moments: self.optimizer.moments()?,
        })
    }
}

/// What makes the batches of a run, and what it says of itself.
fn settle<'a>(
    config: &'a TrainConfig,
    examples: &'a dyn Examples,
    share: Range<usize>,
) -> Result<(Batches<'a>, CheckpointConfig, Option<Base>)> {
    config.check()?;
    let layout = examples.layout();
    if examples.count() == 0 {
        return Err(Error::Config(format!("dataset {} holds no clips", config.data.display())));
    }
    examples.check()?;
    let base = config.model.open_base()?;
    let network = config.network_on(layout, base.as_ref())?;
    let spec = config.spec(&network.layout());
    let examples: Box<dyn Examples + Send + 'a> = match network {
        NetworkConfig::Dit(_) => Box::new(Frames::new(examples, network.layout())),
        _ => Box::new(examples),
    };
    let identity = examples.identity()?;
    let batches = Batches::new(config, examples, &spec, share)?;
    let batches = if network.learned_variance() { batches.with_variance(&spec)? } else { batches };
    let checkpoint_config = CheckpointConfig {
        format: FORMAT.into(),
        architecture: network.architecture().into(),
        base: base.as_ref().map(Base::record).transpose()?,
        dataset: identity,
        network,
        spec,
        train: config.clone(),
    };
    Ok((batches, checkpoint_config, base))
}

/// What decides the numbers of a run.
fn facts(config: &CheckpointConfig) -> serde_json::Value {
    let train = &config.train;
    let run = serde_json::json!({
        "steps": train.run.steps, "batch": train.run.batch, "chunk": train.run.chunk,
        "device": device::kind(&train.run.device), "precision": train.run.precision,
        "overfit_one_batch": train.run.overfit_one_batch,
    });
    serde_json::json!({
        "network": config.network, "spec": config.spec, "objective": train.objective,
        "optimizer": train.optimizer, "run": run, "seed": train.seed, "dataset": config.dataset,
        "base": config.base.as_ref().map(|base| &base.weights_sha256),
    })
}

/// Refuses to go on with another network, objective, optimizer, batch or seed than the checkpoint's.
fn check_same_run(folder: &Path, saved: &CheckpointConfig, now: &CheckpointConfig) -> Result<()> {
    let mut differences = Vec::new();
    crate::differences::of(&facts(saved), &facts(now), &mut |name, saved, now| {
        differences.push(format!("{name}: checkpoint has {saved}, configuration has {now}"));
    });
    if differences.is_empty() {
        return Ok(());
    }
    let what = format!(
        "was made with another configuration:\n  {}\n\nhint: restore these settings to resume, or choose another `out` for a new run",
        differences.join("\n  ")
    );
    Err(Error::content(folder, what))
}
