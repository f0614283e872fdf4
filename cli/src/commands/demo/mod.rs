//! `avdit demo`: the whole pipeline, from clips that it makes to a report that it shows.
//!
//! Every stage goes through the same code as the user's own files: the clips are written as mp4 and read back, the
//! network is trained from shards, exported, and run by the embedded engine.

mod compare;
mod law;
mod networks;
mod page;
mod samples;
mod stamp;

use self::law::HeldOut;
use crate::args::DemoArgs;
use crate::cancel;
use crate::clips;
use crate::commands::{export, prepare, train};
use crate::exit::Interrupted;
use crate::output::say;
use crate::progress::Stage;
use anyhow::{Context, Result};
use avdit_export::ExportOptions;
use avdit_media::codec::{Codec, LinearCodec};
use avdit_media::prepare::{CodecChoice, PrepareOptions};
use avdit_media::world::World;
use avdit_runtime::{EngineKind, EngineOptions, open};
use avdit_trainer::{StartOptions, checkpoint};
use std::path::PathBuf;
use std::time::Instant;

/// Training steps.
pub const STEPS: usize = 2600;
/// Clips to train on.
pub const CLIPS: usize = 768;
/// Clips that training never sees; the law is measured on them.
pub const HELD_OUT: usize = 48;
/// The index of the first of them in the world.
const FIRST_HELD_OUT: u32 = 1 << 20;
/// Sampling steps.
pub const SAMPLING_STEPS: usize = 20;

/// A stage that is done, for the report.
pub struct Done {
    name: &'static str,
    seconds: f64,
    ran: String,
}

/// Where everything is.
pub struct Folders {
    out: PathBuf,
}

