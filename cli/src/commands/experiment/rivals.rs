//! The primary score, and which rivals of MoNL go on to the second world.
//!
//! The mean over tasks of the logarithm of the Fréchet distance, for sight and for sound,
//! and the mean of the two. Lower is better; a difference of 0.1 is a tenth in distance.

use super::measured::{AUDIO, AUDIO_CODED, VIDEO, VIDEO_CODED};
use super::place;
use super::run::RunFolder;
use super::score::{Distance, Distances, distances};
use super::settings::{Method, RunId, Settings, WorldPlan};
use anyhow::Result;
use avdit_core::Task;
use avdit_media::metrics::{Interval, recentred};
use avdit_media::world::WorldKind;
use avdit_trainer::checkpoint::{read_json, write_json};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// A score of all clips and of each resample.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    pub all: f64,
    pub resamples: Vec<f64>,
}

impl Score {
    /// Their mean.
    pub fn mean(scores: &[Score]) -> Option<Score> {
        let first = scores.first()?;
        let n = scores.len() as f64;
        let at = |round: usize| scores.iter().map(|score| score.resamples[round]).sum::<f64>() / n;
        Some(Score {
            all: scores.iter().map(|score| score.all).sum::<f64>() / n,
            resamples: (0..first.resamples.len()).map(at).collect(),
        })
    }

    /// This one less another, with its interval.
    pub fn less(&self, other: &Score) -> Interval {
        let differences: Vec<f64> = self.resamples.iter().zip(&other.resamples).map(|(a, b)| a - b).collect();
        recentred(self.all - other.all, &differences)
    }
}

/// The score of a method's run, or of several with other seeds, over the tasks that it was measured on.
#[derive(Clone, Debug, PartialEq)]
pub struct Scores {
    pub video: Score,
    pub audio: Score,
    /// The mean of the two: the primary score.
    pub both: Score,
}

/// The distances of a run, task by task.
pub type RunDistances = Vec<(Task, Distances)>;

/// The distances of every task of a finished run; none if it is not finished.
pub fn of_run(out: &Path, settings: &Settings, id: &RunId) -> Result<Option<RunDistances>> {
    if RunFolder::of(out, id).finished()?.is_none() {
        return Ok(None);
    }
    let place = place(out, id.world);
    let tasks = Method::named(&id.method)?.tasks(settings)?;
    let all = tasks.into_iter().map(|task| {
        let found = distances(out, &place, settings, id, &task)?;
        Ok((task, found))
    });
    all.collect::<Result<_>>().map(Some)
}

/// The mean of the logarithms of all distances of whole clips of a kind; none without any.
fn mean_log(runs: &[RunDistances], kind: &str) -> Option<Score> {
    let of = runs.iter().flatten().filter_map(|(_, distances)| distances.get(kind));
    Score::mean(&of.map(Distance::log).collect::<Vec<_>>())
}

/// The kinds of distance that a score is made of, of pictures and of sound.
pub type Kinds = [&'static str; 2];

/// Those of the primary score: whole clips from the true ones as the codec rebuilds them. What the codec loses is the
/// same for all models and no model can make it good; a first, shorter experiment showed it to be larger than what
/// tells models apart, and models nearer to the true clips than the codec's own.
pub const PRIMARY: Kinds = [VIDEO_CODED, AUDIO_CODED];

/// Those of the second score: whole clips from the true ones themselves, as the paper measures.
pub const SECOND: Kinds = [VIDEO, AUDIO];

/// The distance of the primary score for pictures or sound.
pub fn primary(kind: &str) -> &'static str {
    PRIMARY[usize::from(kind == AUDIO)]
}

/// The scores of runs that differ in their seed alone.
pub fn scores(runs: &[RunDistances], [video, audio]: Kinds) -> Option<Scores> {
    let (video, audio) = (mean_log(runs, video)?, mean_log(runs, audio)?);
    let both = Score::mean(&[video.clone(), audio.clone()])?;
    Some(Scores { video, audio, both })
}

/// The finished runs of a method on a world, and whether these are all.
pub fn of_method(
    out: &Path,
    settings: &Settings,
    world: WorldKind,
    method: &str,
) -> Result<(Vec<RunDistances>, bool)> {
    let mut found = Vec::new();
    for &seed in &settings.seeds {
        found.extend(of_run(out, settings, &RunId { world, method: method.to_owned(), seed })?);
    }
    let all = found.len() == settings.seeds.len();
    Ok((found, all))
}

/// `rivals.json`: which methods the second world has, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    pub chosen: Vec<String>,
    /// The primary score of every rival on the first world, the best first.
    pub scores: Vec<(String, f64)>,
}

/// The record of the choice, if it was made.
pub fn chosen(out: &Path) -> Result<Option<Choice>> {
    let path = out.join("rivals.json");
    path.is_file().then(|| Ok(read_json(&path)?)).transpose()
}

/// The strongest rivals of the first world; none until all its rivals are finished. Chosen once, then kept.
pub fn choose(out: &Path, settings: &Settings, plan: &WorldPlan) -> Result<Option<Vec<String>>> {
    if let Some(choice) = chosen(out)? {
        return Ok(Some(choice.chosen));
    }
    let Some(first) = settings.world.first() else { return Ok(None) };
    let mut found = Vec::new();
    for name in &first.methods {
        if !Method::named(name)?.rival {
            continue;
        }
        let (runs, all) = of_method(out, settings, first.name, name)?;
        match scores(&runs, PRIMARY) {
            Some(scores) if all => found.push((name.clone(), scores.both.all)),
            _ => return Ok(None),
        }
    }
    found.sort_by(|a, b| a.1.total_cmp(&b.1));
    let chosen: Vec<String> =
        found.iter().take(plan.strongest_rivals).map(|(name, _)| name.clone()).collect();
    write_json(&out.join("rivals.json"), &Choice { chosen: chosen.clone(), scores: found })?;
    Ok(Some(chosen))
}
