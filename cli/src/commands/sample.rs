//! `avdit sample`: model (and the user's files) → clips.

use crate::args::{ExtraFile, SampleArgs};
use crate::commands::bench::request;
use crate::commands::export::check_codec;
use crate::engines;
use crate::exit::Usage;
use crate::inputs::Given;
use crate::output::{say, say_json};
use crate::progress::Stage;
use anyhow::{Context, Result, bail};
use avdit_core::sampler::SamplerKind;
use avdit_core::sampling::Event;
use avdit_core::{Latents, SampleRequest, Task};
use avdit_export::ModelConfig;
use avdit_media::{Clip, EncodeOptions, write_clip};
use avdit_runtime::{Engine, EngineFacts, StepTimings, Summary, TimedSample, sample_timed};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

pub fn run(args: &SampleArgs) -> Result<()> {
    args.engine.setup.check(&[args.engine.engine])?;
    let inputs: Vec<&Path> = args.video.iter().chain(&args.audio).map(PathBuf::as_path).collect();
    check_outputs(&args.out, &args.also, &inputs)?;
    let path = args.model.join("codec.safetensors");
    let random = ModelConfig::read(&args.model).is_ok_and(|model| model.provenance.contains_key("random"));
    if random && !path.exists() {
        let what = "its weights are random and it has no codec, so it makes no clips\n\nhint: measure it with `avdit bench`, \
            or export a trained run";
        return Err(avdit_trainer::Error::content(&args.model, what).into());
    }
    let codec = crate::codec::open(&path)?;
    check_codec(&path, codec.as_ref(), &avdit_runtime::graph::read_spec(&args.model)?)?;
    let task = match (&args.task, &args.given) {
        (Some(task), _) => task.clone(),
        (None, text) => Task::Custom(text.clone().context("neither --task nor --given")?),
    };
    let mask = task.given(codec.layout().segments())?;
    check_variance(&args.model, args.sampler.sampler)?;
    let given = Given::read(codec.as_ref(), &mask, args.video.as_deref(), args.audio.as_deref())?;
    let mut engine = engines::open(&args.model, args.engine.engine, &args.engine.options())?;
    let request = request(&args.sampler, mask, 1);
    let sampled = with_progress(engine.as_mut(), &request, given.latents())?;
    let began = Instant::now();
    let clip = given.keep_originals(codec.decode(&sampled.latents)?);
    let decode_ms = began.elapsed().as_secs_f64() * 1e3;
    let recipe = recipe(&args.model, &task, &request, engine.facts(), &inputs)?;
    let files = write_sample(&args.out, &clip, &recipe, usize::from(args.scale), &args.also)?;
    let step = Summary::of(&sampled.timings.steps.iter().map(|step| step.wall_ms).collect::<Vec<_>>());
    if args.json {
        return say_json(&json!({
            "schema": "avdit-sample/1", "recipe": recipe, "files": files, "timings": sampled.timings,
            "decode_ms": decode_ms,
        }));
    }
    for file in &files {
        say(file.display().to_string());
    }
    if let Some(step) = step {
        tracing::info!(
            "{} steps on {}: {:.1} ms a step (p50); decoded in {:.2} s",
            request.steps,
            engine.name(),
            step.p50,
            decode_ms * 1e-3
        );
    }
    Ok(())
}

/// Refuses to sample with a variance that the run was told not to train.
fn check_variance(model: &Path, sampler: SamplerKind) -> Result<()> {
    if sampler != SamplerKind::DdpmLearned {
        return Ok(());
    }
    let provenance = ModelConfig::read(model)?.provenance;
    let weight = provenance.get("train").map(|train| &train["objective"]["variance_weight"]);
    if weight.and_then(Value::as_f64) == Some(0.0) {
        let what = "its variance was never trained (objective.variance_weight = 0)\n\nhint: --sampler ddpm does without";
        return Err(avdit_trainer::Error::content(model, what).into());
    }
    Ok(())
}

