//! The demo's report.

use super::compare::{self, Compared};
use super::law::Law;
use super::samples::Sample;
use super::{Done, Folders, networks};
use crate::args::DemoArgs;
use crate::output::command_line;
use crate::report::{self, data};
use anyhow::{Context, Result};
use avdit_core::{Modality, Task};
use avdit_export::ExportRecord;
use avdit_media::codec::{Codec, LinearCodec};
use avdit_media::prepare;
use avdit_runtime::{BenchReport, EngineFacts, Summary};
use avdit_trainer::TrainConfig;
use serde_json::Value;

/// Points of the loss curve that are drawn, at most.
const POINTS: usize = 600;

/// What the stages leave behind.
pub struct Facts<'a> {
    pub args: &'a DemoArgs,
    pub folders: &'a Folders,
    pub dataset: &'a prepare::Summary,
    pub config: &'a TrainConfig,
    pub record: &'a ExportRecord,
    pub codec: &'a LinearCodec,
}

pub fn write(
    facts: &Facts<'_>,
    stages: &[Done],
    samples: &[Sample],
    laws: &[Law],
    compared: &[Compared],
    latency: &BenchReport,
    engine: &EngineFacts,
) -> Result<()> {
    let report = data::Report {
        title: "avdit demo".into(),
        summary: format!(
            "Clips in which a bouncing ball's height is the pitch of a tone were written as mp4 files, read back, \
             encoded, and {}, exported to ONNX and sampled by the embedded engine.",
            networks::words(facts.args.network)
        ),
        created: humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string(),
        command: command_line().join(" "),
        seed: Some(facts.args.seed),
        agreement: laws.iter().map(agreement).collect(),
        compared: compare::rows(compared),
        tasks: task_samples(samples),
        training: Some(training(facts, laws)?),
        latency: vec![step_latency(latency)],
        engines: engines(facts, engine),
        stages: stages.iter().map(stage).collect(),
        dataset: Some(dataset(facts)),
        codec: Some(codec(facts)),
        machine: machine(latency),
        versions: vec![
            data::Fact::new("avdit", env!("CARGO_PKG_VERSION")),
            data::Fact::new("tract", &engine.version),
            data::Fact::new("ONNX opset", facts.record.opset.to_string()),
        ],
        not_run: vec![data::NotRun {
            what: "GPU engines (CUDA, TensorRT)".into(),
            why: "the demo runs on the CPU; nothing in this report ran on a GPU".into(),
        }],
    };
    report::write(&facts.folders.out, &report)
}

fn stage(done: &Done) -> data::Stage {
    data::Stage { name: done.name.into(), seconds: done.seconds, what: done.ran.clone(), note: String::new() }
}

pub fn interval(x: avdit_media::world::Interval) -> data::Interval {
    data::Interval { mean: x.mean, low: x.low, high: x.high }
}

fn agreement(law: &Law) -> data::Agreement {
    let a = &law.agreement;
    data::Agreement {
        task: law.task.to_string(),
        measure: "the correlation of the ball's height and the pitch, frame by frame".into(),
        n_clips: a.clips,
        n_without_track: a.without_track,
        matched: interval(a.matched),
        shuffled: interval(a.shuffled),
        difference: interval(a.difference),
        ceiling: Some(law.ceiling),
    }
}

fn media(name: &str) -> data::Media {
    let file = |extension: &str| format!("samples/{name}.{extension}");
    data::Media { mp4: file("mp4"), gif: file("gif"), wav: file("wav"), png: file("png") }
}

