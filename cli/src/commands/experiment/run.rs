//! One run of the experiment: train, export, sample every task, measure; each stage is kept when it is done.

use super::measured::{Measured, measure};
use super::part::Part;
use super::reality::{Reality, file_name};
use super::results::Agreements;
use super::settings::{Method, RunId, Settings};
use super::{check_cancelled, score};
use crate::args::ExtraFile;
use crate::cancel;
use crate::commands::export;
use crate::commands::sample::{recipe, write_sample};
use crate::engines;
use crate::exit::Usage;
use crate::progress::Stage;
use anyhow::{Context, Result, bail};
use avdit_core::{Latents, Modality, SampleRequest, Task};
use avdit_export::{ExportOptions, Lowering};
use avdit_media::Clip;
use avdit_media::atomic::{FolderLock, write_bytes_atomically};
use avdit_media::codec::Codec;
use avdit_media::metrics::FeatureSpace;
use avdit_media::shard::Dataset;
use avdit_runtime::machine::{Machine, cpu_seconds};
use avdit_runtime::{Engine, EngineKind, EngineOptions, sample_timed};
use avdit_trainer::checkpoint::{list, read_json, write_json};
use avdit_trainer::{StartOptions, StepMetrics, TrainConfig, train};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Clips of each task that are kept to look at.
pub const SHOWN: usize = 4;
/// Pixels of those files are this many squared.
const SCALE: usize = 4;

/// Wall and processor time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cost {
    pub wall_s: f64,
    pub cpu_s: f64,
}

/// What a run took. What a process did before it was killed in the middle of a stage is not in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunCost {
    pub train: Cost,
    pub export: Cost,
    /// Networks, decoding and measuring.
    pub sample: Cost,
    /// Of `sample`, the networks alone.
    pub network: Cost,
    /// Distances with their resamples, and agreements.
    pub score: Cost,
}

/// `result.json`: that a run is finished, and what it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunResult {
    pub schema: String,
    pub world: String,
    pub method: String,
    pub seed: u64,
    /// Of the training, as plain values: a report reads those of other versions too.
    pub config: Value,
    pub parameters: usize,
    pub tasks: Vec<String>,
    pub samples: usize,
    pub engine: EngineUsed,
    /// Mean loss of the last tenth of the steps; of one strategy only comparable with itself.
    pub last_loss: f64,
    pub cost: RunCost,
    pub threads: usize,
    pub machine: Machine,
    /// This program: version, commit where its build was told, digest of the file.
    pub program: BTreeMap<String, String>,
}

/// What ran the network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EngineUsed {
    pub name: String,
    pub version: String,
}

/// Where a run's files are.
#[derive(Clone, Debug)]
pub struct RunFolder(pub PathBuf);

impl RunFolder {
    pub fn of(out: &Path, id: &RunId) -> Self {
        Self(out.join(id.to_string()))
    }

    pub fn result(&self) -> PathBuf {
        self.0.join("result.json")
    }

    pub fn measured(&self, task: &Task) -> PathBuf {
        self.0.join(format!("{}.safetensors", file_name(task)))
    }

    pub fn sample(&self, task: &Task, index: usize) -> PathBuf {
        self.0.join("samples").join(format!("{}-{index}.mp4", file_name(task)))
    }

    /// The result, if the run is finished; of the training that `id` means now, or it is refused.
    pub fn finished_as(&self, id: &RunId, settings: &Settings) -> Result<Option<RunResult>> {
        let Some(result) = self.finished()? else { return Ok(None) };
        let config = Method::named(&id.method)?.train_config(settings, id.seed, "-".into(), "-".into())?;
        let differs = differences(&result.config, &serde_json::to_value(config)?, &["data", "out"]);
        if !differs.is_empty() {
            bail!(Usage(format!(
                "{}: finished with other settings than this program's:\n  {}\n\nhint: remove that folder to run it again, or \
                 go on with the program that it was run with",
                self.0.display(),
                differs.join("\n  ")
            )));
        }
        Ok(Some(result))
    }

    /// The result, if the run is finished.
    pub fn finished(&self) -> Result<Option<RunResult>> {
        let path = self.result();
        path.is_file().then(|| Ok(read_json(&path)?)).transpose()
    }
}

/// Everything a run needs beside its name.
pub struct Bench<'a> {
    pub out: &'a Path,
    pub settings: &'a Settings,
    pub reality: &'a Reality,
    pub engine: EngineKind,
    pub threads: usize,
}

