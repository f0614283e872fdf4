//! What is there: every finished run with its distances and its agreements, ready for the report.

use super::measured::Measured;
use super::place;
use super::reality::{CODED, OTHER, Place, TRUE};
use super::rivals::{self, Kinds, Scores, scores};
use super::run::{RunFolder, RunResult, differences, write_plain};
use super::score::{Distance, Distances, distances, of_set};
use super::settings::{MONL, Method, RunId, Settings, WorldPlan};
use anyhow::{Context, Result};
use avdit_core::Task;
use avdit_media::world::{Agreement, IdentityAgreement, WorldKind, agreement, identity_agreement};
use avdit_trainer::checkpoint::read_json;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Of all statistics that draw.
const SEED: u64 = 0;

/// What is measured of a set of clips beside distances: kept beside the set, for it takes a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Agreements {
    pub law: Option<Agreement>,
    /// Where a task continues.
    pub identity: Option<IdentityAgreement>,
}

/// A task of a run.
pub struct TaskResult {
    pub task: Task,
    pub distances: Distances,
    pub agreements: Agreements,
}

/// A finished run.
pub struct RunResults {
    pub id: RunId,
    pub folder: RunFolder,
    pub result: RunResult,
    pub tasks: Vec<TaskResult>,
}

/// A method on a world.
pub struct MethodResults {
    pub method: Method,
    /// Its finished runs, by seed.
    pub runs: Vec<RunResults>,
}

/// True clips on a world: what can be reached at best.
pub struct Truth {
    /// Other true clips, and coded ones, whole: distances from the true ones.
    pub other: Distances,
    pub coded: Distances,
    pub law: Agreements,
    pub law_coded: Agreements,
    /// Of the task that continues, if there is one: identity in the true clips and in coded ones.
    pub continued: Option<(Task, Agreements, Agreements)>,
}

/// A world.
pub struct WorldResults {
    pub kind: WorldKind,
    pub place: Place,
    /// Every method that is meant to run; of a world whose rivals are not chosen yet, those known.
    pub methods: Vec<MethodResults>,
    pub rivals_are_chosen: bool,
    pub truth: Option<Truth>,
}

impl Agreements {
    /// The file beside a measured set that keeps them.
    pub fn file_of(measured: &Path) -> PathBuf {
        measured.with_extension("agreements.json")
    }

    /// Of a set that is measured in a file.
    pub fn of(measured: &Path) -> Result<Self> {
        let path = Self::file_of(measured);
        if let Some(found) = path.is_file().then(|| read_json(&path)).and_then(Result::ok) {
            return Ok(found);
        }
        let set = Measured::read(measured)?;
        let continues = !set.identity.is_empty();
        let found = Self {
            law: agreement(&set.tracks, SEED),
            identity: continues.then(|| identity_agreement(&set.identity, SEED)),
        };
        write_plain(&path, &found)?;
        Ok(found)
    }
}

impl WorldResults {
    /// Reads what there is of a world.
    pub fn read(out: &Path, settings: &Settings, plan: &WorldPlan) -> Result<Self> {
        let place = place(out, plan.name);
        let chosen = super::methods(out, settings, plan)?;
        let names = chosen.clone().unwrap_or_else(|| plan.methods.clone());
        let methods = names.iter().map(|name| MethodResults::read(out, settings, plan.name, name));
        let there = place.measured(CODED, None).is_file();
        Ok(Self {
            kind: plan.name,
            methods: methods.collect::<Result<_>>()?,
            rivals_are_chosen: chosen.is_some(),
            truth: there.then(|| Truth::read(&place, settings)).transpose()?,
            place,
        })
    }

    pub fn method(&self, name: &str) -> Option<&MethodResults> {
        self.methods.iter().find(|found| found.method.name == name)
    }

    pub fn monl(&self) -> Option<&MethodResults> {
        self.method(MONL).filter(|found| !found.runs.is_empty())
    }

    /// The methods that compete with MoNL and have runs.
    pub fn rivals(&self) -> impl Iterator<Item = &MethodResults> {
        self.methods.iter().filter(|found| found.method.rival && !found.runs.is_empty())
    }
}

impl Truth {
    fn read(place: &Place, settings: &Settings) -> Result<Self> {
        let whole = |set: &str| of_set(place, settings, &Task::Joint, &place.measured(set, None));
        let mut continued = None;
        for task in settings.tasks()? {
            if let (Task::Continue(_), true) = (&task, place.measured(TRUE, Some(&task)).is_file()) {
                let of = |set: &str| Agreements::of(&place.measured(set, Some(&task)));
                continued = Some((task.clone(), of(TRUE)?, of(CODED)?));
            }
        }
        Ok(Self {
            other: whole(OTHER)?,
            coded: whole(CODED)?,
            law: Agreements::of(&place.measured(TRUE, None))?,
            law_coded: Agreements::of(&place.measured(CODED, None))?,
            continued,
        })
    }
}

