//! What a run sampled, task by task, over training.

use crate::report::data::{Fact, Media};
use crate::report::format::{count, seconds};
use crate::run::Run;
use crate::run::samples::{Made, SampleSet, folder_name};
use serde::Serialize;
use std::path::Path;

/// Steps that are shown side by side, at most: the first, the last and some between.
const MOST_COLUMNS: usize = 8;

/// A task's samples.
#[derive(Debug, Serialize)]
pub(super) struct OfTask {
    task: String,
    given_video: Vec<bool>,
    given_audio: Vec<bool>,
    /// One for each item: the same noise, the same given cells, at every step.
    items: Vec<OfItem>,
}

#[derive(Debug, Serialize)]
struct OfItem {
    item: usize,
    reference: Option<Media>,
    steps: Vec<AtStep>,
}

#[derive(Debug, Serialize)]
struct AtStep {
    step: usize,
    name: String,
    media: Media,
}

/// All samples with their files relative to `from`.
pub(super) fn by_task(run: &Run, from: &Path) -> Vec<OfTask> {
    let Some(newest) = run.samples.last() else { return Vec::new() };
    let base = relative(&run.folder, from);
    let shown = shown(&run.samples);
    let mut tasks: Vec<OfTask> = Vec::new();
    for made in &newest.samples {
        if tasks.last().is_none_or(|last| last.task != made.task) {
            let (given_video, given_audio) = (made.given_video.clone(), made.given_audio.clone());
            tasks.push(OfTask { task: made.task.clone(), given_video, given_audio, items: Vec::new() });
        }
        let at = |set: &&SampleSet| {
            let same = |other: &&Made| other.task == made.task && other.item == made.item;
            let name = set.samples.iter().find(same)?.name.clone();
            let media = media(&base, &folder_name(set.step), &name);
            Some(AtStep { step: set.step, name, media })
        };
        let steps = shown.iter().filter_map(at).collect();
        let reference = made.reference.as_ref().map(|name| media(&base, "given", name));
        if let Some(task) = tasks.last_mut() {
            task.items.push(OfItem { item: made.item, reference, steps });
        }
    }
    tasks
}

/// How they were made.
pub(super) fn facts(run: &Run) -> Vec<Fact> {
    let Some(newest) = run.samples.last() else { return Vec::new() };
    let took: f64 = run.samples.iter().map(|set| set.seconds).sum();
    vec![
        Fact::new("parameters", &newest.weights),
        Fact::new("sampler", format!("{}, {} steps", newest.sampler, newest.sampling_steps)),
        Fact::new("noise", format!("seed {}, the same at every step", newest.seed)),
        Fact::new(
            "sampled at",
            match run.samples.as_slice() {
                [only] => format!("step {}", count(only.step as u64)),
                all => format!(
                    "{} steps, from {} to {}",
                    all.len(),
                    count(all[0].step as u64),
                    count(newest.step as u64)
                ),
            },
        ),
        Fact::new("time in samples", format!("{}, in no step's time", seconds(took))),
    ]
}

fn shown(sets: &[SampleSet]) -> Vec<&SampleSet> {
    if sets.len() <= MOST_COLUMNS {
        return sets.iter().collect();
    }
    let at = |i: usize| i * (sets.len() - 1) / (MOST_COLUMNS - 1);
    (0..MOST_COLUMNS).map(|i| &sets[at(i)]).collect()
}

fn media(base: &str, folder: &str, name: &str) -> Media {
    let file = |extension: &str| format!("{base}samples/{folder}/{name}.{extension}");
    Media { mp4: file("mp4"), gif: String::new(), wav: file("wav"), png: file("png") }
}

/// The way from `from` to `folder`, ending in `/` unless it is none: relative where one lies in the other.
fn relative(folder: &Path, from: &Path) -> String {
    let whole = |path: &Path| {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        path.canonicalize().unwrap_or_else(|_| path.to_owned())
    };
    let (folder, from) = (whole(folder), whole(from));
    let (there, here): (Vec<_>, Vec<_>) = (folder.components().collect(), from.components().collect());
    let same = there.iter().zip(&here).take_while(|(a, b)| a == b).count();
    let up = here[same..].iter().map(|_| "../".to_owned());
    let down = there[same..].iter().map(|part| format!("{}/", part.as_os_str().to_string_lossy()));
    up.chain(down).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_found_from_wherever_the_page_lies() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("runs/first");
        std::fs::create_dir_all(&run).unwrap();
        assert_eq!(relative(&run, &run), "");
        assert_eq!(relative(&run, folder.path()), "runs/first/");
        std::fs::create_dir_all(folder.path().join("pages")).unwrap();
        assert_eq!(relative(&run, &folder.path().join("pages")), "../runs/first/");
    }

    #[test]
    fn the_first_and_the_last_are_always_shown() {
        let set = |step| SampleSet {
            schema: String::new(),
            step,
            seconds: 0.0,
            weights: String::new(),
            sampler: String::new(),
            sampling_steps: 1,
            seed: 0,
            samples: Vec::new(),
        };
        let sets: Vec<SampleSet> = (1..=50).map(set).collect();
        let steps: Vec<usize> = shown(&sets).iter().map(|set| set.step).collect();
        assert_eq!((steps.len(), steps[0], steps[7]), (8, 1, 50));
        assert_eq!(shown(&sets[..3]).len(), 3);
    }
}