/// Does what is left of a run; its result, or nothing if another process has it in hand.
pub fn run(bench: &Bench<'_>, id: &RunId) -> Result<Option<RunResult>> {
    let folder = RunFolder::of(bench.out, id);
    std::fs::create_dir_all(folder.0.join("samples")).with_context(|| folder.0.display().to_string())?;
    let _lock = match FolderLock::take(&folder.0) {
        Ok(lock) => lock,
        Err(avdit_media::Error::Busy { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if let Some(result) = folder.finished()? {
        return Ok(Some(result));
    }
    let (settings, reality) = (bench.settings, bench.reality);
    let method = Method::named(&id.method)?;
    let mut costs = Costs::open(&folder)?;

    let config = method.train_config(settings, id.seed, reality.place.data(), folder.0.join("run"))?;
    costs.take(|cost| &mut cost.train, || train_model(&config, id))?;

    let model = folder.0.join("model");
    let record = costs.take(
        |cost| &mut cost.export,
        || {
            let lowering =
                if bench.engine == EngineKind::OrtCpu { Lowering::OrtCpu } else { Lowering::default() };
            let options = ExportOptions { lowering, ..ExportOptions::default() };
            export::export(&config.out, &model, true, &options)
        },
    )?;

    let options =
        EngineOptions { threads: bench.threads, batch: settings.sampling.batch, ..EngineOptions::default() };
    let mut engine = engines::open(&model, bench.engine, &options)?;
    let tasks = method.tasks(settings)?;
    let mut stage = Stage::new(&format!("{id}: sample"), tasks.len() * settings.samples, "clips");
    for (done, task) in tasks.iter().enumerate() {
        if folder.measured(task).is_file() {
            continue;
        }
        let mut network = Cost::default();
        let show = |n: usize| stage.set(done * settings.samples + n, &task.to_string());
        costs.take(
            |cost| &mut cost.sample,
            || sample_task(bench, &folder, task, engine.as_mut(), &mut network, show),
        )?;
        costs.cost.network.wall_s += network.wall_s;
        costs.cost.network.cpu_s += network.cpu_s;
    }
    stage.finish(&format!("{} tasks on {}", tasks.len(), engine.name()));

    costs.take(
        |cost| &mut cost.score,
        || {
            tasks.iter().try_for_each(|task| -> Result<()> {
                score::distances(bench.out, &reality.place, settings, id, task)?;
                Agreements::of(&folder.measured(task)).map(drop)
            })
        },
    )?;
    let facts = engine.facts();
    let result = RunResult {
        schema: "avdit-experiment-run/1".into(),
        world: id.world.to_string(),
        method: id.method.clone(),
        seed: id.seed,
        parameters: record.parameters,
        tasks: tasks.iter().map(Task::to_string).collect(),
        samples: settings.samples,
        engine: EngineUsed { name: facts.engine.name().into(), version: facts.version.clone() },
        last_loss: last_loss(&config)?,
        cost: costs.cost,
        threads: bench.threads,
        machine: Machine::this(),
        program: program()?,
        config: serde_json::to_value(&config)?,
    };
    write_json(&folder.result(), &result)?;
    Ok(Some(result))
}

/// Where two configurations differ but for the settings `without`, in words. A setting that one of them does not have is
/// as good as its absence: versions differ in these.
pub fn differences(there: &Value, here: &Value, without: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    avdit_trainer::differences::of(there, here, &mut |name, there, here| {
        if !without.contains(&name) && !there.is_null() && !here.is_null() {
            found.push(format!("{name}: there {there}, here {here}"));
        }
    });
    found
}

/// What stages took, kept in a file from one process to the next.
struct Costs {
    path: PathBuf,
    cost: RunCost,
}

impl Costs {
    fn open(folder: &RunFolder) -> Result<Self> {
        let path = folder.0.join("cost.json");
        let cost = if path.is_file() { read_json(&path)? } else { RunCost::default() };
        Ok(Self { path, cost })
    }

    fn take<T>(
        &mut self,
        stage: fn(&mut RunCost) -> &mut Cost,
        work: impl FnOnce() -> Result<T>,
    ) -> Result<T> {
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        let result = work();
        let cost = stage(&mut self.cost);
        cost.wall_s += wall.elapsed().as_secs_f64();
        cost.cpu_s += cpu_seconds() - cpu;
        write_json(&self.path, &self.cost)?;
        result
    }
}

/// Trains, or goes on training.
fn train_model(config: &TrainConfig, id: &RunId) -> Result<()> {
    let examples = Dataset::open(&config.data)?;
    let start = StartOptions { resume: !list(&config.out)?.is_empty(), ..StartOptions::default() };
    let mut stage = Stage::new(&format!("{id}: train"), config.run.steps, "steps");
    let mut smooth: Option<(f64, f64)> = None;
    let mut on_step = |step: &StepMetrics| {
        let (loss, ms) = smooth.unwrap_or((step.loss, step.step_ms));
        smooth = Some((0.98 * loss + 0.02 * step.loss, 0.98 * ms + 0.02 * step.step_ms));
        stage.set(step.step, &format!("loss {loss:.3}, {ms:.0} ms/step"));
    };
    let outcome = train(config, &examples, start, &mut on_step, &cancel::asked)?;
    let said =
        smooth.map_or("trained before".into(), |(loss, ms)| format!("loss {loss:.3}, {ms:.0} ms/step"));
    stage.finish(&format!("step {}, {said}", outcome.step));
    if outcome.interrupted {
        return Err(super::interrupted());
    }
    Ok(())
}

/// Makes the clips of a task, measures them, and keeps a few to look at.
fn sample_task(
    bench: &Bench<'_>,
    folder: &RunFolder,
    task: &Task,
    engine: &mut dyn Engine,
    network: &mut Cost,
    mut show: impl FnMut(usize),
) -> Result<()> {
    let (settings, reality) = (bench.settings, bench.reality);
    let (codec, layout) = (&reality.codec, reality.codec.layout());
    let mask = task.given(layout.segments())?;
    let part = Part::of(&mask, codec);
    let makes = |modality| (0..mask.segments()).any(|n| !mask.is_given(modality, n));
    let made = (makes(Modality::Video), makes(Modality::Audio));
    let given = Modality::ALL.into_iter().any(|modality| mask.needs(modality));
    let space = FeatureSpace::new();
    let mut set = Measured::default();
    while set.len() < settings.samples {
        check_cancelled()?;
        let first = set.len();
        let items = first..(first + settings.sampling.batch).min(settings.samples);
        let request = SampleRequest {
            batch: items.len(),
            first_item: first as u32,
            seed: settings.sampling.seed,
            steps: settings.sampling.steps,
            sampler: settings.sampling.sampler,
            given: mask.clone(),
            ..SampleRequest::new(mask.segments())
        };
        let condition = given.then(|| reality.latents.slice(layout, items.clone()));
        let (wall, cpu) = (Instant::now(), cpu_seconds());
        let latents = sample_timed(engine, &request, condition.as_ref(), &mut |_| {})?.latents;
        network.wall_s += wall.elapsed().as_secs_f64();
        network.cpu_s += cpu_seconds() - cpu;
        let clips = (0..items.len()).into_par_iter().map(|i| -> Result<_> {
            let clip = decode(reality, &latents.item(layout, i), first + i, made)?;
            let one = measure(reality.place.kind, &space, &clip, made, part.as_ref())?;
            Ok(((first + i < SHOWN).then_some(clip), one))
        });
        for (i, (clip, one)) in clips.collect::<Result<Vec<_>>>()?.into_iter().enumerate() {
            set.push(one);
            if let Some(clip) = clip {
                let request = SampleRequest { first_item: (first + i) as u32, batch: 1, ..request.clone() };
                let recipe = recipe(&folder.0.join("model"), task, &request, engine.facts(), &[])?;
                write_sample(&folder.sample(task, first + i), &clip, &recipe, SCALE, &[ExtraFile::Png])?;
            }
        }
        show(set.len());
    }
    let path = folder.measured(task);
    // What was found of clips that were there before.
    for stale in [score::file_of(&path), Agreements::file_of(&path)] {
        if stale.is_file() {
            std::fs::remove_file(&stale).with_context(|| stale.display().to_string())?;
        }
    }
    set.write(&path)
}

/// The clip of latents; a modality that was given whole stays as it was given.
fn decode(reality: &Reality, latents: &Latents, index: usize, (video, audio): (bool, bool)) -> Result<Clip> {
    let (codec, original) = (&reality.codec, &reality.clips[index]);
    Ok(Clip {
        video: if video { Some(codec.decode_video(&latents.video)?) } else { original.video.clone() },
        audio: if audio { Some(codec.decode_audio(&latents.audio)?) } else { original.audio.clone() },
    })
}

/// The mean loss of the last tenth of a training.
fn last_loss(config: &TrainConfig) -> Result<f64> {
    let path = config.out.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let last = text.lines().rev().take(config.run.steps.div_ceil(10));
    let losses: Vec<f64> =
        last.filter_map(|line| serde_json::from_str::<Value>(line).ok()?["loss"].as_f64()).collect();
    Ok(losses.iter().sum::<f64>() / losses.len().max(1) as f64)
}

fn program() -> Result<BTreeMap<String, String>> {
    let mut facts = BTreeMap::from([("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    if let Some(commit) = option_env!("AVDIT_COMMIT") {
        facts.insert("commit".into(), commit.into());
    }
    let file = std::env::current_exe().context("this program's own file")?;
    facts.insert("sha256".into(), avdit_media::codec::file_sha256(&file)?);
    Ok(facts)
}

/// Writes JSON that is made of plain values.
pub fn write_plain(path: &Path, value: &impl Serialize) -> Result<()> {
    Ok(write_bytes_atomically(path, &serde_json::to_vec(value)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn settings_that_both_have_are_compared_by_their_full_names() {
        let there =
            json!({ "seed": 1, "out": "a", "optimizer": { "lr": 0.1, "old": 3 }, "betas": [0.9, 0.99] });
        let here =
            json!({ "seed": 1, "out": "b", "optimizer": { "lr": 0.2, "new": 4 }, "betas": [0.9, 0.99] });
        assert_eq!(differences(&there, &here, &["out"]), ["optimizer.lr: there 0.1, here 0.2"]);
    }
}
