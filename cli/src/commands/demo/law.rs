//! Whether the model has learnt the law: on clips that training never saw, does what it makes agree with what it
//! was given, more than with what other clips were given?

use super::samples::request;
use super::{Folders, HELD_OUT, check_cancelled};
use crate::args::SamplerSteps;
use crate::inputs::Given;
use crate::progress::Stage;
use anyhow::{Context, Result};
use avdit_core::{CellMask, Latents, Modality, SampleRequest, Task};
use avdit_media::codec::{Codec, LinearCodec};
use avdit_media::world::{Agreement, Tracks, agreement, tracks};
use avdit_media::{Clip, Preference, decode};
use avdit_runtime::{Engine, Summary, sample_timed};
use rayon::prelude::*;

/// Clips that are sampled at once.
pub const BATCH: usize = 8;

/// The agreement of sight and sound in the clips of a task.
#[derive(Clone)]
pub struct Law {
    pub task: Task,
    pub agreement: Agreement,
    /// The agreement in true clips that the codec has encoded and decoded: the best that can be reached.
    pub ceiling: f64,
    /// Where pictures were made, how much the ball's course changes from frame to frame: the mean absolute second difference
    /// of its height over that in the true clips as the codec rebuilds them.
    pub motion: Option<f64>,
    /// Sampling of a clip, [`BATCH`] at once, in seconds: the median over batches.
    pub clip_s: f64,
    /// What ran the network.
    pub engine: String,
}

/// The mean absolute second difference of height over all frames that show the ball, as those beside them do.
fn course(tracks: &[Tracks]) -> Option<f64> {
    let changes = tracks.iter().flat_map(|track| {
        track
            .height
            .windows(3)
            .filter_map(|heights| Some((heights[2]? - 2.0 * heights[1]? + heights[0]?).abs()))
    });
    let (sum, count) = changes.fold((0.0, 0usize), |(sum, count), change| (sum + change, count + 1));
    (count > 0).then(|| sum / count as f64)
}

/// The directions that are measured.
const TASKS: [Task; 2] = [Task::AudioToVideo, Task::VideoToAudio];

/// The clips that training never saw.
pub struct HeldOut<'a> {
    codec: &'a LinearCodec,
    seed: u64,
    /// What each task is given, clip by clip.
    given: [(CellMask, Vec<Given>); 2],
    /// The true clips, as the codec rebuilds them.
    rebuilt: Vec<Tracks>,
}

impl<'a> HeldOut<'a> {
    /// Reads them.
    pub fn read(folders: &Folders, codec: &'a LinearCodec, seed: u64) -> Result<Self> {
        let [sound, pictures] = TASKS.map(|task| -> Result<(CellMask, Vec<Given>)> {
            let mask = task.given(codec.layout().segments())?;
            let read = |i: usize| {
                let path = folders.held_out(i);
                let gives = |modality| mask.needs(modality).then_some(path.as_path());
                Given::read(codec, &mask, gives(Modality::Video), gives(Modality::Audio))
            };
            let given = (0..HELD_OUT).into_par_iter().map(read).collect::<Result<_>>()?;
            Ok((mask, given))
        });
        Ok(Self { codec, seed, given: [sound?, pictures?], rebuilt: rebuilt(folders, codec)? })
    }

    /// Measures both directions with a sampler.
    pub fn measure(&self, engine: &mut dyn Engine, with: SamplerSteps) -> Result<Vec<Law>> {
        let what = format!("measure the law, {} in {} steps", with.sampler, with.steps);
        let mut stage = Stage::new(&what, TASKS.len() * HELD_OUT, "clips");
        let laws = (0..TASKS.len()).map(|n| self.direction(n, engine, with, &mut stage));
        let laws: Vec<Law> = laws.collect::<Result<_>>()?;
        let differences: Vec<_> =
            laws.iter().map(|law| format!("{} {:.2}", law.task, law.agreement.difference.mean)).collect();
        stage.finish(&format!("above shuffled pairs by {}", differences.join(", ")));
        Ok(laws)
    }

    fn direction(
        &self,
        n: usize,
        engine: &mut dyn Engine,
        with: SamplerSteps,
        stage: &mut Stage,
    ) -> Result<Law> {
        let (codec, seed, (mask, given)) = (self.codec, self.seed, &self.given[n]);
        let task = TASKS[n].clone();
        let (mut measured, mut batch_ms) = (Vec::<Tracks>::new(), Vec::new());
        for (first, part) in (0..).step_by(BATCH).zip(given.chunks(BATCH)) {
            check_cancelled()?;
            let latents: Vec<Latents> = part.iter().filter_map(|given| given.latents().cloned()).collect();
            // Other noise than that of the samples shown.
            let request = SampleRequest {
                batch: part.len(),
                sampler: with.sampler,
                steps: with.steps,
                ..request(mask, seed.wrapping_add(1), first)
            };
            let sampled = sample_timed(engine, &request, Some(&Latents::concat(&latents)), &mut |_| {})?;
            batch_ms.push(sampled.timings.total_ms);
            let made = sampled.latents;
            let clips = part.par_iter().enumerate().map(|(i, given)| -> Result<Tracks> {
                let made = codec.decode(&made.item(codec.layout(), i))?;
                Ok(tracks(&given.keep_originals(made))?)
            });
            measured.extend(clips.collect::<Result<Vec<_>>>()?);
            stage.set(n * HELD_OUT + measured.len(), &task.to_string());
        }
        let few = "too few clips to compare";
        let ceiling = agreement(&self.rebuilt, seed).context(few)?.matched.mean;
        let agreement = agreement(&measured, seed).context(few)?;
        let makes_pictures = matches!(task, Task::AudioToVideo).then_some(());
        let motion = makes_pictures.and_then(|()| Some(course(&measured)? / course(&self.rebuilt)?));
        let clip_s = Summary::of(&batch_ms).map_or(f64::NAN, |batch| batch.p50 / 1e3 / BATCH as f64);
        let threads = engine.facts().threads;
        let engine = format!("{}, {threads} thread{}", engine.name(), if threads == 1 { "" } else { "s" });
        Ok(Law { task, agreement, ceiling, motion, clip_s, engine })
    }
}

/// The true clips, as the codec rebuilds them.
fn rebuilt(folders: &Folders, codec: &LinearCodec) -> Result<Vec<Tracks>> {
    let rebuilt = |i: usize| -> Result<Tracks> {
        let clip: Clip = decode(&folders.held_out(i), Preference::Auto)?.clip;
        let grid = codec.grid();
        let clip = avdit_media::fit_to_grid(&clip, &grid, &avdit_media::FitPolicy::default())
            .map_err(|reject| anyhow::anyhow!("{}: {reject}", folders.held_out(i).display()))?;
        let clip = clip.first().context("a held-out clip is too short")?;
        Ok(tracks(&codec.decode(&codec.encode(clip)?)?)?)
    };
    (0..HELD_OUT).into_par_iter().map(rebuilt).collect()
}
