//! Samples while a run trains: every task, the same noise and the same given clips each time, with sound.
//!
//! All that is random in them is a function of the run's seed and the sample's number, for purposes that training does
//! not draw for; nothing here reaches the run's parameters. So a run has the same bits with and without.

use crate::args::ExtraFile;
use crate::cancel;
use crate::commands::sample::write_sample;
use crate::run::samples::{FILE, Made, SampleSet, folder_name, folders};
use anyhow::{Context, Result};
use avdit_core::sampler::SamplerKind;
use avdit_core::sampling::sample;
use avdit_core::{CellMask, Latents, Modality, SampleRequest, Task};
use avdit_media::codec::Codec;
use avdit_media::prepare::clip_files;
use avdit_media::shard::Dataset;
use avdit_media::{Clip, FitPolicy, Preference, decode, fit_to_grid};
use avdit_trainer::{CandleDenoiser, Error, TrainConfig, checkpoint};
use rayon::prelude::*;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Samples of each task.
const EACH: usize = 2;
/// Sampling steps.
const STEPS: usize = 20;
/// Pictures are enlarged to about this width.
const WIDTH: usize = 256;
/// The folder of the clips that give cells.
const GIVEN: &str = "given";

/// A clip that gives cells.
struct Source {
    clip: Clip,
    latents: Latents,
    /// Where it came from.
    origin: String,
}

/// What samples are made with.
pub struct Sampler {
    out: PathBuf,
    codec: Box<dyn Codec>,
    seed: u64,
    weights: String,
    sources: Vec<Source>,
}

impl Sampler {
    /// Reads the clips that give cells: of `run.sample_from`, or else the first of the dataset, as the codec has them.
    ///
    /// # Errors
    /// If a clip or the codec cannot be used.
    pub fn new(config: &TrainConfig, examples: &Dataset) -> Result<Self> {
        let codec = crate::codec::open(&examples.codec_path())?;
        let sources = match &config.run.sample_from {
            Some(folder) => of_folder(folder, &*codec)?,
            None => of_dataset(examples, &*codec)?,
        };
        let decay = config.optimizer.ema_decay.all().first().copied().unwrap_or_default();
        let weights = format!("moving average {decay}");
        Ok(Self { out: config.out.clone(), codec, seed: config.seed, weights, sources })
    }

    /// Removes what an earlier run sampled into the same folder, also what of it cannot be read.
    ///
    /// # Errors
    /// Those of the file system.
    pub fn remove_stale(run: &Path) -> Result<()> {
        for path in folders(run)? {
            remove(&path)?;
        }
        remove(&run.join("samples").join(GIVEN))
    }

    /// Samples every task and writes `samples/step-…/`, whole or not at all; how many clips there are, or none if the
    /// user stopped it.
    ///
    /// # Errors
    /// If a file cannot be written, or the network's predictions are not finite.
    pub fn make(&self, step: usize, denoiser: &mut CandleDenoiser) -> Result<Option<usize>> {
        let started = Instant::now();
        let folder = self.out.join("samples");
        self.write_given(&folder)?;
        let (part, target) = (folder.join(".part"), folder.join(folder_name(step)));
        remove(&part)?;
        std::fs::create_dir_all(&part).map_err(Error::io(&part))?;
        let mut samples = Vec::new();
        for task in Task::named() {
            if cancel::asked() {
                remove(&part)?;
                return Ok(None);
            }
            samples.extend(self.task(step, &task, denoiser, &part)?);
        }
        let clips = samples.len();
        let set = SampleSet {
            schema: "avdit-run-samples/1".to_owned(),
            step,
            seconds: started.elapsed().as_secs_f64(),
            weights: self.weights.clone(),
            sampler: sampler().to_string(),
            sampling_steps: STEPS,
            seed: self.seed,
            samples,
        };
        checkpoint::write_json(&part.join(FILE), &set)?;
        remove(&target)?;
        std::fs::rename(&part, &target).map_err(Error::io(&target))?;
        Ok(Some(clips))
    }

    fn task(
        &self,
        step: usize,
        task: &Task,
        denoiser: &mut CandleDenoiser,
        folder: &Path,
    ) -> Result<Vec<Made>> {
        let layout = self.codec.layout();
        let mask = task.given(layout.segments())?;
        let is_given = mask.cells().contains(&true);
        let latents: Vec<Latents> = self.sources.iter().map(|source| source.latents.clone()).collect();
        let given = is_given.then(|| Latents::concat(&latents));
        let request = SampleRequest {
            batch: self.sources.len(),
            seed: self.seed,
            steps: STEPS,
            sampler: sampler(),
            given: mask.clone(),
            ..SampleRequest::new(layout.segments())
        };
        let made = sample(denoiser, &request, given.as_ref(), &mut |_| {})?;
        let write = |(item, source): (usize, &Source)| -> Result<Made> {
            let clip = keep_whole(&mask, source, self.codec.decode(&made.item(layout, item))?);
            let name = format!("{}-{item}", task.to_string().replace(':', "-"));
            let recipe = self.recipe(step, task, &request, item, is_given.then_some(source));
            self.write(&folder.join(&name), &clip, &recipe)?;
            let cells = |modality| (0..mask.segments()).map(|n| mask.is_given(modality, n)).collect();
            Ok(Made {
                task: task.to_string(),
                name,
                item,
                given_video: cells(Modality::Video),
                given_audio: cells(Modality::Audio),
                reference: is_given.then(|| reference(item)),
            })
        };
        self.sources.par_iter().enumerate().map(|(item, source)| write((item, source))).collect()
    }

