//! `avdit train codec`: clips → a learned codec, its graphs, and what it loses beside linear codecs. `avdit codec`: what else
//! can be done with codecs.

pub mod assemble;
pub mod check;
mod clips;
mod graphs;
mod report;
mod split;

pub use graphs::export;

use crate::args::CodecArgs;
use crate::cancel;
use crate::codec::FILE;
use crate::exit::Interrupted;
use crate::grids::codec_config;
use crate::output::say_json;
use crate::place;
use crate::progress::Stage;
use anyhow::{Context, Result};
use avdit_core::Modality;
use avdit_media::atomic::FolderLock;
use avdit_media::codec::ClipSource;
use avdit_trainer::Weights;
use avdit_trainer::codec::{CodecFile, CodecTraining, Training, finish};
use serde_json::json;
use std::io::Write;
use std::path::Path;

pub fn run(args: &CodecArgs) -> Result<()> {
    place::check_codec(&args.out)?;
    let grid = codec_config(&args.preset)?.grid;
    let config = config(args, CodecTraining::small(grid, args.seed)?)?;
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let _lock = FolderLock::take(&args.out)?;
    let clips = clips::open(args, grid)?;
    let mut weights = Weights::new();
    let mut seconds = serde_json::Map::new();
    for modality in Modality::ALL {
        let (trained, took) = train(args, &config, modality, clips.training.as_ref(), &clips.identity)?;
        weights.extend(trained);
        seconds.insert(modality.name().to_owned(), json!(took));
    }
    let codec = finish(&config, weights, clips.training.as_ref())?;
    let path = args.out.join(FILE);
    codec.write(&path)?;
    check_cancelled()?;
    let record = graphs::write(&codec, &path, &args.out)?;
    let report = report::make(args, &codec, &clips)?;
    let value = json!({
        "schema": "avdit-codec-report/1", "codec": path, "clips": clips.identity, "held_out": clips.held_out.len(),
        "held_out_how": clips.apart.held_out_how, "held_out_files": clips.apart.held_out_files,
        "left_out": clips.apart.left_out, "layout": codec.layout(), "train_seconds": seconds, "rows": report.rows, "sheets": report.sheets,
        "parity": record.parity,
    });
    let text = crate::output::json_text(&value)? + "\n";
    avdit_media::atomic::write_bytes_atomically(&args.out.join("codec-report.json"), text.as_bytes())?;
    if args.json {
        return say_json(&value);
    }
    graphs::say_record(&record, &args.out);
    clips.apart.say();
    report.say(&codec, &path);
    Ok(())
}

/// The configuration with what was typed.
fn config(args: &CodecArgs, mut config: CodecTraining) -> Result<CodecTraining> {
    config.video.steps = args.video_steps.unwrap_or(config.video.steps);
    config.audio.steps = args.audio_steps.unwrap_or(config.audio.steps);
    if let Some(batch) = args.batch {
        (config.video.batch, config.audio.batch) = (batch, batch);
    }
    if let Some(lr) = args.lr {
        (config.video.optimizer.lr, config.audio.optimizer.lr) = (lr, lr);
    }
    let (video, audio) = (&mut config.autoencoder.video, &mut config.autoencoder.audio);
    video.channels = args.video_channels.unwrap_or(video.channels);
    audio.channels = args.audio_channels.unwrap_or(audio.channels);
    config.check()?;
    Ok(config)
}

/// Trains one modality, or goes on; returns the averaged parameters and the seconds that it took now.
fn train(
    args: &CodecArgs,
    config: &CodecTraining,
    modality: Modality,
    clips: &dyn ClipSource,
    identity: &str,
) -> Result<(Weights, f64)> {
    let mut training = Training::open(config, modality, clips, &args.out, identity)?;
    let steps = training.steps();
    let mut log = open_log(&args.out.join(format!("{}.metrics.jsonl", modality.name())), training.step)?;
    let mut stage = Stage::new(&format!("train {} codec", modality.name()), steps, "steps");
    let mut smooth: Option<f64> = None;
    while training.step < steps {
        let step = training.advance()?;
        serde_json::to_writer(&mut log, &step)?;
        log.write_all(b"\n")?;
        let loss = smooth.map_or(step.reconstruction, |old| 0.98 * old + 0.02 * step.reconstruction);
        smooth = Some(loss);
        stage.set(step.step, &format!("loss {loss:.4}, {:.0} ms/step", step.step_ms));
        let stop = cancel::asked();
        if stop || step.step == steps || step.step.is_multiple_of(args.save_every as usize) {
            log.flush()?;
            training.save()?;
        }
        if stop {
            return Err(interrupted());
        }
    }
    let note = smooth.map_or("nothing left to do".to_owned(), |loss| format!("loss {loss:.4}"));
    let took = stage.finish(&format!("{steps} steps, {note}"));
    Ok((training.ema()?, took))
}

/// The log of a training, without lines past the step that it goes on from.
fn open_log(path: &Path, step: usize) -> Result<std::io::BufWriter<std::fs::File>> {
    let text = if path.exists() { std::fs::read_to_string(path)? } else { String::new() };
    let step_of = |line: &str| serde_json::from_str::<serde_json::Value>(line).ok()?["step"].as_u64();
    let kept = text.lines().filter(|line| step_of(line).is_some_and(|s| s <= step as u64));
    let kept: String = kept.flat_map(|line| [line, "\n"]).collect();
    avdit_media::atomic::write_bytes_atomically(path, kept.as_bytes())?;
    Ok(std::io::BufWriter::new(std::fs::OpenOptions::new().append(true).open(path)?))
}

fn interrupted() -> anyhow::Error {
    Interrupted("run the same command again: it goes on from here".into()).into()
}

fn check_cancelled() -> Result<()> {
    if cancel::asked() { Err(interrupted()) } else { Ok(()) }
}

/// Whether a folder holds a learned codec (and no run, which would come first).
pub fn is_codec(folder: &Path) -> bool {
    let file = crate::codec::file_of(folder);
    let is_run = folder.is_dir() && avdit_trainer::checkpoint::is_run(folder).unwrap_or(false);
    file.is_file() && !is_run && CodecFile::kind(&file).is_ok_and(|kind| kind == "learned")
}