fn task_samples(samples: &[Sample]) -> Vec<data::TaskSamples> {
    let mut tasks: Vec<data::TaskSamples> = Vec::new();
    for sample in samples {
        let task = match &sample.task {
            Task::Continue(_) => "continue".to_owned(),
            other => other.to_string(),
        };
        if tasks.last().is_none_or(|last| last.task != task) {
            tasks.push(data::TaskSamples { task, ..Default::default() });
        }
        let given =
            |modality| (0..sample.mask.segments()).map(|n| sample.mask.is_given(modality, n)).collect();
        let text = |key: &str| sample.recipe[key].as_str().unwrap_or_default().to_owned();
        let guidance = sample.recipe["guidance"].as_f64().filter(|&g| g != 1.0);
        if let Some(last) = tasks.last_mut() {
            last.samples.push(data::Sample {
                name: sample.name.clone(),
                media: media(&sample.name),
                given_video: given(Modality::Video),
                given_audio: given(Modality::Audio),
                reference: sample.reference.as_deref().map(media),
                recipe: data::Recipe {
                    seed: sample.recipe["seed"].as_u64().unwrap_or_default(),
                    sampler: text("sampler"),
                    steps: sample.recipe["steps"].as_u64().unwrap_or_default() as usize,
                    guidance: guidance.map_or("none".into(), |g| format!("{g:.1}")),
                    engine: sample.recipe["engine"]["name"].as_str().unwrap_or_default().into(),
                },
                agreement: None,
            });
        }
    }
    tasks
}

