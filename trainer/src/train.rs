//! The loop, and what a run leaves in its folder.

use crate::audit::GRADIENTS_FILE;
use crate::checkpoint;
use crate::config::{RunConfig, TrainConfig};
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::failure;
use crate::feed::Feed;
use crate::observer::{Observer, RunFacts};
use crate::parallel::Ranks;
use crate::run_log::RunLog;
use crate::session::Session;
use crate::speed::Speed;
use crate::tensorboard::EventFile;
use avdit_media::atomic::{FolderLock, copy_atomically, write_bytes_atomically};
use std::path::{Path, PathBuf};
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
    /// What came of `run.overfit_one_batch`; of several ranks, the first one knows.
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
/// TensorBoard's event files, `config.toml` and the codec.
///
/// Nothing is written or removed before configuration, data and checkpoint have been accepted; but to go on, what a
/// process that was killed has left half-written is cleared away as soon as the configuration is.
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
    train_on(&mut Ranks::single(), config, examples, start, observer, cancelled)
}

/// Refuses what [`train`] refuses before its first step, and writes nothing; returns the checkpoint that it would go on
/// from. Only that another process trains in the folder is not seen.
///
/// # Errors
/// A configuration, data or file error.
pub fn check_start(
    config: &TrainConfig,
    examples: &dyn Examples,
    start: StartOptions,
) -> Result<Option<PathBuf>> {
    let newest = Session::check(config, examples, start.resume)?;
    existing(&config.out, start)?;
    Ok(newest)
}

/// As [`train`], as one of several ranks, all of which make this call with the same arguments. They share the run's
/// folder; the first one alone writes to it and tells its observer. Any of them can cancel.
///
/// # Errors
/// As [`train`]; an error on one rank ends all. [`Error::Content`] naming the run's folder if a rank does not share it.
/// [`Error::LostRanks`] if one is gone: the first one then keeps a checkpoint of the last step that was done.
pub fn train_on(
    ranks: &mut Ranks,
    config: &TrainConfig,
    examples: &dyn Examples,
    start: StartOptions,
    observer: &mut dyn Observer,
    cancelled: &dyn Fn() -> bool,
) -> Result<Outcome> {
    let outcome = of_rank(ranks, config, examples, start, observer, cancelled);
    let outcome = ranks.tell(outcome);
    ranks.part();
    outcome
}

