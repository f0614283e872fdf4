//! Quality against time: sets between none and all of the units, each measured as the result is.

use super::gate::latency;
use super::integers::worst_trajectory;
use super::quality::Point;
use super::recipe::Made;
use super::{Job, recipe};
use crate::progress::Stage;
use anyhow::Result;
use avdit_quantize::quality::{errors, worst_db};
use avdit_quantize::{Found, Recipe};
use avdit_runtime::Engine;
use std::collections::BTreeSet;

/// Sets between none and all.
const PARTS: usize = 6;

/// The points, from the fewest units to all of them; the chosen set is among them.
pub fn measure(job: &Job<'_>, made: &Made, found: &Found, source: &mut dyn Engine) -> Result<Vec<Point>> {
    let Some(form) = job.precision.form() else { return Ok(Vec::new()) };
    let n = found.order.len();
    let mut sizes: BTreeSet<usize> = (1..=PARTS).map(|part| n * part / PARTS).collect();
    sizes.insert(found.chosen.len());
    let mut stage = Stage::new("curve", sizes.len(), "sets");
    let mut points = Vec::new();
    for (done, size) in sizes.into_iter().filter(|size| *size > 0).enumerate() {
        let set = &found.order[..size];
        let recipe = Recipe {
            units: set.iter().map(|unit| (unit.unit.clone(), form)).collect(),
            smoothing: made.recipe.smoothing.clone(),
            ..recipe::empty(job)
        };
        let mut model = job.model.clone();
        recipe.apply(&mut model, &made.calibration)?;
        let mut engine = job.bench()?.engine(&model).map_err(|error| anyhow::anyhow!(error))?;
        let latency = latency(job, [source, engine.as_mut()])?;
        let prediction_db = worst_db(&errors(engine.as_mut(), &job.states)?);
        let trajectory_db = worst_trajectory(job, engine.as_mut())?;
        let chosen = size == found.chosen.len();
        let point = Point { units: size, chosen, prediction_db, trajectory_db, latency };
        stage.set(
            done + 1,
            &format!("{size} units, {trajectory_db:.1} dB, {:.2} × the time", latency.ratio()),
        );
        points.push(point);
    }
    stage.finish(&format!("{} sets", points.len()));
    Ok(points)
}
