//! The gate: the finished graph against its source, in quality and in time.

use super::quality::{Latency, Quality, Size, file_name};
use super::recipe::Made;
use super::{Job, curve};
use crate::progress::Stage;
use anyhow::Result;
use avdit_core::Latents;
use avdit_media::write_sheet;
use avdit_media::{EncodeOptions, write_clip};
use avdit_quantize::quality::{predictions, trajectory};
use avdit_runtime::machine::cpu_seconds;
use avdit_runtime::{Engine, Summary};
use std::path::Path;

/// Predictions of each model that are timed, in turn.
const ROUNDS: usize = 15;
/// Pixels of sample files are this many squared.
const SCALE: usize = 4;

/// Judges the graph in `folder`, and puts samples of both models there.
pub fn judge(job: &Job<'_>, folder: &Path, made: &Made, size: Size) -> Result<Quality> {
    let recipe = &made.recipe;
    let mut candidate = match &made.simulated {
        Some(model) => job.bench()?.engine(model).map_err(|error| anyhow::anyhow!(error))?,
        None => crate::engines::open(folder, job.args.engine, &job.options())?,
    };
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
    let mut source = crate::engines::open(job.source, job.args.engine, &job.options())?;
    stage.set(job.runs.len() + 2, "latency");
    let (engine, version) = (candidate.facts().engine, candidate.facts().version.clone());
    let latency = match &made.simulated {
        Some(_) => None,
        None => Some(latency(job, [source.as_mut(), candidate.as_mut()])?),
    };
    stage.finish(
        &latency.map_or("not timed".to_owned(), |latency| format!("{:.2} × the time", latency.ratio())),
    );
    let curve = match (&made.found, job.args.curve) {
        (Some(found), true) => curve::measure(job, made, found, source.as_mut())?,
        _ => Vec::new(),
    };
    let weight_bits = (recipe.precision.form())
        .filter(|form| form.quantizes_activations())
        .map(|_| recipe.integers.weight_bits);
    let quantized = match recipe.precision.half() {
        Some(_) => job.model.graph().node.len() - recipe.kept.len(),
        None => recipe.units.len(),
    };
    Ok(Quality {
        schema: Quality::SCHEMA.to_owned(),
        source: job.source.display().to_string(),
        precision: recipe.precision.name().to_owned(),
        target: job.target.name().to_owned(),
        simulated: made.simulated.is_some(),
        budget_snr_db: recipe.budget_snr_db,
        engine: format!("{} {version}", engine.name()),
        threads: job.args.threads.into(),
        sampler: job.plan.sampler.to_string(),
        steps: job.plan.steps,
        quantized,
        kept: recipe.kept.len(),
        smoothed: recipe.units.keys().filter(|unit| recipe.smoothing.contains_key(*unit)).count(),
        weight_bits,
        strata,
        tasks,
        latency,
        size,
        search: made.found.clone(),
        curve,
        samples,
    })
}

/// Predictions of both, in turn, so that whatever else the machine does hits both.
pub fn latency(job: &Job<'_>, engines: [&mut dyn Engine; 2]) -> Result<Latency> {
    let rounds = pairs(job, engines, ROUNDS)?;
    let p50 = |which: usize| {
        let times: Vec<f64> = rounds.iter().map(|pair| pair[which].wall_ms).collect();
        Summary::of(&times).map_or(0.0, |summary| summary.p50)
    };
    let mean = |which: usize| rounds.iter().map(|pair| pair[which].cpu_ms).sum::<f64>() / ROUNDS as f64;
    Ok(Latency {
        rounds: ROUNDS,
        source_p50_ms: p50(0),
        quantized_p50_ms: p50(1),
        source_cpu_ms: mean(0),
        quantized_cpu_ms: mean(1),
    })
}

/// What a prediction took.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub wall_ms: f64,
    pub cpu_ms: f64,
}

/// So many predictions of each of two engines, in turn, after one that warms up.
pub fn pairs(job: &Job<'_>, mut engines: [&mut dyn Engine; 2], rounds: usize) -> Result<Vec<[Took; 2]>> {
    let state = &job.states[job.states.len() / 2];
    let mut out = Latents::zeros(&job.config.spec.layout, 1);
    let mut took = Vec::new();
    for _ in 0..=rounds {
        let mut pair = [Took { wall_ms: 0.0, cpu_ms: 0.0 }; 2];
        for (pair, engine) in pair.iter_mut().zip(&mut engines) {
            let start = cpu_seconds();
            engine.predict(&state.noisy, &state.levels, &mut out)?;
            *pair = Took {
                wall_ms: engine.last_run().as_secs_f64() * 1e3,
                cpu_ms: (cpu_seconds() - start) * 1e3,
            };
        }
        took.push(pair);
    }
    took.remove(0);
    Ok(took)
}
