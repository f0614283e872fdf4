//! Samples of every task, to look at and listen to.

use super::{Folders, SAMPLING_STEPS, check_cancelled};
use crate::args::{ExtraFile, SamplerSteps};
use crate::commands::sample::{recipe, write_sample};
use crate::inputs::Given;
use crate::progress::Stage;
use anyhow::{Context, Result};
use avdit_core::sampler::SamplerKind;
use avdit_core::{CellMask, Modality, SampleRequest, Task};
use avdit_media::codec::{Codec, LinearCodec};
use avdit_media::{Clip, Preference, decode};
use avdit_runtime::{Engine, sample_timed};
use serde_json::Value;

/// Samples of each task.
const EACH: usize = 3;
/// Pixels of the files are this many squared.
const SCALE: usize = 4;

/// A sample that was written.
pub struct Sample {
    pub task: Task,
    pub name: String,
    pub mask: CellMask,
    pub recipe: Value,
    /// The held-out clip that gave the cells, if any did.
    pub reference: Option<String>,
}

/// How samples are made unless a comparison asks for another sampler.
pub const USUAL: SamplerSteps =
    SamplerSteps { sampler: SamplerKind::Ddim { eta: 0.0 }, steps: SAMPLING_STEPS };

/// What is sampled for a task; `item` decides the noise.
pub fn request(mask: &CellMask, seed: u64, item: u32) -> SampleRequest {
    SampleRequest {
        steps: USUAL.steps,
        seed,
        first_item: item,
        sampler: USUAL.sampler,
        given: mask.clone(),
        ..SampleRequest::new(mask.segments())
    }
}

/// Samples all tasks and writes each sample as mp4, gif, wav and png.
pub fn make(
    folders: &Folders,
    codec: &LinearCodec,
    engine: &mut dyn Engine,
    seed: u64,
) -> Result<Vec<Sample>> {
    let folder = folders.at("samples");
    std::fs::create_dir_all(&folder).with_context(|| folder.display().to_string())?;
    let tasks = Task::named();
    let mut stage = Stage::new("sample every task", tasks.len() * EACH, "clips");
    let mut samples = Vec::new();
    for task in tasks {
        let mask = task.given(codec.layout().segments())?;
        for i in 0..EACH {
            check_cancelled()?;
            let source = folders.held_out(i);
            let gives = |modality| mask.needs(modality).then_some(source.as_path());
            let given = Given::read(codec, &mask, gives(Modality::Video), gives(Modality::Audio))?;
            let request = request(&mask, seed, i as u32);
            let sampled = sample_timed(engine, &request, given.latents(), &mut |_| {})?;
            let clip = given.keep_originals(codec.decode(&sampled.latents)?);
            let name = format!("{}-{i}", task.to_string().replace(':', "-"));
            let inputs = if given.latents().is_some() { vec![source.as_path()] } else { Vec::new() };
            let recipe = recipe(&folders.at("model"), &task, &request, engine.facts(), &inputs)?;
            write(&folder.join(&name), &clip, &recipe)?;
            let reference = given.latents().is_some().then(|| format!("reference-{i}"));
            samples.push(Sample { task: task.clone(), name, mask: mask.clone(), recipe, reference });
            stage.set(samples.len(), &task.to_string());
        }
    }
    for i in 0..EACH {
        let clip = decode(&folders.held_out(i), Preference::Auto)?.clip;
        let recipe = serde_json::json!({ "schema": "avdit-recipe/1", "copy_of": folders.held_out(i) });
        write(&folder.join(format!("reference-{i}")), &clip, &recipe)?;
    }
    stage.finish(&format!("{} clips as mp4, gif, wav and png", samples.len()));
    Ok(samples)
}

fn write(stem: &std::path::Path, clip: &Clip, recipe: &Value) -> Result<()> {
    let also = [ExtraFile::Gif, ExtraFile::Wav, ExtraFile::Png];
    write_sample(&stem.with_extension("mp4"), clip, recipe, SCALE, &also).map(drop)
}