    /// Enough to know how a clip came to be; its parameters are no longer there once training has gone on.
    fn recipe(
        &self,
        step: usize,
        task: &Task,
        request: &SampleRequest,
        item: usize,
        source: Option<&Source>,
    ) -> Value {
        json!({
            "schema": "avdit-recipe/1",
            "run": self.out, "training_step": step, "weights": self.weights,
            "inputs": source.map(|source| source.origin.as_str()).into_iter().collect::<Vec<_>>(),
            "task": task.to_string(), "given": request.given.to_string(),
            "seed": request.seed, "item": item, "sampler": request.sampler.to_string(), "steps": request.steps,
            "guidance": request.guidance, "plan": request.plan.to_string(),
            "engine": { "name": "candle", "version": CandleDenoiser::VERSION },
            "avdit": env!("CARGO_PKG_VERSION"),
        })
    }

    /// The clips that give cells, to set beside the samples.
    fn write_given(&self, folder: &Path) -> Result<()> {
        let target = folder.join(GIVEN);
        if target.is_dir() {
            return Ok(());
        }
        let part = folder.join(".given");
        remove(&part)?;
        std::fs::create_dir_all(&part).map_err(Error::io(&part))?;
        for (item, source) in self.sources.iter().enumerate() {
            let recipe = json!({ "schema": "avdit-recipe/1", "copy_of": source.origin });
            self.write(&part.join(reference(item)), &source.clip, &recipe)?;
        }
        Ok(std::fs::rename(&part, &target).map_err(Error::io(&target))?)
    }

    fn write(&self, stem: &Path, clip: &Clip, recipe: &Value) -> Result<()> {
        let scale = (WIDTH / self.codec.grid().width.max(1)).max(1);
        write_sample(&stem.with_extension("mp4"), clip, recipe, scale, &[ExtraFile::Wav, ExtraFile::Png])
            .map(drop)
    }
}

fn sampler() -> SamplerKind {
    SamplerKind::Ddim { eta: 0.0 }
}

fn reference(item: usize) -> String {
    format!("reference-{item}")
}

fn remove(folder: &Path) -> Result<()> {
    if folder.is_dir() {
        std::fs::remove_dir_all(folder).map_err(Error::io(folder))?;
    }
    Ok(())
}

/// A modality that was given whole comes out as it came in.
fn keep_whole(mask: &CellMask, source: &Source, made: Clip) -> Clip {
    let whole = |modality| (0..mask.segments()).all(|n| mask.is_given(modality, n));
    let video = source.clip.video.clone().filter(|_| whole(Modality::Video));
    let audio = source.clip.audio.clone().filter(|_| whole(Modality::Audio));
    Clip { video: video.or(made.video), audio: audio.or(made.audio) }
}

fn of_dataset(examples: &Dataset, codec: &dyn Codec) -> Result<Vec<Source>> {
    let of = |index| {
        let item = examples.get(index)?;
        Ok(Source { clip: codec.decode(&item.latents)?, latents: item.latents, origin: item.origin.name })
    };
    (0..EACH.min(examples.len())).map(of).collect()
}

/// The first clips of a folder's files that can be read, in order of name.
fn of_folder(folder: &Path, codec: &dyn Codec) -> Result<Vec<Source>> {
    let what = || format!("run.sample_from = \"{}\"", folder.display());
    let paths = clip_files(folder).with_context(what)?;
    let (mut sources, mut refused) = (Vec::new(), Vec::new());
    for path in &paths {
        if sources.len() == EACH {
            break;
        }
        match source(path, codec) {
            Ok(source) => sources.push(source),
            Err(error) => refused.push(format!("{error:#}")),
        }
    }
    if sources.is_empty() {
        let why = if refused.is_empty() { "holds no clip".to_owned() } else { refused.join("\n  ") };
        let hint = "put clips with sound there, or leave run.sample_from out";
        return Err(Error::content(folder, format!("{why}\n\nhint: {hint}"))).with_context(what);
    }
    refused.iter().for_each(|why| tracing::warn!("run.sample_from: left out: {why}"));
    Ok(sources)
}

fn source(path: &Path, codec: &dyn Codec) -> Result<Source> {
    let clip = decode(path, Preference::Auto)?.clip;
    let fitted = fit_to_grid(&clip, &codec.grid(), &FitPolicy::default())
        .map_err(|reject| Error::content(path, reject))?;
    let clip =
        fitted.into_iter().next().ok_or_else(|| Error::content(path, "holds no clip of the length"))?;
    Ok(Source { latents: codec.encode(&clip)?, clip, origin: path.display().to_string() })
}
