//! Which units fewer bits make slower: engines' products of bytes are not always ahead of their products of floats.

use super::bench::EngineBench;
use super::gate::pairs;
use super::{Job, integers};
use crate::progress::Stage;
use anyhow::Result;
use avdit_quantize::{Class, ClassTime, Search, Unit, classes};

/// Predictions of each graph that are timed, in turn.
const ROUNDS: usize = 7;
/// The least share of the multiply-adds of all units at which a class can be told from noise.
const LEAST_SHARE: f64 = 0.01;

/// The classes of units that are slower in the form of the search, each with what was measured: all units of a class are
/// quantized, and predictions timed against the source's in turn. Only where the form is there for speed, and where the
/// engine that measures is the one that the graph is for.
pub fn slower(job: &Job<'_>, search: &Search<'_>, bench: &EngineBench<'_>) -> Result<Vec<ClassTime>> {
    if !search.form.quantizes_activations() || job.target != job.args.engine {
        return Ok(Vec::new());
    }
    let all: u64 = search.units.iter().map(|(_, multiply_adds)| multiply_adds).sum();
    let share = |class: &Class<'_>| {
        let names = class.names();
        let of = |(unit, multiply_adds): &(Unit, u64)| names.contains(&unit.name).then_some(*multiply_adds);
        search.units.iter().filter_map(of).sum::<u64>() as f64 / all.max(1) as f64
    };
    let classes: Vec<Class<'_>> =
        classes(search.units).into_iter().filter(|class| share(class) >= LEAST_SHARE).collect();
    let mut stage = Stage::new("time of units in 8 bits", classes.len(), "kinds of units");
    let mut source = crate::engines::open(job.source, job.args.engine, &job.options())?;
    let mut slower = Vec::new();
    for (done, class) in classes.iter().enumerate() {
        let model = search.model_of(&class.names())?;
        let mut engine = bench.engine(&model).map_err(|error| anyhow::anyhow!(error))?;
        let rounds = pairs(job, [source.as_mut(), engine.as_mut()], ROUNDS)?;
        let pairs: Vec<[f64; 2]> = rounds.iter().map(|pair| pair.map(|took| took.wall_ms)).collect();
        let time = ClassTime::of(class, &pairs);
        stage.set(done + 1, &format!("{} and alike: {:.2} × the time", time.units[0], time.ratio));
        if time.is_slower() {
            slower.push(time);
        }
        integers::interrupted()?;
    }
    let units: usize = slower.iter().map(|time| time.units.len()).sum();
    stage.finish(&match units {
        0 => "none is slower".to_owned(),
        _ => format!("{units} units are slower and stay in single precision"),
    });
    Ok(slower)
}