impl MethodResults {
    fn read(out: &Path, settings: &Settings, world: WorldKind, name: &str) -> Result<Self> {
        let method = Method::named(name)?;
        let place = place(out, world);
        let mut runs = Vec::new();
        for &seed in &settings.seeds {
            let id = RunId { world, method: name.to_owned(), seed };
            let folder = RunFolder::of(out, &id);
            let Some(result) = folder.finished()? else { continue };
            let tasks = method.tasks(settings)?.into_iter().map(|task| -> Result<TaskResult> {
                Ok(TaskResult {
                    distances: distances(out, &place, settings, &id, &task)?,
                    agreements: Agreements::of(&folder.measured(&task))?,
                    task,
                })
            });
            let tasks = tasks.collect::<Result<_>>().with_context(|| id.to_string())?;
            runs.push(RunResults { id, folder, result, tasks });
        }
        Ok(Self { method, runs })
    }

    /// The tasks of the runs whose seed another method has run as well.
    pub fn common<'a>(&'a self, other: &'a Self) -> (Vec<&'a RunResults>, Vec<&'a RunResults>) {
        let pairs = self.runs.iter().filter_map(|run| {
            let partner = other.runs.iter().find(|found| found.id.seed == run.id.seed)?;
            Some((run, partner))
        });
        pairs.unzip()
    }

    /// Every run's task of a name.
    pub fn of_task(&self, task: &Task) -> Vec<&TaskResult> {
        let tasks = self.runs.iter().flat_map(|run| &run.tasks);
        tasks.filter(|found| found.task == *task).collect()
    }

    /// The mean over seeds of the distances of a task: of all clips, and of each resample.
    pub fn distance(&self, task: &Task, kind: &str) -> Option<Distance> {
        let found: Vec<&Distance> =
            self.of_task(task).iter().filter_map(|result| result.distances.get(kind)).collect();
        mean(&found)
    }
}

/// The mean of distances, resample by resample.
pub fn mean(found: &[&Distance]) -> Option<Distance> {
    let (first, n) = (found.first()?, found.len() as f64);
    let at = |round: usize| found.iter().map(|distance| distance.resamples[round]).sum::<f64>() / n;
    Some(Distance {
        all: found.iter().map(|distance| distance.all).sum::<f64>() / n,
        resamples: (0..first.resamples.len()).map(at).collect(),
    })
}

/// The scores of runs.
pub fn scores_of(runs: &[&RunResults], kinds: Kinds) -> Option<Scores> {
    let distances: Vec<Vec<(Task, Distances)>> = runs
        .iter()
        .map(|run| run.tasks.iter().map(|task| (task.task.clone(), task.distances.clone())).collect())
        .collect();
    scores(&distances, kinds)
}

/// The experiment as far as it is.
pub struct Results {
    pub settings: Settings,
    pub worlds: Vec<WorldResults>,
    pub choice: Option<rivals::Choice>,
}

impl Results {
    pub fn read(out: &Path, settings: &Settings) -> Result<Self> {
        let worlds = settings.world.iter().map(|plan| WorldResults::read(out, settings, plan));
        Ok(Self {
            settings: settings.clone(),
            worlds: worlds.collect::<Result<_>>()?,
            choice: rivals::chosen(out)?,
        })
    }

    /// Runs that are finished, and those that are meant to be, as far as they are known.
    pub fn counts(&self) -> (usize, usize) {
        let methods = || self.worlds.iter().flat_map(|world| &world.methods);
        let finished = methods().map(|method| method.runs.len()).sum();
        let missing: usize = self
            .settings
            .world
            .iter()
            .zip(&self.worlds)
            .filter(|(_, world)| !world.rivals_are_chosen)
            .map(|(plan, _)| plan.strongest_rivals)
            .sum();
        (finished, (methods().count() + missing) * self.settings.seeds.len())
    }

    /// Where trainings differ in what all should share.
    pub fn unlike(&self) -> Vec<String> {
        let Some(first) = self.runs().next() else { return Vec::new() };
        let own = ["data", "out", "seed", "objective.strategy", "objective.task", "objective.monl_weights"];
        let of = |run: &RunResults| -> Vec<String> {
            let found = differences(&first.result.config, &run.result.config, &own);
            let named = found.into_iter().map(|what| format!("{} beside {}: {what}", run.id, first.id));
            named.map(|text| text.replace("there ", "").replace("here ", "")).collect()
        };
        self.runs().flat_map(of).collect()
    }

    /// Every finished run.
    pub fn runs(&self) -> impl Iterator<Item = &RunResults> {
        self.worlds.iter().flat_map(|world| &world.methods).flat_map(|method| &method.runs)
    }
}
