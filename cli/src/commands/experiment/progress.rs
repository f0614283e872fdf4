//! How much of the experiment is done, and about how long the rest takes.

use super::run::RunCost;
use super::settings::{Method, RunId, Settings};
use anyhow::Result;

/// What the runs of an experiment are made of.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    steps: usize,
    clips: usize,
}

/// The whole of it.
pub struct Progress {
    total: Work,
    done: Work,
    runs: usize,
    finished: usize,
    /// Seconds that steps and clips took so far, and how many those were.
    measured: (f64, f64, Work),
}

impl Progress {
    /// Over these runs.
    pub fn new(runs: &[(RunId, bool)], settings: &Settings) -> Result<Self> {
        let mut progress = Self {
            total: Work::default(),
            done: Work::default(),
            runs: runs.len(),
            finished: 0,
            measured: (0.0, 0.0, Work::default()),
        };
        for (id, finished) in runs {
            let work = work(id, settings)?;
            progress.total.steps += work.steps;
            progress.total.clips += work.clips;
            if *finished {
                progress.done.steps += work.steps;
                progress.done.clips += work.clips;
                progress.finished += 1;
            }
        }
        Ok(progress)
    }

    /// A run has been finished at a cost; of an earlier process if `before`.
    pub fn add(&mut self, id: &RunId, settings: &Settings, cost: &RunCost, before: bool) -> Result<()> {
        let work = work(id, settings)?;
        let (train, sample, known) = &mut self.measured;
        *train += cost.train.wall_s;
        *sample += cost.sample.wall_s;
        known.steps += work.steps;
        known.clips += work.clips;
        if !before {
            self.done.steps += work.steps;
            self.done.clips += work.clips;
            self.finished += 1;
        }
        Ok(())
    }

    /// `run 3 of 18; about 41 min left`.
    pub fn words(&self) -> String {
        let (train, sample, known) = self.measured;
        let left = (self.total.steps - self.done.steps, self.total.clips - self.done.clips);
        let place = format!("{} of {} runs finished", self.finished, self.runs);
        if known.steps == 0 || known.clips == 0 {
            return place;
        }
        let seconds = train / known.steps as f64 * left.0 as f64 + sample / known.clips as f64 * left.1 as f64;
        format!("{place}, about {:.0} min left", (seconds / 60.0).ceil())
    }
}

fn work(id: &RunId, settings: &Settings) -> Result<Work> {
    let tasks = Method::named(&id.method)?.tasks(settings)?.len();
    Ok(Work { steps: settings.steps, clips: tasks * settings.samples })
}
