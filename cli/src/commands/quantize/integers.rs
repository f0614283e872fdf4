//! Integers: calibration, every unit alone, and the largest set that keeps the budget.

use super::Job;
use super::cache::Cache;
use super::recipe;
use super::worth;
use crate::args::Smooth;
use crate::cancel;
use crate::exit::Interrupted;
use crate::progress::Stage;
use anyhow::Result;
use avdit_core::Denoiser;
use avdit_onnx::{Model, cost};
use avdit_quantize::quality::{TaskQuality, trajectory};
use avdit_quantize::{
    Calibration, Found, Gathered, Kind, Recipe, Search, Sensitivity, Unit, Workbench, units,
};
use serde_json::json;
use std::collections::{BTreeMap, HashMap};

/// Searches with a stricter budget after one whose trajectories fell below.
const TRIES: usize = 8;
/// The most that a search becomes stricter at once, in decibels: trajectories lose less than predictions now and then.
const STRICTER_DB: f64 = 6.0;
/// What is added to the shortfall then, in decibels.
const MARGIN_DB: f64 = 0.5;

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

/// What a search leaves.
pub struct Searched {
    pub recipe: Recipe,
    /// What it was calibrated with.
    pub calibration: Calibration,
    /// Nothing where every unit was asked for.
    pub found: Option<Found>,
    /// What was measured, until the result is written.
    pub cache: Cache,
}

/// Finds the recipe.
pub fn search(job: &Job<'_>) -> Result<Searched> {
    let Some(form) = job.precision.form() else { unreachable!("16-bit floats have a way of their own") };
    let mut units = with_costs(&job.model)?;
    units.retain(|(unit, _)| form.fits(unit));
    if units.is_empty() {
        let what = "its graph has no products that can be quantized";
        return Err(avdit_trainer::Error::content(job.source, what).into());
    }
    let mut bench = job.bench()?;
    // Figures are those of these states: others would be another search.
    let states: Vec<String> =
        job.states.iter().map(|state| format!("{} {:?}", state.task, state.levels)).collect();
    let key = json!({
        "states": states,
        "files": job.record.files, "precision": job.precision, "integers": recipe::empty(job).integers,
        "engine": job.args.engine.name(), "plan": format!("{:?}", job.plan), "calibrate": job.args.calibrate,
        "smooth": format!("{:?}", job.args.smooth), "ranges": job.args.ranges,
    });
    let mut cache = Cache::open(job.out, key)?;
    let calibration = match form.quantizes_activations() {
        true => calibrate(job, &mut bench, &units, &mut cache)?,
        false => Calibration::default(),
    };
    let all: Vec<Unit> = units.iter().map(|(unit, _)| unit.clone()).collect();
    let everything = Recipe {
        units: all.iter().map(|unit| (unit.name.clone(), form)).collect(),
        smoothing: smoothing(job, &all, &calibration),
        ..recipe::empty(job)
    };
    if job.args.everything {
        return Ok(Searched { recipe: everything, calibration, found: None, cache });
    }
    let settings = everything.settings(&job.model, &all, &calibration)?;
    let mut search = Search {
        model: &job.model,
        units: &units,
        states: &job.states,
        form,
        settings: &settings,
        budget_db: job.args.budget_snr,
    };
    let slower = worth::slower(job, &search, &bench)?;
    let is_slower = |unit: &Unit| slower.iter().any(|class| class.units.contains(&unit.name));
    let faster: Vec<(Unit, u64)> = units.iter().filter(|(unit, _)| !is_slower(unit)).cloned().collect();
    search.units = &faster;
    let sensitivities = sensitivities(&search, &mut bench, &mut cache)?;
    let (search, mut found) = largest(job, search, &mut bench, &sensitivities)?;
    found.slower = slower;
    let recipe = filled(everything, &found, &search);
    Ok(Searched { recipe, calibration, found: Some(found), cache })
}

/// Inputs of units as they are on the trajectories.
fn calibrate(
    job: &Job<'_>,
    bench: &mut dyn Workbench,
    units: &[(Unit, u64)],
    cache: &mut Cache,
) -> Result<Calibration> {
    let all: Vec<Unit> = units.iter().map(|(unit, _)| unit.clone()).collect();
    let mut calibration = cache.calibration();
    let mut known = calibration.values.len();
    let mut stage = Stage::new("calibration", 100, "%");
    stage.begin_at(0);
    let most = recipe::empty(job).integers.most();
    let gathered = calibration.gather(
        bench,
        (&job.model, &all),
        &job.states,
        (job.args.memory.0, most),
        &mut |gathered| match gathered {
            Gathered::Share(share) => {
                stage.set((share * 100.0) as usize, &format!("{known} values"));
                Ok(())
            }
            Gathered::Values(seen) => {
                known = seen.values.len();
                cache.saw(seen).map_err(cannot_cache)?;
                stop_if_asked()
            }
        },
    );
    interrupted()?;
    gathered?;
    let smoothed = calibration.values.values().filter(|value| value.smoothing.alpha > 0.0).count();
    stage.finish(&format!("{} values, {smoothed} better when smoothed", calibration.values.len()));
    Ok(calibration)
}