/// The loss curve from the run's own log, every so many steps averaged into one point.
fn training(facts: &Facts<'_>, laws: &[Law]) -> Result<data::Training> {
    let path = facts.folders.at("run/metrics.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let lines: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    let number = |line: &Value, key: &str| line[key].as_f64().unwrap_or(f64::NAN);
    let mean = |part: &[Value], key: &str| {
        part.iter().map(|line| number(line, key)).sum::<f64>() / part.len() as f64
    };
    let points = lines.chunks(lines.len().div_ceil(POINTS).max(1)).map(|part| data::LossPoint {
        step: part.last().map_or(0, |line| number(line, "step") as usize),
        video: mean(part, "loss_video"),
        audio: mean(part, "loss_audio"),
        learning_rate: Some(mean(part, "lr")),
    });
    let config = facts.config;
    let mut times: Vec<f64> = lines.iter().map(|line| number(line, "step_ms")).collect();
    times.sort_by(f64::total_cmp);
    let median = times.get(times.len() / 2).copied().unwrap_or(f64::NAN);
    let lasting = laws.iter().filter_map(|law| {
        let x = law.agreement.hue_timbre?;
        let value = format!("{:.2} [{:.2}, {:.2}]", x.mean, x.low, x.high);
        Some(data::Fact::new(format!("correlation of colour and timbre over clips, {}", law.task), value))
    });
    let motion = laws.iter().find_map(|law| law.motion).map(|motion| {
        let what = "changes of the ball's course, frame by frame, to those in true clips";
        data::Fact::new(what, format!("{motion:.2} ×"))
    });
    Ok(data::Training {
        points: points.collect(),
        loss: format!("mean square error of {:?} over the noisy cells", config.objective.target)
            .to_lowercase(),
        facts: std::iter::once(data::Fact::new("parameters", facts.record.parameters.to_string()))
            .chain(trained(facts)?)
            .chain([
                data::Fact::new("steps × batch", format!("{} × {}", config.run.steps, config.run.batch)),
                data::Fact::new("learning rate", format!("{:.0e}, cosine", config.optimizer.lr)),
                data::Fact::new("levels", levels(config)),
                data::Fact::new("step", format!("{median:.0} ms (median)")),
            ])
            .chain(motion)
            .chain(lasting)
            .collect(),
    })
}

/// How much of the network training moves, where that is not all.
fn trained(facts: &Facts<'_>) -> Result<Option<data::Fact>> {
    let network = facts.config.network(facts.codec.layout())?;
    let count = network.trained_count();
    Ok((count < facts.record.parameters).then(|| data::Fact::new("of which are trained", count.to_string())))
}

/// The level strategy in words.
fn levels(config: &TrainConfig) -> String {
    let names = ["vanilla", "per modality", "per segment", "per segment and modality"];
    let weights =
        names.iter().zip(config.objective.monl_weights).map(|(name, weight)| format!("{name} {weight}"));
    format!("MoNL, weights: {}", weights.collect::<Vec<_>>().join(", "))
}

fn summary(x: &Summary) -> data::Summary {
    data::Summary { n: x.n, p50: x.p50, p90: x.p90, p99: x.p99, mean: x.mean, cv: x.cv }
}

fn step_latency(bench: &BenchReport) -> data::Latency {
    let by_step = bench.step_ms_by_index.iter().map(|x| data::StepLatency { p50_ms: x.p50, p90_ms: x.p90 });
    data::Latency {
        engine: bench.facts.engine.name().into(),
        threads: bench.facts.threads,
        batch: bench.sampling.batch,
        protocol: format!(
            "{} runs of {} steps of {}, after a warm-up",
            bench.runs, bench.sampling.steps, bench.sampling.sampler
        ),
        step: summary(&bench.step_ms),
        network: Some(summary(&bench.network_ms)),
        copies: Some(summary(&bench.copies_ms)),
        sampler: Some(summary(&bench.sampler_ms)),
        by_step: by_step.collect(),
        clip_s: Some(1.0 / bench.clips_per_s),
        clip_seconds_per_s: bench.clip_seconds_per_s,
    }
}

fn engines(facts: &Facts<'_>, engine: &EngineFacts) -> Vec<data::EngineUse> {
    let placement = engine.placement.iter().map(|place| match place.nodes {
        Some(nodes) => format!("{nodes} nodes on {}", place.device),
        None => format!("all on {}", place.device),
    });
    let mut used = vec![
        data::EngineUse {
            what: "training".into(),
            engine: "candle".into(),
            placement: "all on the CPU".into(),
            ..Default::default()
        },
        data::EngineUse {
            what: "samples, law, latency".into(),
            engine: engine.engine.name().into(),
            version: engine.version.clone(),
            library: engine.library.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
            placement: placement.collect::<Vec<_>>().join(", "),
        },
    ];
    for report in &facts.record.parity {
        let worst = report.worst().and_then(|case| case.relative_error).unwrap_or(f64::INFINITY);
        used.push(data::EngineUse {
            what: format!("export check: within {worst:.0e} of the checkpoint"),
            engine: report.candidate.clone(),
            placement: "all on the CPU".into(),
            ..Default::default()
        });
    }
    used
}

fn dataset(facts: &Facts<'_>) -> data::Dataset {
    let grid = facts.codec.grid();
    let left_out = facts.dataset.rows.iter().filter_map(|row| {
        let reason = row.reason?.describe().to_owned();
        Some(data::LeftOut { clip: row.source.clone(), reason, detail: row.detail.clone() })
    });
    data::Dataset {
        source: "made by this demo: mp4 files in clips/".into(),
        n_kept: facts.dataset.dataset.clips,
        left_out: left_out.collect(),
        facts: vec![
            data::Fact::new(
                "pictures",
                format!("{} frames of {}×{} at {} fps", grid.frames, grid.width, grid.height, grid.fps),
            ),
            data::Fact::new(
                "sound",
                format!("{} samples at {} Hz, mono", grid.samples(), grid.sample_rate_hz),
            ),
            data::Fact::new("held out", format!("{} clips, never trained on", super::HELD_OUT)),
        ],
    }
}

fn codec(facts: &Facts<'_>) -> data::Codec {
    let layout = facts.codec.layout();
    let (v, a) = (&layout.video, &layout.audio);
    let quality = facts.dataset.codec.as_ref().map(|report| &report.reconstruction);
    data::Codec {
        name: facts.codec.name().into(),
        n_clips: quality.map_or(0, |quality| quality.clips),
        video_psnr_db: quality.map(|quality| quality.video_psnr_db),
        audio_distance_db: quality.map(|quality| quality.audio_log_spectral_distance_db),
        facts: vec![
            data::Fact::new(
                "video latents",
                format!("{} × {} × {} × {}", v.frames, v.channels, v.height, v.width),
            ),
            data::Fact::new("audio latents", format!("{} × {}", a.frames, a.channels)),
            data::Fact::new("segments", format!("video {:?}, audio {:?}", v.segments, a.segments)),
        ],
    }
}

fn machine(bench: &BenchReport) -> data::Machine {
    let machine = &bench.machine;
    data::Machine {
        cpu: machine.cpu.clone(),
        cores: machine.threads,
        memory_bytes: machine.memory_bytes,
        os: machine.os.clone(),
        facts: vec![data::Fact::new(
            "matrix product, one thread",
            format!("{:.0} GFLOP/s", bench.cpu.matmul_gflop_per_s),
        )],
    }
}
