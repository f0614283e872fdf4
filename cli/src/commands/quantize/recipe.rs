//! The recipe of a job: read, or found.

use super::Job;
use super::cache::Cache;
use super::integers::{self, Searched};
use crate::progress::Stage;
use anyhow::Result;
use avdit_onnx::Model;
use avdit_quantize::half_precision::{self, Half, Kept};
use avdit_quantize::{Calibration, Dialect, Found, Integers, Recipe, probe, units};
use avdit_runtime::EngineKind;
use std::collections::BTreeMap;

/// How many times the largest value that was seen a 16-bit float must hold: other clips have larger ones.
const HEADROOM: f32 = 4.0;

/// What a job makes.
pub struct Made {
    pub recipe: Recipe,
    /// The graph.
    pub model: Model,
    /// The graph whose numbers are those of `model` on an engine that does not compute in its precision.
    pub simulated: Option<Model>,
    pub calibration: Calibration,
    /// What the search found where there was one.
    pub found: Option<Found>,
    /// What a search measured: it goes once the result is written, so that one that fails the gate is quickly repeated.
    pub cache: Option<Cache>,
}

/// Reads or finds the recipe, and follows it.
pub fn make(job: &Job<'_>) -> Result<Made> {
    let (recipe, calibration, found, cache) = match (&job.recipe, job.precision.half()) {
        (Some((recipe, calibration)), _) => {
            let recipe = Recipe { budget_snr_db: job.args.budget_snr, ..recipe.clone() };
            (recipe, calibration.clone(), None, None)
        }
        (None, Some(half)) => (of_half(job, half)?, Calibration::default(), None, None),
        (None, None) => {
            let Searched { recipe, calibration, found, cache } = integers::search(job)?;
            (recipe, calibration, found, Some(cache))
        }
    };
    let mut model = job.model.clone();
    recipe.apply(&mut model, &calibration)?;
    let simulated = match recipe.precision.half() {
        Some(half) if half == Half::Bf16 => Some(simulated(&job.model, half, &recipe)?),
        _ => None,
    };
    Ok(Made { recipe, model, simulated, calibration, found, cache })
}

/// A recipe in which nothing is chosen yet.
pub fn empty(job: &Job<'_>) -> Recipe {
    Recipe {
        schema: Recipe::SCHEMA.to_owned(),
        precision: job.precision,
        budget_snr_db: job.args.budget_snr,
        integers: Integers {
            weight_bits: job.args.weight_bits.bits(),
            block: job.args.block,
            dialect: match job.target {
                EngineKind::OrtTensorRt => Dialect::TensorRt,
                EngineKind::OrtCpu => Dialect::OrtCpu,
                _ => Dialect::Portable,
            },
        },
        half_ports: job.args.half_ports,
        units: BTreeMap::new(),
        ranges: job.args.ranges,
        smoothing: BTreeMap::new(),
        kept: Kept::new(),
    }
}

fn simulated(model: &Model, half: Half, recipe: &Recipe) -> Result<Model> {
    let mut simulated = model.clone();
    units(&mut simulated)?;
    half_precision::simulate(&mut simulated, half, &recipe.kept, recipe.half_ports)?;
    Ok(simulated)
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
    let made = match half {
        Half::Bf16 => simulated(&model, half, &recipe)?,
        Half::Fp16 => {
            recipe.apply(&mut model, &Calibration::default())?;
            model
        }
    };
    if let Some(node) = probe::first_not_finite(&mut bench, &made, &job.states, job.args.memory.0)? {
        return Err(crate::exit::GateFailed(format!(
            "node {node} makes a number that is not finite in {}\n\nhint: add it to [kept] of a recipe and give that with --recipe",
            job.precision
        ))
        .into());
    }
    Ok(recipe)
}
