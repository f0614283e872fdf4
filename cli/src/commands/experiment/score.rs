//! Fréchet distances of a run from the true clips, with resamples that are the same for every run, so that runs can be
//! compared clip by clip.

use super::measured::{AUDIO, AUDIO_CODED, AUDIO_MADE, Measured, VIDEO, VIDEO_CODED, VIDEO_MADE};
use super::reality::{CODED, Place, TRUE};
use super::rivals::Score;
use super::run::{RunFolder, write_plain};
use super::settings::{RunId, Settings};
use anyhow::Result;
use avdit_core::Task;
use avdit_media::metrics::{FEATURES, Features, Interval, Reference, Standard, recentred, resample};
use avdit_trainer::checkpoint::read_json;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Made and true clips of an index together.
const DRAWN: &str = "pairs";
const SEED: u64 = 0;

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
    /// How resamples were drawn.
    #[serde(default)]
    drawn: String,
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

/// The file beside a measured set that keeps its distances.
pub fn file_of(measured: &Path) -> PathBuf {
    measured.with_extension("distances.json")
}

/// The distances of a set of clips that is measured in a file, kept beside it.
pub fn of_set(place: &Place, settings: &Settings, task: &Task, measured: &Path) -> Result<Distances> {
    let path = file_of(measured);
    let found = path.is_file().then(|| read_json::<Distances>(&path)).and_then(Result::ok).filter(|found| {
        let rounds = found.of.values().all(|distance| distance.resamples.len() == settings.rounds);
        let coded = [(VIDEO, VIDEO_CODED), (AUDIO, AUDIO_CODED)];
        let coded =
            coded.iter().all(|(whole, coded)| found.get(whole).is_some() == found.get(coded).is_some());
        found.features == FEATURES
            && found.drawn == DRAWN
            && found.clips == settings.samples
            && rounds
            && coded
    });
    if let Some(found) = found {
        return Ok(found);
    }
    let set = Measured::read(measured)?;
    let whole = Measured::read(&place.measured(TRUE, None))?;
    let coded = Measured::read(&place.measured(CODED, None))?;
    let part = place.measured(TRUE, Some(task));
    let part = part.is_file().then(|| Measured::read(&part)).transpose()?;
    let mut of = BTreeMap::new();
    // The name of the distance, the vectors, and the clips from which it is taken.
    for (name, kind, truth) in [
        (VIDEO, VIDEO, Some(&whole)),
        (AUDIO, AUDIO, Some(&whole)),
        (VIDEO_CODED, VIDEO, Some(&coded)),
        (AUDIO_CODED, AUDIO, Some(&coded)),
        (VIDEO_MADE, VIDEO_MADE, part.as_ref()),
        (AUDIO_MADE, AUDIO_MADE, part.as_ref()),
    ] {
        let truth = truth.map(|truth| truth.features(kind)).transpose()?.flatten();
        if let (Some(made), Some(truth)) = (set.features(kind)?, truth) {
            of.insert(name.to_owned(), distance(&truth, &made, settings.rounds)?);
        }
    }
    let found = Distances { features: FEATURES.to_owned(), drawn: DRAWN.to_owned(), clips: set.len(), of };
    write_plain(&path, &found)?;
    Ok(found)
}

/// The distance of made clips from true ones, in units of the true ones' spread. Clip i of both is drawn together: where
/// it was given in part, the made one follows from the true one.
fn distance(truth: &Features, made: &Features, rounds: usize) -> Result<Distance> {
    let units = Standard::of(truth)?;
    let (truth, made) = (units.apply(truth)?, units.apply(made)?);
    let of_pairs = |round: usize| {
        let drawn = resample(SEED, round, made.len().min(truth.len()));
        Reference::new(&truth.select(&drawn))?.frechet(&made.select(&drawn))
    };
    let resamples = (0..rounds).into_par_iter().map(of_pairs).collect::<Result<_, _>>()?;
    Ok(Distance { all: Reference::new(&truth)?.frechet(&made)?, resamples })
}

impl Distance {
    /// With its interval.
    pub fn interval(&self) -> Interval {
        recentred(self.all, &self.resamples)
    }

    /// Its logarithm. That of a resample follows from the slope of the logarithm at the distance of all clips:
    /// resamples lie higher by their repeats, and there the logarithm is flatter than where the distance is. A distance
    /// that rounding has taken to 0 or below counts as a millionth.
    pub fn log(&self) -> Score {
        let all = self.all.max(1e-6);
        let mean = self.resamples.iter().sum::<f64>() / self.resamples.len().max(1) as f64;
        let of = |resample: &f64| all.ln() + (resample - mean) / all;
        Score { all: all.ln(), resamples: self.resamples.iter().map(of).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{Noise, Purpose, Stream};

    /// Normal vectors of three dimensions; a seed is a set.
    fn set(seed: u64, n: usize, shift: f64) -> Features {
        let mut values = vec![0f32; n * 3];
        Noise::new(seed).normals(Stream::new(Purpose::Check, 0, 0), &mut values);
        Features::new(3, values.into_iter().map(|x| f64::from(x) + shift).collect()).unwrap()
    }

    #[test]
    fn a_distance_lies_in_its_interval_and_grows_with_what_differs() {
        let truth = set(1, 200, 0.0);
        let near = distance(&truth, &set(1, 200, 0.1), 60).unwrap();
        let far = distance(&truth, &set(1, 200, 1.0), 60).unwrap();
        // Each of three dimensions lies about a standard deviation off.
        assert!((2.4..3.6).contains(&far.all), "{}", far.all);
        assert!(near.all < 0.1 * far.all);
        let apart = distance(&truth, &set(2, 200, 1.0), 60).unwrap();
        let interval = apart.interval();
        assert!(interval.low < apart.all && apart.all < interval.high, "{interval:?}");
    }

    #[test]
    fn clips_that_are_the_true_ones_moved_have_a_distance_without_spread() {
        let found = distance(&set(1, 200, 0.0), &set(1, 200, 0.5), 60).unwrap().interval();
        assert!(found.high - found.low < 1e-6, "{found:?}");
    }

    /// The share of a hundred experiments in which the interval of a logarithm holds the mean over many: near the floor,
    /// where most of the distance is the small number of clips.
    #[test]
    fn intervals_of_logarithms_hold_what_they_say_near_the_floor() {
        let found: Vec<Distance> = (0..100)
            .map(|i| distance(&set(2 * i, 60, 0.0), &set(2 * i + 1, 60, 0.15), 100).unwrap())
            .collect();
        let logs: Vec<Score> = found.iter().map(Distance::log).collect();
        let centre = logs.iter().map(|log| log.all).sum::<f64>() / 100.0;
        let held = logs.iter().map(|log| recentred(log.all, &log.resamples));
        let held = held.filter(|interval| interval.low < centre && centre < interval.high).count();
        assert!(held >= 85, "{held} of 100");
    }
}
