//! The training loop, and what a run leaves in its folder.

use crate::checkpoint;
use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::examples::Examples;
use crate::session::{Session, StepMetrics};
use avdit_media::atomic::FolderLock;
use std::io::Write;
use std::path::{Path, PathBuf};

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
}

/// Trains, or goes on training, and leaves checkpoints, `metrics.jsonl`, `config.toml` and the codec in the run's folder.
///
/// Nothing is written or removed before configuration, data and checkpoint have been accepted.
///
/// # Errors
/// A configuration, data or file error before or during the run; [`Error::NoGradient`] after the first backward pass;
/// [`Error::NotFinite`] as soon as the loss or the gradient is. Checkpoints written before stay whole.
pub fn train(
    config: &TrainConfig,
    examples: &dyn Examples,
    start: StartOptions,
    on_step: &mut dyn FnMut(&StepMetrics),
    cancelled: &dyn Fn() -> bool,
) -> Result<Outcome> {
    let mut session = Session::open(config, examples, start.resume)?;
    std::fs::create_dir_all(&config.out).map_err(Error::io(&config.out))?;
    let _lock = FolderLock::take(&config.out)?;
    prepare_folder(config, examples, start)?;
    let metrics_path = config.out.join("metrics.jsonl");
    let mut metrics = open_metrics(&metrics_path, session.step)?;
    let last = start.until.unwrap_or(config.run.steps).min(config.run.steps);
    let mut newest = None;
    while session.step < last {
        let step = session.advance()?;
        serde_json::to_writer(&mut metrics, &step).map_err(|error| Error::content(&metrics_path, error))?;
        metrics.write_all(b"\n").map_err(Error::io(&metrics_path))?;
        on_step(&step);
        let stop = cancelled();
        if stop || session.step == last || session.step.is_multiple_of(config.run.checkpoint_every) {
            metrics.flush().map_err(Error::io(&metrics_path))?;
            newest = Some(session.checkpoint()?.write(&config.out)?);
            checkpoint::prune(&config.out, config.run.keep_last)?;
        }
        if stop {
            break;
        }
    }
    let checkpoint = match newest {
        Some(path) => path,
        None => checkpoint::latest(&config.out)?,
    };
    Ok(Outcome { step: session.step, checkpoint, interrupted: session.step < last })
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
    avdit_media::atomic::write_bytes_atomically(&out.join("config.toml"), config.to_toml()?.as_bytes())?;
    if let Some(codec) = examples.codec() {
        let bytes = std::fs::read(&codec).map_err(Error::io(&codec))?;
        avdit_media::atomic::write_bytes_atomically(&out.join("codec.safetensors"), &bytes)?;
    }
    Ok(())
}

/// Appends to the log of a run, after dropping lines past the step that is resumed from.
fn open_metrics(path: &Path, step: usize) -> Result<std::io::BufWriter<std::fs::File>> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Error::io(path)(error)),
    };
    // A line cut off by a crash has no step and goes.
    let step_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["step"].as_u64();
    let kept = text.lines().filter(|line| step_of(line).is_some_and(|s| s <= step as u64));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    avdit_media::atomic::write_bytes_atomically(path, kept.as_bytes())?;
    let file = std::fs::OpenOptions::new().append(true).open(path).map_err(Error::io(path))?;
    Ok(std::io::BufWriter::new(file))
}