impl Folders {
    fn at(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn held_out(&self, index: usize) -> PathBuf {
        self.at("held-out").join(format!("clip-{index:04}.mp4"))
    }
}

pub fn run(args: &DemoArgs) -> Result<()> {
    let started = Instant::now();
    let folders = Folders { out: args.out.clone() };
    stamp::claim(&folders, args)?;
    let mut stages = Vec::new();
    let mut done = |name, ran: String, since: Instant| {
        stages.push(Done { name, seconds: since.elapsed().as_secs_f64(), ran })
    };

    let since = Instant::now();
    let codec_config = crate::grids::codec_config(networks::grid(args.network))?;
    let world = World::new(args.seed, codec_config.grid);
    make_clips(&world, &folders, args.clips)?;
    done("make clips", "H.264 (OpenH264), AAC (syom)".into(), since);

    let since = Instant::now();
    let mut options = PrepareOptions::new(CodecChoice::Fit(codec_config));
    options.overwrite = true;
    let dataset = prepare::with_progress(&[folders.at("clips")], &folders.at("data"), &options)?;
    done("prepare: decode, audit, codec, shards", "built-in decoders, linear codec".into(), since);

    let mut trainings = networks::trainings(args, &folders)?;
    for (name, config) in &trainings {
        let since = Instant::now();
        let resume = !checkpoint::list(&config.out)?.is_empty();
        let outcome = train::with_progress(config, StartOptions { resume, ..StartOptions::default() })?;
        if outcome.interrupted {
            return Err(interrupted());
        }
        done(*name, "Candle, CPU".into(), since);
    }
    let config = trainings.pop().context("a network to train")?.1;

    let since = Instant::now();
    let stage = Stage::new("export ONNX and check it", 1, "graph");
    let record = export::export(&folders.at("run"), &folders.at("model"), true, &ExportOptions::default())?;
    let against: Vec<_> = record.parity.iter().map(|report| report.candidate.clone()).collect();
    stage.finish(&format!("{} parameters, same on {}", record.parameters, against.join(" and ")));
    done("export and check", format!("Candle against {}", against.join(" and ")), since);

    let codec = LinearCodec::load(&folders.at("model/codec.safetensors"))?;
    let mut engine = open(&folders.at("model"), EngineKind::Tract, &EngineOptions::default())?;
    let since = Instant::now();
    let samples = samples::make(&folders, &codec, engine.as_mut(), args.seed)?;
    done("sample every task", "tract".into(), since);

    check_cancelled()?;
    let since = Instant::now();
    let held_out = HeldOut::read(&folders, &codec, args.seed)?;
    let verdict = held_out.measure(engine.as_mut(), samples::USUAL)?;
    done("measure the law", "tract".into(), since);

    let since = Instant::now();
    let compared = compare::measure(&args.compare, &verdict, &held_out, engine.as_mut())?;
    if !compared.is_empty() {
        done("compare samplers", "tract".into(), since);
    }

    let since = Instant::now();
    let latency = measure_latency(&folders, &codec)?;
    done("measure latency", "tract, one thread".into(), since);

    let facts = page::Facts {
        args,
        folders: &folders,
        dataset: &dataset,
        config: &config,
        record: &record,
        codec: &codec,
    };
    page::write(&facts, &stages, &samples, &verdict, &compared, &latency, engine.facts())?;
    say_verdict(&verdict);
    compare::say_all(&compared);
    let page = folders.at("report.html");
    say(format!("{:.0} s in all; look and listen: {}", started.elapsed().as_secs_f64(), page.display()));
    Ok(())
}

/// What is said when the user has stopped the demo.
fn interrupted() -> anyhow::Error {
    Interrupted("run the same command again: it goes on from what is there".into()).into()
}

/// An error if the user wants to stop.
fn check_cancelled() -> Result<()> {
    if cancel::asked() { Err(interrupted()) } else { Ok(()) }
}

fn make_clips(world: &World, folders: &Folders, clips: usize) -> Result<()> {
    for name in ["clips", "held-out"] {
        let folder = folders.at(name);
        std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    }
    let training = (0..clips as u32).map(|i| (i, folders.at("clips").join(format!("clip-{i:04}.mp4"))));
    let held_out = (0..HELD_OUT).map(|i| (FIRST_HELD_OUT + i as u32, folders.held_out(i)));
    clips::write_missing("make clips", world, training.chain(held_out).collect())?;
    if cancel::asked() {
        return Err(
            Interrupted("run `avdit demo` again: it goes on from the clips that are there".into()).into()
        );
    }
    Ok(())
}

fn measure_latency(folders: &Folders, codec: &LinearCodec) -> Result<avdit_runtime::BenchReport> {
    let request = avdit_core::SampleRequest {
        steps: SAMPLING_STEPS,
        ..avdit_core::SampleRequest::new(codec.layout().segments())
    };
    let mut options = avdit_runtime::BenchOptions::new(request);
    options.clip_seconds = Some(codec.grid().duration_s());
    let mut stage = Stage::new("measure latency", options.min_runs, "runs");
    let engine = EngineOptions { threads: 1, ..EngineOptions::default() };
    let mut show = |progress| {
        if let avdit_runtime::bench::Progress::Ran { runs, .. } = progress {
            stage.set_total(runs.max(10));
            stage.set(runs, "");
        }
    };
    let report = avdit_runtime::bench(&folders.at("model"), EngineKind::Tract, &engine, &options, &mut show)?;
    stage.finish(&format!("{:.2} ms a step (p50)", report.step_ms.p50));
    Ok(report)
}

fn say_verdict(verdict: &[law::Law]) {
    for law in verdict {
        let a = &law.agreement;
        let learnt = if a.is_above_chance() { "follows the law" } else { "does not follow the law" };
        say(format!(
            "{}: {learnt}: height and pitch correlate {:.2}, shuffled {:.2}; difference {:.2} [{:.2}, {:.2}] (95 %) over {} clips",
            law.task,
            a.matched.mean,
            a.shuffled.mean,
            a.difference.mean,
            a.difference.low,
            a.difference.high,
            a.clips
        ));
        if let Some(both) = &a.hue_timbre {
            let agree = if both.low > 0.0 { "agree" } else { "do not agree" };
            say(format!(
                "  colour and timbre, which last through a clip, {agree}: they correlate {:.2} [{:.2}, {:.2}] over clips",
                both.mean, both.low, both.high
            ));
        }
        if let Some(motion) = law.motion {
            say(format!(
                "  the ball's height changes its course {motion:.2} times as much as in true clips, frame by frame"
            ));
        }
    }
}
