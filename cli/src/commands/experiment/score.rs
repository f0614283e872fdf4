//! Fréchet distances of a run from the true clips, with resamples that are the same for every run, so that runs can be
//! compared clip by clip.

use super::measured::{AUDIO, AUDIO_MADE, Measured, VIDEO, VIDEO_MADE};
use super::reality::{Place, TRUE};
use super::run::{RunFolder, write_plain};
use super::settings::{RunId, Settings};
use anyhow::Result;
use avdit_core::{Noise, Purpose, Stream, Task};
use avdit_media::metrics::{FEATURES, Features, Interval, Reference, Standard};
use avdit_trainer::checkpoint::read_json;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A distance of all clips, and of each resample of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distance {
    pub all: f64,
    pub resamples: Vec<f64>,
}

/// The distances of a task's clips: of what is seen and of what is heard, of whole clips and of the made part.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Distances {
    features: String,
    clips: usize,
    pub of: BTreeMap<String, Distance>,
}

impl Distances {
    pub fn get(&self, kind: &str) -> Option<&Distance> {
        self.of.get(kind)
    }
}

/// The distances of a run's task: computed where the file of them is missing or of other settings.
pub fn distances(
    out: &Path,
    place: &Place,
    settings: &Settings,
    id: &RunId,
    task: &Task,
) -> Result<Distances> {
    let folder = RunFolder::of(out, id);
    of_set(place, settings, task, &folder.measured(task))
}

/// The distances of a set of clips that is measured in a file, kept beside it.
pub fn of_set(place: &Place, settings: &Settings, task: &Task, measured: &Path) -> Result<Distances> {
    let path: PathBuf = measured.with_extension("distances.json");
    let found = path.is_file().then(|| read_json::<Distances>(&path)).and_then(Result::ok).filter(|found| {
        let rounds = found.of.values().all(|distance| distance.resamples.len() == settings.rounds);
        found.features == FEATURES && found.clips == settings.samples && rounds
    });
    if let Some(found) = found {
        return Ok(found);
    }
    let set = Measured::read(measured)?;
    let whole = Measured::read(&place.measured(TRUE, None))?;
    let part = place.measured(TRUE, Some(task));
    let part = part.is_file().then(|| Measured::read(&part)).transpose()?;
    let mut of = BTreeMap::new();
    for kind in [VIDEO, AUDIO, VIDEO_MADE, AUDIO_MADE] {
        let is_part = kind == VIDEO_MADE || kind == AUDIO_MADE;
        let truth = if is_part { part.as_ref() } else { Some(&whole) };
        let truth = truth.map(|truth| truth.features(kind)).transpose()?.flatten();
        if let (Some(made), Some(truth)) = (set.features(kind)?, truth) {
            of.insert(kind.to_owned(), distance(&truth, &made, settings.rounds)?);
        }
    }
    let found = Distances { features: FEATURES.to_owned(), clips: set.len(), of };
    write_plain(&path, &found)?;
    Ok(found)
}

/// The distance of made clips from true ones, in units of the true ones' spread.
fn distance(truth: &Features, made: &Features, rounds: usize) -> Result<Distance> {
    let units = Standard::of(truth)?;
    let reference = Reference::new(&units.apply(truth)?)?;
    let made = units.apply(made)?;
    let resample = |round: usize| reference.frechet_of(&made, &indices(round, made.len()));
    let resamples = (0..rounds).into_par_iter().map(resample).collect::<Result<_, _>>()?;
    Ok(Distance { all: reference.frechet(&made)?, resamples })
}

/// Draws of a round: the same clips for every run.
fn indices(round: usize, n: usize) -> Vec<usize> {
    let stream = Stream::new(Purpose::Statistics, 3, round as u32);
    (0..n).map(|i| Noise::new(0).below(stream, i as u32, n as u32) as usize).collect()
}

/// A number made of distances, and its interval of 95 %: resampled clips repeat, which makes every distance larger, so
/// the resamples are moved by one number until their mean is the number of all clips.
pub fn interval(of_all: f64, resamples: &[f64]) -> Interval {
    let mut sorted = resamples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let bias = sorted.iter().sum::<f64>() / sorted.len().max(1) as f64 - of_all;
    let at = |share: f64| {
        let index = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
        sorted.get(index).map_or(f64::NAN, |value| value - bias)
    };
    Interval { mean: of_all, low: at(0.025), high: at(0.975) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(shift: f64) -> Features {
        let mut values = vec![0f32; 200 * 3];
        Noise::new(1).normals(Stream::new(Purpose::Check, 0, 0), &mut values);
        Features::new(3, values.into_iter().map(|x| f64::from(x) + shift).collect()).unwrap()
    }

    #[test]
    fn a_distance_lies_in_its_interval_and_grows_with_what_differs() {
        let near = distance(&set(0.0), &set(0.1), 60).unwrap();
        let far = distance(&set(0.0), &set(1.0), 60).unwrap();
        // Each of three dimensions lies about a standard deviation off.
        assert!((2.4..3.6).contains(&far.all), "{}", far.all);
        assert!(near.all < 0.1 * far.all);
        let interval = interval(far.all, &far.resamples);
        assert!(interval.low < far.all && far.all < interval.high, "{interval:?}");
    }

    #[test]
    fn resamples_are_centred_on_what_was_measured() {
        let resamples: Vec<f64> = (0..101).map(|i| 10.0 + f64::from(i) * 0.01).collect();
        let found = interval(3.0, &resamples);
        assert!((found.low - 2.52).abs() < 0.02 && (found.high - 3.48).abs() < 0.02, "{found:?}");
        assert_eq!(found.mean, 3.0);
    }
}
