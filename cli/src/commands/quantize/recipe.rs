//! The recipe of a job: read, or found.

use super::Job;
use super::cache::Cache;
use crate::cancel;
use crate::exit::Interrupted;
use crate::progress::Stage;
use anyhow::Result;
use avdit_onnx::{Model, cost};
use avdit_quantize::half_precision::{self, Half, Kept};
use avdit_quantize::quality::{TaskQuality, trajectory};
use avdit_quantize::{Found, Integers, Precision, Recipe, Search, Unit, Workbench, probe, units};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

/// How many times the largest value that was seen a 16-bit float must hold: other clips have larger ones.
const HEADROOM: f32 = 4.0;
/// Searches with a stricter budget after one whose trajectories fell below.
const TRIES: usize = 8;
/// The most that a search becomes stricter at once, in decibels: trajectories lose less than predictions now and then.
const STRICTER_DB: f64 = 6.0;
/// What is added to the shortfall then, in decibels.
const MARGIN_DB: f64 = 0.5;

/// The recipe, the graph that it makes, and what the search found where there was one.
pub fn make(job: &Job<'_>) -> Result<(Recipe, Model, Option<Found>)> {
    let mut model = job.model.clone();
    if let Some(path) = &job.args.recipe {
        let recipe = Recipe { budget_snr_db: job.args.budget_snr, ..Recipe::read(path)? };
        recipe.apply(&mut model)?;
        return Ok((recipe, model, None));
    }
    let (recipe, found) = match job.args.precision.half() {
        Some(half) => (of_half(job, half)?, None),
        None => of_integers(job)?,
    };
    recipe.apply(&mut model)?;
    Ok((recipe, model, found))
}

fn empty(job: &Job<'_>) -> Recipe {
    Recipe {
        schema: Recipe::SCHEMA.to_owned(),
        precision: job.args.precision,
        budget_snr_db: job.args.budget_snr,
        integers: Integers { weight_bits: job.args.weight_bits.bits(), block: job.args.block },
        units: BTreeMap::new(),
        kept: Kept::new(),
    }
}

/// 16-bit floats: the ranges of all values on the trajectories say which nodes they do not hold.
fn of_half(job: &Job<'_>, half: Half) -> Result<Recipe> {
    let mut model = job.model.clone();
    units(&mut model)?;
    let mut bench = job.bench()?;
    let stage = Stage::new("ranges of values", 1, "graph");
    let largest = probe::magnitudes(&mut bench, &model, &job.states, job.args.memory.0)?;
    stage.finish(&format!("{} values", largest.len()));
    let kept = half_precision::kept(&model, half, &largest, HEADROOM)?;
    let recipe = Recipe { kept, ..empty(job) };
    let mut made = model;
    recipe.apply(&mut made)?;
    if let Some(node) = probe::first_not_finite(&mut bench, &made, &job.states, job.args.memory.0)? {
        return Err(crate::exit::GateFailed(format!(
            "node {node} makes a number that is not finite in {}\n\nhint: add it to [kept] of a recipe and give that with --recipe",
            job.args.precision
        ))
        .into());
    }
    Ok(recipe)
}

/// Units with the multiply-adds of one clip.
fn with_costs(model: &Model) -> Result<Vec<(Unit, u64)>> {
    let mut model = model.clone();
    let units = units(&mut model)?;
    let costs = cost::of(&model, &[("batch", 1)])?;
    let by_name: HashMap<&str, u64> =
        costs.iter().map(|node| (node.name.as_str(), node.cost.multiply_adds)).collect();
    let of = |unit: &Unit| unit.nodes.iter().filter_map(|node| by_name.get(node.as_str())).sum();
    Ok(units.into_iter().map(|unit| (unit.clone(), of(&unit))).collect())
}

