//! Table 1 of the paper, and our rows beside it.

use super::measured::{AUDIO, VIDEO};
use super::results::{MethodResults, WorldResults, mean};
use super::score::Distance;
use anyhow::Result;
use avdit_core::Task;
use serde::Deserialize;
use std::collections::BTreeMap;

/// A number for sound and one for pictures, where a task makes them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pair {
    pub audio: Option<f64>,
    pub video: Option<f64>,
}

impl Pair {
    pub fn of(&self, kind: &str) -> Option<f64> {
        if kind == VIDEO { self.video } else { self.audio }
    }
}

/// A row of the paper.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    pub name: String,
    /// Our method, for all tasks.
    method: Option<String>,
    /// Or by task.
    #[serde(default)]
    methods: BTreeMap<String, String>,
    joint: Pair,
    a2v: Pair,
    v2a: Pair,
    inpaint: Pair,
    #[serde(rename = "continue")]
    continued: Pair,
    average: Pair,
}

#[derive(Deserialize)]
struct Table {
    row: Vec<Row>,
}

/// The paper's rows, in its order.
pub fn rows() -> Result<Vec<Row>> {
    let table: Table = toml::from_str(include_str!("../../../../trainer/experiments/monl/paper.toml"))?;
    Ok(table.row)
}

impl Row {
    /// The paper's numbers of a task.
    pub fn paper(&self, task: &Task) -> Pair {
        match task {
            Task::Joint => self.joint,
            Task::AudioToVideo => self.a2v,
            Task::VideoToAudio => self.v2a,
            Task::Inpaint => self.inpaint,
            Task::Continue(_) => self.continued,
            Task::Custom(_) => Pair::default(),
        }
    }

    /// The paper's average.
    pub fn paper_average(&self) -> Pair {
        self.average
    }

    /// The method that makes this row's clips of a task.
    pub fn method<'a>(&self, world: &'a WorldResults, task: &Task) -> Option<&'a MethodResults> {
        let name = self.method.as_ref().or_else(|| self.methods.get(&task.to_string()))?;
        world.method(name)
    }

    /// Whether a world has the row's methods.
    pub fn is_on(&self, world: &WorldResults) -> bool {
        self.method.iter().chain(self.methods.values()).all(|name| world.method(name).is_some())
    }

    /// Whether the row is one model for all tasks.
    pub fn is_one_model(&self) -> bool {
        self.method.is_some()
    }

    /// Our distance of a task, the mean over seeds.
    pub fn ours(&self, world: &WorldResults, task: &Task, kind: &str) -> Option<Distance> {
        self.method(world, task)?.distance(task, kind)
    }

    /// Our average as the paper's: the mean over the tasks that make the kind; none if one is missing.
    pub fn our_average(&self, world: &WorldResults, tasks: &[Task], kind: &str) -> Option<Distance> {
        let making = tasks.iter().filter(|task| makes(task, kind));
        let found: Vec<Distance> = making.map(|task| self.ours(world, task, kind)).collect::<Option<_>>()?;
        mean(&found.iter().collect::<Vec<_>>())
    }

    /// Seeds that a task's number is the mean of.
    pub fn seeds(&self, world: &WorldResults, task: &Task) -> usize {
        self.method(world, task).map_or(0, |method| method.of_task(task).len())
    }
}

/// Whether a task makes pictures or sound.
pub fn makes(task: &Task, kind: &str) -> bool {
    match task {
        Task::AudioToVideo => kind == VIDEO,
        Task::VideoToAudio => kind == AUDIO,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_averages_are_those_of_its_tasks() {
        let tasks = [Task::Joint, Task::AudioToVideo, Task::VideoToAudio, Task::Inpaint, Task::Continue(2)];
        let rows = rows().unwrap();
        assert_eq!(rows.len(), 7);
        for row in &rows {
            for kind in [VIDEO, AUDIO] {
                let found: Vec<f64> = tasks
                    .iter()
                    .filter(|task| makes(task, kind))
                    .map(|task| row.paper(task).of(kind).unwrap())
                    .collect();
                let mean = found.iter().sum::<f64>() / 4.0;
                let told = row.paper_average().of(kind).unwrap();
                // Rounded, and once not to the nearest.
                assert!((mean - told).abs() < 0.08, "{}, {kind}: {mean} and {told}", row.name);
            }
        }
    }
}
