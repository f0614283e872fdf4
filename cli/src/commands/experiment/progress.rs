//! How much of the experiment is done, and about how long the rest takes, from what lies in its folder.

use super::run::{RunCost, RunFolder};
use super::settings::{Method, RunId, Settings, WorldPlan, runs};
use anyhow::Result;
use std::path::Path;

/// What runs are made of.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    runs: usize,
    steps: usize,
    clips: usize,
}

impl Work {
    fn add(&mut self, settings: &Settings, tasks: usize) {
        self.runs += 1;
        self.steps += settings.steps;
        self.clips += tasks * settings.samples;
    }
}

/// `3 of 22 runs finished, about 41 min left`: over the runs that are wanted, those whose methods are not chosen yet
/// included if nothing was asked for in particular.
pub fn words(out: &Path, settings: &Settings, wanted: &dyn Fn(&RunId) -> bool, all: bool) -> Result<String> {
    let (mut total, mut done, mut cost) = (Work::default(), Work::default(), RunCost::default());
    for plan in &settings.world {
        for id in known(out, settings, plan)?.into_iter().filter(|id| wanted(id)) {
            let tasks = Method::named(&id.method)?.tasks(settings)?.len();
            total.add(settings, tasks);
            if let Some(result) = RunFolder::of(out, &id).finished()? {
                done.add(settings, tasks);
                cost.train.wall_s += result.cost.train.wall_s;
                cost.sample.wall_s += result.cost.sample.wall_s + result.cost.score.wall_s;
            }
        }
        if all && super::methods(out, settings, plan)?.is_none() {
            let unknown = plan.strongest_rivals * settings.seeds.len();
            (0..unknown).for_each(|_| total.add(settings, settings.tasks.len()));
        }
    }
    let place = format!("{} of {} runs finished", done.runs, total.runs);
    if done.runs == 0 {
        return Ok(place);
    }
    let left = cost.train.wall_s / done.steps as f64 * (total.steps - done.steps) as f64
        + cost.sample.wall_s / done.clips as f64 * (total.clips - done.clips) as f64;
    Ok(format!("{place}, about {:.0} min left", (left / 60.0).ceil()))
}

/// The runs of a world whose methods are known.
fn known(out: &Path, settings: &Settings, plan: &WorldPlan) -> Result<Vec<RunId>> {
    let methods = super::methods(out, settings, plan)?.unwrap_or_else(|| plan.methods.clone());
    Ok(runs(plan.name, &methods, &settings.seeds))
}