fn smoothing(job: &Job<'_>, units: &[Unit], calibration: &Calibration) -> BTreeMap<String, f32> {
    let of = |unit: &Unit| calibration.values.get(unit.input()?).map(|value| value.smoothing.alpha);
    let units = units.iter().filter(|unit| unit.kind == Kind::Weights && job.args.smooth == Smooth::Auto);
    let strengths = units.filter_map(|unit| Some((unit.name.clone(), of(unit)?)));
    strengths.filter(|(_, alpha)| *alpha > 0.0).collect()
}

/// Every unit alone.
fn sensitivities(
    search: &Search<'_>,
    bench: &mut dyn Workbench,
    cache: &mut Cache,
) -> Result<Vec<Sensitivity>> {
    let known = cache.known();
    let mut stage = Stage::new("sensitivity of units", search.units.len(), "units");
    let found = search.sensitivities(bench, &known, &mut |index, unit| {
        stage.set(index + 1, &format!("{} {:.1} dB", unit.unit, unit.worst_snr_db));
        cache.add(unit).map_err(cannot_cache)?;
        stop_if_asked()
    });
    interrupted()?;
    let found = found?;
    let weakest = found.iter().map(|unit| unit.worst_snr_db).fold(200.0, f64::min);
    stage.finish(&format!("the most sensitive alone leaves {weakest:.1} dB"));
    Ok(found)
}

/// The largest set whose predictions and trajectories keep the budget.
fn largest<'a>(
    job: &Job<'_>,
    mut search: Search<'a>,
    bench: &mut dyn Workbench,
    sensitivities: &[Sensitivity],
) -> Result<(Search<'a>, Found)> {
    let mut all = Vec::new();
    for round in 0..TRIES {
        let mut stage = Stage::new(&format!("largest set within {:.1} dB", search.budget_db), 8, "sets");
        let mut tried = 0;
        let mut found = search.choose(bench, sensitivities.to_vec(), &mut |candidate| {
            tried += 1;
            stage.set(tried, &format!("{} units, {:.1} dB", candidate.units, candidate.worst_snr_db));
        })?;
        stage.finish(&format!("{} of {} units", found.chosen.len(), search.units.len()));
        let mut network =
            bench.open(&search.model_of(&found.chosen)?).map_err(|error| anyhow::anyhow!(error))?;
        let worst = worst_trajectory(job, network.as_mut())?;
        if worst >= job.args.budget_snr || round + 1 == TRIES || found.chosen.is_empty() {
            all.append(&mut found.measured);
            all.sort_by_key(|candidate| candidate.units);
            all.dedup_by_key(|candidate| candidate.units);
            found.measured = all;
            return Ok((search, found));
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

fn cannot_cache(error: anyhow::Error) -> avdit_quantize::Error {
    avdit_quantize::Error::mismatch("cache of the search", "a file that can be written", format!("{error:#}"))
}

fn stop_if_asked() -> avdit_quantize::Result<()> {
    match cancel::asked() {
        true => Err(avdit_quantize::Error::mismatch("search", "to go on", "ctrl-C")),
        false => Ok(()),
    }
}

/// An error once ctrl-C was pressed.
pub fn interrupted() -> Result<()> {
    match cancel::asked() {
        true => Err(Interrupted("run the same command again: it goes on from what is there".into()).into()),
        false => Ok(()),
    }
}

/// The worst of all trajectories, in decibels.
pub fn worst_trajectory(job: &Job<'_>, network: &mut dyn Denoiser) -> Result<f64> {
    let mut worst = 200.0f64;
    for run in &job.runs {
        let (quality, _): (TaskQuality, _) = trajectory(network, run)?;
        worst = worst.min(quality.snr_db());
    }
    Ok(worst)
}

fn filled(everything: Recipe, found: &Found, search: &Search<'_>) -> Recipe {
    let units = found.chosen.iter().map(|name| (name.clone(), search.form)).collect();
    let left = found.order.iter().filter(|unit| !found.chosen.contains(&unit.unit));
    let reason = |worst: f64| {
        format!("alone it leaves {worst:.1} dB; with it, {:.1} dB are not kept", search.budget_db)
    };
    let kept = left.map(|unit| (unit.unit.clone(), reason(unit.worst_snr_db)));
    let slower = found.slower.iter().flat_map(|class| {
        let reason = format!(
            "8 bits are slower here: {:.2} × the time of a prediction with all {} units like it",
            class.ratio,
            class.units.len()
        );
        class.units.iter().map(move |unit| (unit.clone(), reason.clone()))
    });
    let kept = kept.chain(slower).collect();
    // Divisors are those of all units that share an input, chosen or not.
    Recipe { units, kept, ..everything }
}
