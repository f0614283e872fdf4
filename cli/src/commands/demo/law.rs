//! Whether the model has learnt the law: on clips that training never saw, does what it makes agree with what it
//! was given, more than with what other clips were given?

use super::samples::request;
use super::{Folders, HELD_OUT, check_cancelled};
use crate::args::SamplerSteps;
use crate::inputs::Given;
use crate::progress::Stage;
use anyhow::{Context, Result};
use avdit_core::{Latents, Modality, SampleRequest, Task};
use avdit_media::codec::{Codec, LinearCodec};
use avdit_media::world::{Agreement, Tracks, agreement, tracks};
use avdit_media::{Clip, Preference, decode};
use avdit_runtime::{Engine, sample_timed};
use rayon::prelude::*;

/// Clips that are sampled at once.
pub const BATCH: usize = 8;

/// The agreement of sight and sound in the clips of a task.
pub struct Law {
    pub task: Task,
    pub agreement: Agreement,
    /// The agreement in true clips that the codec has encoded and decoded: the best that can be reached.
    pub ceiling: f64,
    /// Where pictures were made, how much the ball's course changes from frame to frame: the mean absolute second difference
    /// of its height over that in the true clips as the codec rebuilds them.
    pub motion: Option<f64>,
    /// Sampling of a clip, [`BATCH`] at once, in seconds.
    pub clip_s: f64,
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

/// Measures both directions with a sampler.
pub fn measure(
    folders: &Folders,
    codec: &LinearCodec,
    engine: &mut dyn Engine,
    seed: u64,
    with: SamplerSteps,
) -> Result<Vec<Law>> {
    let tasks = [Task::AudioToVideo, Task::VideoToAudio];
    let mut stage = Stage::new(
        &format!("measure the law, {} in {} steps", with.sampler, with.steps),
        tasks.len() * HELD_OUT,
        "clips",
    );
    let rebuilt = rebuilt(folders, codec)?;
    let ceiling = agreement(&rebuilt, seed).context("too few clips to compare")?.matched.mean;
    let mut laws = Vec::new();
    for (n, task) in tasks.into_iter().enumerate() {
        let mask = task.given(codec.layout().segments())?;
        let read = |i: usize| {
            let path = folders.held_out(i);
            let gives = |modality| mask.needs(modality).then_some(path.as_path());
            Given::read(codec, &mask, gives(Modality::Video), gives(Modality::Audio))
        };
        let given: Vec<Given> = (0..HELD_OUT).into_par_iter().map(read).collect::<Result<_>>()?;
        let (mut measured, mut sampling_ms) = (Vec::<Tracks>::new(), 0.0);
        for (first, part) in (0..).step_by(BATCH).zip(given.chunks(BATCH)) {
            check_cancelled()?;
            let latents: Vec<Latents> = part.iter().filter_map(|given| given.latents().cloned()).collect();
            // Other noise than that of the samples shown.
            let request = SampleRequest {
                batch: part.len(),
                sampler: with.sampler,
                steps: with.steps,
                ..request(&mask, seed.wrapping_add(1), first)
            };
            let sampled = sample_timed(engine, &request, Some(&Latents::concat(&latents)), &mut |_| {})?;
            sampling_ms += sampled.timings.total_ms;
            let made = sampled.latents;
            let clips = part.par_iter().enumerate().map(|(i, given)| -> Result<Tracks> {
                let made = codec.decode(&made.item(codec.layout(), i))?;
                Ok(tracks(&given.keep_originals(made))?)
            });
            measured.extend(clips.collect::<Result<Vec<_>>>()?);
            stage.set(n * HELD_OUT + measured.len(), &task.to_string());
        }
        let agreement = agreement(&measured, seed).context("too few clips to compare")?;
        let makes_pictures = matches!(task, Task::AudioToVideo).then_some(());
        let motion = makes_pictures.and_then(|()| Some(course(&measured)? / course(&rebuilt)?));
        let clip_s = sampling_ms / 1e3 / HELD_OUT as f64;
        laws.push(Law { task, agreement, ceiling, motion, clip_s });
    }
    let differences: Vec<_> =
        laws.iter().map(|law| format!("{} {:.2}", law.task, law.agreement.difference.mean)).collect();
    stage.finish(&format!("above shuffled pairs by {}", differences.join(", ")));
    Ok(laws)
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