/// Samples with a bar.
pub fn with_progress(
    engine: &mut dyn Engine,
    request: &SampleRequest,
    given: Option<&Latents>,
) -> Result<TimedSample> {
    let mut stage = Stage::new(&format!("sample on {}", engine.name()), request.steps, "steps");
    let sampled = sample_timed(engine, request, given, &mut |event| {
        if let Event::StepEnd { index } = event {
            stage.set(index + 1, "");
        }
    })?;
    stage.finish(&mean_step(&sampled.timings));
    Ok(sampled)
}

fn mean_step(timings: &StepTimings) -> String {
    let steps = timings.steps.len().max(1) as f64;
    format!("{:.1} ms a step", timings.steps.iter().map(|step| step.wall_ms).sum::<f64>() / steps)
}

/// Refuses to write over what is read, or an mp4 under another name.
fn check_outputs(out: &Path, also: &[ExtraFile], inputs: &[&Path]) -> Result<()> {
    if out.extension().is_none_or(|extension| !extension.eq_ignore_ascii_case("mp4")) {
        let hint = "name it something.mp4; --also gif,wav,png writes other kinds beside it";
        bail!(Usage(format!("-o {}: an mp4 is written\n\nhint: {hint}", out.display())));
    }
    let extensions = also.iter().map(|extra| extra.extension());
    let outputs = ["json"].into_iter().chain(extensions).map(|extension| out.with_extension(extension));
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if out.is_dir() || !folder.is_dir() {
        let what = if out.is_dir() { "is a folder" } else { "lies in a folder that does not exist" };
        bail!(Usage(format!("-o {}: {what}", out.display())));
    }
    for output in std::iter::once(out.to_owned()).chain(outputs) {
        let place = output.canonicalize();
        for input in inputs {
            if place.is_ok() && input.canonicalize().ok() == place.as_ref().ok().cloned() {
                let what = format!("{} is an input and would be written over", input.display());
                bail!(Usage(format!("{what}\n\nhint: choose another -o")));
            }
        }
    }
    Ok(())
}

/// How a clip came to be: enough to make it again.
///
/// # Errors
/// If a file of the model or an input cannot be read.
pub fn recipe(
    model: &Path,
    task: &Task,
    request: &SampleRequest,
    facts: &EngineFacts,
    inputs: &[&Path],
) -> Result<Value> {
    let files = ["model.onnx", "model.onnx_data", "codec.safetensors"];
    let present = files.iter().map(|name| model.join(name)).filter(|path| path.is_file());
    let hash = |path: &Path| -> Result<Value> {
        let source =
            if path.is_file() { Value::from(avdit_media::codec::file_sha256(path)?) } else { Value::Null };
        Ok(json!({ "path": path, "sha256": source }))
    };
    Ok(json!({
        "schema": "avdit-recipe/1",
        "model": present.map(|path| hash(&path)).collect::<Result<Vec<_>>>()?,
        "inputs": inputs.iter().map(|path| hash(path)).collect::<Result<Vec<_>>>()?,
        "task": task.to_string(),
        "given": request.given.to_string(),
        "seed": request.seed,
        "item": request.first_item,
        "sampler": request.sampler.to_string(),
        "steps": request.steps,
        "guidance": request.guidance,
        "plan": request.plan.to_string(),
        "engine": { "name": facts.engine.name(), "version": facts.version },
        "avdit": env!("CARGO_PKG_VERSION"),
    }))
}

/// Writes the mp4 with its recipe, and what else is asked for beside it; returns the files.
pub fn write_sample(
    path: &Path,
    clip: &Clip,
    recipe: &Value,
    scale: usize,
    also: &[ExtraFile],
) -> Result<Vec<PathBuf>> {
    write_clip(path, clip, Some(recipe), EncodeOptions { scale })?;
    let mut files = vec![path.to_owned(), path.with_extension("json")];
    for extra in also {
        let path = path.with_extension(extra.extension());
        match (extra, &clip.video, &clip.audio) {
            (ExtraFile::Gif, Some(video), _) => avdit_media::write_gif(&path, video, scale)?,
            (ExtraFile::Wav, _, Some(audio)) => avdit_media::write_wav(&path, audio)?,
            (ExtraFile::Png, _, _) => avdit_media::write_sheet(&path, clip)?,
            _ => continue,
        }
        files.push(path);
    }
    Ok(files)
}
