//! The loop, and what a run leaves in its folder.

use crate::audit::GRADIENTS_FILE;
use crate::checkpoint;
use crate::config::{RunConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::failure;
use crate::feed::Feed;
use crate::observer::{Observer, RunFacts};
use crate::run_log::RunLog;
use crate::session::Session;
use crate::speed::Speed;
use avdit_media::atomic::{FolderLock, write_bytes_atomically};
use candle_core::Device;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How a run is started.
#[derive(Clone, Copy, Debug, Default)]
pub struct StartOptions {
    /// Go on from the newest checkpoint.
    pub resume: bool,
    /// Remove what an earlier run left in the same folder.
    pub overwrite: bool,
    /// Stop after this step although the run is longer.
    pub until: Option<usize>,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Steps done in all.
    pub step: usize,
    /// The newest checkpoint.
    pub checkpoint: PathBuf,
    /// Whether it was cancelled before its last step.
    pub interrupted: bool,
    /// What came of `run.overfit_one_batch`.
    pub overfit: Option<Overfit>,
}

/// The loss of the one batch that a run was to learn by heart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Overfit {
    /// In the first step.
    pub first: f64,
    /// In the last one.
    pub last: f64,
}

impl Overfit {
    /// Whether the network has learnt at least half of what there was to learn. One that is connected as it should be
    /// goes far below that in a few hundred steps.
    pub fn learnt(&self) -> bool {
        self.last < 0.5 * self.first
    }
}

/// Trains, or goes on training, and leaves in the run's folder checkpoints, `metrics.jsonl`, `gradients.json`,
/// `config.toml` and the codec.
///
/// Nothing is written or removed before configuration, data and checkpoint have been accepted.
///
/// # Errors
/// A configuration, data or file error before or during the run; [`Error::NoGradient`] and [`Error::ZeroGradient`] after
/// the first backward passes; [`Error::NotFinite`] as soon as the loss or the gradient is, with the batch in
/// `bad-batch.safetensors`; whatever the observer returns. Checkpoints written before stay whole.
pub fn train(
    config: &TrainConfig,
    examples: &dyn Examples,
    start: StartOptions,
    observer: &mut dyn Observer,
    cancelled: &dyn Fn() -> bool,
) -> Result<Outcome> {
    // A process that was killed may have left its newest checkpoint under another name.
    let mut lock = None;
    if start.resume && config.out.join("checkpoints").is_dir() {
        lock = Some(FolderLock::take(&config.out)?);
        checkpoint::clean(&config.out)?;
    }
    let mut session = Session::open(config, examples, start.resume)?;
    std::fs::create_dir_all(&config.out).map_err(Error::io(&config.out))?;
    let _lock = match lock {
        Some(lock) => lock,
        None => FolderLock::take(&config.out)?,
    };
    prepare_folder(config, examples, start)?;
    let mut log = RunLog::open(&config.out, session.step)?;
    let last = start.until.unwrap_or(config.run.steps).min(config.run.steps);
    let (network, run) = (session.network(), &config.run);
    let multiply_adds = network.multiply_adds();
    let measure = run.measure_matmul && session.step < last;
    let speed = Speed::new(multiply_adds, run.batch, measure, &Device::Cpu)?;
    observer.start(&RunFacts {
        step: session.step,
        steps: run.steps,
        parameters: network.parameter_count(),
        multiply_adds,
        matmul_gflops: speed.matmul_gflops,
    })?;
    let batches = session.batches();
    let (mut newest, mut last_loss, mut due) = (None, None, Due::new(run, last));
    std::thread::scope(|scope| -> Result<()> {
        let steps = session.step..last.max(session.step);
        let mut feed = Feed::start(scope, &batches, steps, run.prefetch, run.loaders)?;
        while session.step < last {
            let started = Instant::now();
            let batch = feed.next()?;
            let waited = started.elapsed();
            let outcome = session.advance(&batch);
            if let Some(table) = session.gradients() {
                checkpoint::write_json(&config.out.join(GRADIENTS_FILE), table)?;
            }
            let mut metrics = outcome.map_err(|error| failure::keep(error, &batches, &batch, &config.out))?;
            speed.tell(&mut metrics, started.elapsed(), waited);
            log.write(&metrics)?;
            last_loss = Some(metrics.loss);
            observer.step(&metrics)?;
            if run.sample_every > 0 && session.step.is_multiple_of(run.sample_every) {
                observer.sample(session.step, &mut session.denoiser()?)?;
            }
            let stop = cancelled();
            if due.at(session.step) || stop {
                log.sync()?;
                let written = session.checkpoint()?.write(&config.out)?;
                checkpoint::prune(&config.out, run.keep_last, run.keep_every)?;
                observer.checkpoint(session.step, &written)?;
                newest = Some(written);
                due.written();
            }
            if stop {
                break;
            }
        }
        Ok(())
    })?;
    let checkpoint = match newest {
        Some(path) => path,
        None => checkpoint::latest(&config.out)?,
    };
    let overfit = match (run.overfit_one_batch, last_loss, RunLog::first_loss(&config.out)?) {
        (true, Some(last), Some(first)) => Some(Overfit { first, last }),
        _ => None,
    };
    Ok(Outcome { step: session.step, checkpoint, interrupted: session.step < last, overfit })
}

/// When a checkpoint is to be made.
struct Due<'a> {
    run: &'a RunConfig,
    last: usize,
    written: Instant,
}

impl<'a> Due<'a> {
    fn new(run: &'a RunConfig, last: usize) -> Self {
        Self { run, last, written: Instant::now() }
    }

    fn at(&self, step: usize) -> bool {
        let every = |steps: usize| steps > 0 && step.is_multiple_of(steps);
        let minutes = self.run.checkpoint_minutes;
        let late = minutes > 0.0 && self.written.elapsed() >= Duration::from_secs_f64(60.0 * minutes);
        step == self.last || every(self.run.checkpoint_every) || every(self.run.keep_every) || late
    }

    fn written(&mut self) {
        self.written = Instant::now();
    }
}

/// Refuses to mix two runs in one folder, then leaves the resolved configuration and the codec in it.
fn prepare_folder(config: &TrainConfig, examples: &dyn Examples, start: StartOptions) -> Result<()> {
    let out = &config.out;
    let existing = checkpoint::list(out)?;
    if let (Some(newest), false) = (existing.last(), start.resume) {
        if !start.overwrite {
            let name = newest.file_name().unwrap_or_default().to_string_lossy();
            let hint = "add --resume to go on, --overwrite to begin again, or choose another `out`";
            return Err(Error::content(out, format!("holds a run already (newest: {name})\n\nhint: {hint}")));
        }
        for old in &existing {
            std::fs::remove_dir_all(old).map_err(Error::io(old))?;
        }
    }
    checkpoint::clean(out)?;
    write_bytes_atomically(&out.join("config.toml"), config.to_toml()?.as_bytes())?;
    if let Some(codec) = examples.codec() {
        let bytes = std::fs::read(&codec).map_err(Error::io(&codec))?;
        write_bytes_atomically(&out.join("codec.safetensors"), &bytes)?;
    }
    for stale in [failure::BAD_BATCH_FILE, GRADIENTS_FILE].map(|name| out.join(name)) {
        let begins = existing.is_empty() || start.overwrite;
        if (begins || stale.ends_with(failure::BAD_BATCH_FILE)) && stale.is_file() {
            std::fs::remove_file(&stale).map_err(Error::io(&stale))?;
        }
    }
    Ok(())
}