fn of_rank(
    ranks: &mut Ranks,
    config: &TrainConfig,
    examples: &dyn Examples,
    start: StartOptions,
    observer: &mut dyn Observer,
    cancelled: &dyn Fn() -> bool,
) -> Result<Outcome> {
    let first = ranks.is_first();
    // A process that was killed may have left its newest checkpoint under another name.
    let cleaned =
        config.check().and_then(|()| if first && start.resume { clean_folder(config) } else { Ok(None) });
    let lock = ranks.all(cleaned)?;
    if start.resume {
        let newest = checkpoint::latest(&config.out).ok();
        let name = newest.as_ref().and_then(|path| path.file_name()).map(|name| name.to_string_lossy());
        ranks.alike(&serde_json::json!({ "newest checkpoint in `out`": name }))?;
    }
    let (share, local) = (ranks.share(config.run.batch), ranks.local()?);
    let opened = share.and_then(|share| Session::open_share(config, examples, start.resume, share, local));
    let mut session = ranks.all(opened)?;
    let loop_facts = serde_json::json!({ "until": start.until, "measure_matmul": config.run.measure_matmul });
    ranks.alike(&serde_json::json!({ "session": session.facts(), "start": loop_facts }))?;
    let held = first.then(|| hold_folder(config, lock)).transpose();
    let held = ranks.all(held)?;
    ranks.check_shared(&config.out)?;
    let taken = held.map(|lock| take_folder(config, examples, start, lock, session.step)).transpose();
    let mut folder = ranks.all(taken)?;
    let last = start.until.unwrap_or(config.run.steps).min(config.run.steps);
    let (network, run) = (session.network(), &config.run);
    let multiply_adds = network.multiply_adds();
    let measure = run.measure_matmul && session.step < last;
    let mut speed =
        ranks.all(Speed::new(network.training_multiply_adds(), run.batch, measure, session.device()))?;
    if let Some(rate) = &mut speed.matmul_gflops {
        ranks.sum_f64(std::slice::from_mut(rate))?;
    }
    if first {
        observer.start(&RunFacts {
            step: session.step,
            steps: run.steps,
            parameters: network.parameter_count(),
            multiply_adds,
            matmul_gflops: speed.matmul_gflops,
        })?;
    }
    let batches = session.batches();
    let (mut newest, mut last_loss, mut due) = (None, None, Due::new(run, last));
    let mut kept = if start.resume { session.step } else { 0 };
    let looped = std::thread::scope(|scope| -> Result<()> {
        let steps = session.step..last.max(session.step);
        let mut feed = Feed::start(scope, &batches, steps, run.prefetch, run.loaders)?;
        while session.step < last {
            let (started, exchanging) = (Instant::now(), ranks.exchanging());
            let batch = feed.next()?;
            let waited = started.elapsed();
            let outcome = session.advance(&batch, ranks);
            if let (true, Some(table)) = (first, session.gradients()) {
                checkpoint::write_json(&config.out.join(GRADIENTS_FILE), table)?;
            }
            let mut metrics = outcome?;
            speed.tell(&mut metrics, started.elapsed(), waited);
            if ranks.count() > 1 {
                metrics.ranks = Some(ranks.count());
                metrics.exchange_ms = Some((ranks.exchanging() - exchanging).as_secs_f64() * 1e3);
            }
            last_loss = Some(metrics.loss);
            if let Some(folder) = &mut folder {
                folder.log.write(&metrics)?;
                if let Some(events) = &mut folder.events {
                    events.write(&metrics)?;
                }
                observer.step(&metrics)?;
                if run.sample_every > 0 && session.step.is_multiple_of(run.sample_every) {
                    observer.sample(session.step, &mut session.denoiser()?)?;
                }
            }
            let [stop, write] = ranks.agree(Ok([cancelled(), first && due.at(session.step)]))?;
            if write || stop {
                if ranks.count() > 1 {
                    let own = session.fingerprint();
                    let parameters = format!("{:016x}", ranks.all(own)?);
                    ranks.alike(&serde_json::json!({ "step": session.step, "parameters": parameters }))?;
                }
                if let Some(folder) = &mut folder {
                    folder.log.sync()?;
                    let written = session.checkpoint()?.write(&config.out)?;
                    checkpoint::prune(&config.out, run.keep_last, run.keep_every)?;
                    observer.checkpoint(session.step, &written)?;
                    newest = Some(written);
                    due.written();
                    kept = session.step;
                }
            }
            if stop {
                break;
            }
        }
        Ok(())
    });
    if let Err(Error::LostRanks { ranks: lost, .. }) = &looped {
        if first && session.step > kept {
            // The loss of a rank is what is told; the steps since the newest checkpoint are all that can be lost here.
            match session.checkpoint().and_then(|checkpoint| checkpoint.write(&config.out)) {
                Ok(written) => tracing::info!("{} was kept", written.display()),
                Err(error) => tracing::warn!("the last steps could not be kept: {error}"),
            }
        } else if !first && !lost.contains(&0) {
            wait_for_the_first(&config.out, session.step);
        }
    }
    looped?;
    let ending =
        if first { ending(config, newest, last_loss) } else { Ok((named(config, session.step), None)) };
    // The last checkpoint is whole when all come past here, and after it nothing can fail: nobody would hear of it.
    let (checkpoint, overfit) = ranks.all(ending)?;
    Ok(Outcome { step: session.step, checkpoint, interrupted: session.step < last, overfit })
}

/// What the rank that writes a run's folder finds in it at the end: the newest checkpoint, and what has come of the one
/// batch, if it was one.
fn ending(
    config: &TrainConfig,
    newest: Option<PathBuf>,
    last_loss: Option<f64>,
) -> Result<(PathBuf, Option<Overfit>)> {
    let checkpoint = newest.map_or_else(|| checkpoint::latest(&config.out), Ok)?;
    let losses = if config.run.overfit_one_batch { RunLog::losses(&config.out)? } else { None };
    Ok((checkpoint, losses.map(|(first, last)| Overfit { first, last: last_loss.unwrap_or(last) })))
}

/// The checkpoint of a step, for who does not look whether it is there.
fn named(config: &TrainConfig, step: usize) -> PathBuf {
    config.out.join("checkpoints").join(checkpoint::name(step))
}

