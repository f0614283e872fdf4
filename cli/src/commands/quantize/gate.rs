//! The gate: the finished graph against its source, in quality and in time.

use super::Job;
use super::quality::{Latency, Quality, Size, file_name};
use crate::progress::Stage;
use anyhow::Result;
use avdit_core::Latents;
use avdit_media::write_sheet;
use avdit_media::{EncodeOptions, write_clip};
use avdit_quantize::quality::{predictions, trajectory};
use avdit_quantize::{Found, Precision, Recipe};
use avdit_runtime::machine::cpu_seconds;
use avdit_runtime::{Engine, Summary};
use std::path::Path;

/// Predictions of each model that are timed, in turn.
const ROUNDS: usize = 15;
/// Pixels of sample files are this many squared.
const SCALE: usize = 4;

/// What was found, and the tasks that have samples.
pub struct Judged {
    pub quality: Quality,
    pub samples: Vec<String>,
}

/// Judges the graph in `folder`, and puts samples of both models there.
pub fn judge(
    job: &Job<'_>,
    folder: &Path,
    recipe: &Recipe,
    size: Size,
    search: Option<Found>,
) -> Result<Judged> {
    let mut candidate = crate::engines::open(folder, job.args.engine, &job.options())?;
    let mut stage = Stage::new("gate", job.runs.len() + 2, "checks");
    let strata = predictions(candidate.as_mut(), &job.states)?;
    let codec = folder.join("codec.safetensors");
    let codec = codec.is_file().then(|| crate::codec::open(&codec)).transpose()?;
    let (mut tasks, mut samples) = (Vec::new(), Vec::new());
    for (i, run) in job.runs.iter().enumerate() {
        stage.set(i + 1, &run.task.to_string());
        let (quality, latents) = trajectory(candidate.as_mut(), run)?;
        if let Some(codec) = &codec {
            let folder = folder.join("samples");
            std::fs::create_dir_all(&folder)?;
            for (name, latents) in [("source", &run.latents), ("quantized", &latents)] {
                let clip = codec.decode(latents)?;
                let path = folder.join(format!("{}-{name}", file_name(&quality.task)));
                write_sheet(&path.with_extension("png"), &clip)?;
                write_clip(&path.with_extension("mp4"), &clip, None, EncodeOptions { scale: SCALE })?;
            }
            samples.push(quality.task.clone());
        }
        tasks.push(quality);
    }
    let source = crate::engines::open(job.source, job.args.engine, &job.options())?;
    stage.set(job.runs.len() + 2, "latency");
    let (engine, version) = (candidate.facts().engine, candidate.facts().version.clone());
    let latency = latency(job, [source, candidate])?;
    let threads = job.args.threads.into();
    stage.finish(&format!("{:.2} × the time", latency.ratio()));
    let weight_bits = (recipe.precision == Precision::Int8Dynamic).then_some(recipe.integers.weight_bits);
    let quantized = match recipe.precision.half() {
        Some(_) => job.model.graph().node.len() - recipe.kept.len(),
        None => recipe.units.len(),
    };
    let quality = Quality {
        schema: Quality::SCHEMA.to_owned(),
        source: job.source.display().to_string(),
        precision: recipe.precision.name().to_owned(),
        budget_snr_db: recipe.budget_snr_db,
        engine: format!("{} {version}", engine.name()),
        threads,
        sampler: job.plan.sampler.to_string(),
        steps: job.plan.steps,
        quantized,
        kept: recipe.kept.len(),
        weight_bits,
        strata,
        tasks,
        latency,
        size,
        search,
    };
    Ok(Judged { quality, samples })
}

/// Predictions of both, in turn, so that whatever else the machine does hits both.
fn latency(job: &Job<'_>, mut engines: [Box<dyn Engine>; 2]) -> Result<Latency> {
    let state = &job.states[job.states.len() / 2];
    let mut out = Latents::zeros(&job.config.spec.layout, 1);
    let mut times: [Vec<f64>; 2] = Default::default();
    let mut cpu = [0.0; 2];
    for round in 0..=ROUNDS {
        for (which, engine) in engines.iter_mut().enumerate() {
            let start = cpu_seconds();
            engine.predict(&state.noisy, &state.levels, &mut out)?;
            // The first round warms up.
            if round > 0 {
                times[which].push(engine.last_run().as_secs_f64() * 1e3);
                cpu[which] += cpu_seconds() - start;
            }
        }
    }
    let p50 = |times: &[f64]| Summary::of(times).map_or(0.0, |summary| summary.p50);
    Ok(Latency {
        rounds: ROUNDS,
        source_p50_ms: p50(&times[0]),
        quantized_p50_ms: p50(&times[1]),
        source_cpu_ms: cpu[0] * 1e3 / ROUNDS as f64,
        quantized_cpu_ms: cpu[1] * 1e3 / ROUNDS as f64,
    })
}