fn of_integers(job: &Job<'_>) -> Result<(Recipe, Option<Found>)> {
    let precision: Precision = job.args.precision;
    let Some(form) = precision.form() else { unreachable!("16-bit floats have a way of their own") };
    let units = with_costs(&job.model)?;
    if units.is_empty() {
        let what = "its graph multiplies by no matrix of weights, so there is nothing to quantize";
        return Err(avdit_trainer::Error::content(job.source, what).into());
    }
    let recipe = empty(job);
    if job.args.everything {
        let all = units.iter().map(|(unit, _)| (unit.name.clone(), form)).collect();
        return Ok((Recipe { units: all, ..recipe }, None));
    }
    let mut search = Search {
        model: &job.model,
        units: &units,
        states: &job.states,
        form,
        integers: recipe.integers,
        budget_db: job.args.budget_snr,
    };
    let mut bench = job.bench()?;
    let key = json!({
        "files": job.record.files, "precision": precision, "integers": recipe.integers, "engine": job.args.engine.name(),
        "plan": format!("{:?}", job.plan), "calibrate": job.args.calibrate,
    });
    let mut cache = Cache::open(job.out, key)?;
    let known = cache.known();
    let mut stage = Stage::new("sensitivity of units", units.len(), "units");
    let sensitivities = search.sensitivities(&mut bench, &known, &mut |index, unit| {
        stage.set(index + 1, &format!("{} {:.1} dB", unit.unit, unit.worst_snr_db));
        let kept = cache.add(unit);
        kept.map_err(|error| {
            avdit_quantize::Error::mismatch(
                "cache of the search",
                "a file that can be written",
                format!("{error:#}"),
            )
        })?;
        stop_if_asked()
    });
    if cancel::asked() {
        return Err(Interrupted("run the same command again: it goes on from what is there".into()).into());
    }
    let sensitivities = sensitivities?;
    let weakest = sensitivities.iter().map(|unit| unit.worst_snr_db).fold(200.0, f64::min);
    stage.finish(&format!("the most sensitive alone leaves {weakest:.1} dB"));

    let mut all = Vec::new();
    for round in 0..TRIES {
        let mut stage = Stage::new(&format!("largest set within {:.1} dB", search.budget_db), 8, "sets");
        let mut tried = 0;
        let mut found = search.choose(&mut bench, sensitivities.clone(), &mut |candidate| {
            tried += 1;
            stage.set(tried, &format!("{} units, {:.1} dB", candidate.units, candidate.worst_snr_db));
        })?;
        stage.finish(&format!("{} of {} units", found.chosen.len(), units.len()));
        let worst = worst_trajectory(job, &search, &mut bench, &found.chosen)?;
        if worst >= job.args.budget_snr || round + 1 == TRIES || found.chosen.is_empty() {
            all.append(&mut found.measured);
            all.sort_by_key(|candidate| candidate.units);
            all.dedup_by_key(|candidate| candidate.units);
            found.measured = all;
            cache.done();
            return Ok((filled(recipe, found.clone(), &search), Some(found)));
        }
        tracing::info!("trajectories keep {worst:.1} dB: searching with a stricter budget");
        // Stricter than what this set keeps, or the same one is found again.
        let kept = found.measured.iter().find(|set| set.units == found.chosen.len());
        let reached = kept.map_or(search.budget_db, |set| set.worst_snr_db.max(search.budget_db));
        search.budget_db = reached + (job.args.budget_snr - worst).min(STRICTER_DB) + MARGIN_DB;
        all.append(&mut found.measured);
    }
    unreachable!("the last round returns")
}

fn stop_if_asked() -> avdit_quantize::Result<()> {
    match cancel::asked() {
        true => Err(avdit_quantize::Error::mismatch("search", "to go on", "ctrl-C")),
        false => Ok(()),
    }
}

fn worst_trajectory(
    job: &Job<'_>,
    search: &Search<'_>,
    bench: &mut dyn Workbench,
    chosen: &[String],
) -> Result<f64> {
    let model = search.model_of(chosen)?;
    let mut network = bench.open(&model).map_err(|error| anyhow::anyhow!(error))?;
    let mut worst = 200.0f64;
    for run in &job.runs {
        let (quality, _): (TaskQuality, _) = trajectory(network.as_mut(), run)?;
        worst = worst.min(quality.snr_db());
    }
    Ok(worst)
}

fn filled(recipe: Recipe, found: Found, search: &Search<'_>) -> Recipe {
    let units = found.chosen.iter().map(|name| (name.clone(), search.form)).collect();
    let left = found.order.iter().filter(|unit| !found.chosen.contains(&unit.unit));
    let reason = |worst: f64| {
        format!("alone it leaves {worst:.1} dB; with it, {:.1} dB are not kept", search.budget_db)
    };
    let kept = left.map(|unit| (unit.unit.clone(), reason(unit.worst_snr_db))).collect();
    Recipe { units, kept, ..recipe }
}