/// Lets the first rank keep the steps up to `step` before this one ends: some launchers end all processes with the first
/// that does.
fn wait_for_the_first(out: &Path, step: usize) {
    const MOST: Duration = Duration::from_secs(30);
    const TO_TELL: Duration = Duration::from_millis(500);
    let (since, name) = (Instant::now(), checkpoint::name(step));
    let written =
        || checkpoint::latest(out).is_ok_and(|newest| newest.file_name().is_some_and(|n| n == name.as_str()));
    while since.elapsed() < MOST && !written() {
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(TO_TELL);
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
        let late = minutes > 0.0 && self.written.elapsed().as_secs_f64() >= 60.0 * minutes;
        step == self.last || every(self.run.checkpoint_every) || every(self.run.keep_every) || late
    }

    fn written(&mut self) {
        self.written = Instant::now();
    }
}

/// What the process that writes a run's folder holds.
struct Folder {
    log: RunLog,
    events: Option<EventFile>,
    _lock: FolderLock,
}

fn clean_folder(config: &TrainConfig) -> Result<Option<FolderLock>> {
    if !config.out.join("checkpoints").is_dir() {
        return Ok(None);
    }
    let lock = FolderLock::take(&config.out)?;
    checkpoint::clean(&config.out)?;
    Ok(Some(lock))
}

/// Makes the folder if there is none, and keeps others out of it.
fn hold_folder(config: &TrainConfig, lock: Option<FolderLock>) -> Result<FolderLock> {
    std::fs::create_dir_all(&config.out).map_err(Error::io(&config.out))?;
    match lock {
        Some(lock) => Ok(lock),
        None => Ok(FolderLock::take(&config.out)?),
    }
}

fn take_folder(
    config: &TrainConfig,
    examples: &dyn Examples,
    start: StartOptions,
    lock: FolderLock,
    step: usize,
) -> Result<Folder> {
    prepare_folder(config, examples, start)?;
    let log = RunLog::open(&config.out, step)?;
    let events = config.run.tensorboard.then(|| EventFile::begin(&config.out, step)).transpose()?;
    Ok(Folder { log, events, _lock: lock })
}

/// The checkpoints in a run's folder. Refuses to mix two runs in it.
fn existing(out: &Path, start: StartOptions) -> Result<Vec<PathBuf>> {
    let existing = checkpoint::list(out)?;
    match existing.last() {
        Some(newest) if !start.resume && !start.overwrite => {
            let name = newest.file_name().unwrap_or_default().to_string_lossy();
            let hint = "add --resume to go on, --overwrite to begin again, or choose another `out`";
            Err(Error::content(out, format!("holds a run already (newest: {name})\n\nhint: {hint}")))
        }
        _ => Ok(existing),
    }
}

/// Refuses to mix two runs in one folder, then leaves the resolved configuration and the codec in it.
fn prepare_folder(config: &TrainConfig, examples: &dyn Examples, start: StartOptions) -> Result<()> {
    let out = &config.out;
    let existing = existing(out, start)?;
    if !start.resume {
        for old in &existing {
            checkpoint::remove(old)?;
        }
    }
    checkpoint::clean(out)?;
    write_bytes_atomically(&out.join("config.toml"), config.to_toml()?.as_bytes())?;
    if let Some(codec) = examples.codec() {
        copy_atomically(&codec, &out.join("codec.safetensors"))?;
    }
    failure::forget(out)?;
    let stale = out.join(GRADIENTS_FILE);
    if (existing.is_empty() || start.overwrite) && stale.is_file() {
        std::fs::remove_file(&stale).map_err(Error::io(&stale))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_at_its_steps_and_minutes_however_many() {
        let text =
            "data = 'd'\nout = 'o'\n[run]\nsteps = 9\ncheckpoint_every = 4\ncheckpoint_minutes = 1e300\n";
        let config = TrainConfig::parse(text, Path::new("run.toml")).unwrap();
        let due = |run: &RunConfig| (1..=9).filter(|&step| Due::new(run, 9).at(step)).collect::<Vec<_>>();
        assert_eq!(due(&config.run), [4, 8, 9]);
        let soon = RunConfig { checkpoint_minutes: 1e-300, ..config.run };
        assert_eq!(due(&soon).len(), 9);
    }
}
