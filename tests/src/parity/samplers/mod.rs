//! Kinds `samplers_*`: whole runs of published schedulers on a closed-form model, every state compared.
//!
//! A configuration is turned into [`Run`]: a method of `core` and the points that it visits. The published conventions
//! (which timesteps, which sigmas, which defaults) live here; the steps themselves are core's.

mod beta;
mod discrete;
mod flow;
mod kwargs;
mod model;
mod multistep;
mod sigmas;
mod tables;
mod trajectory;

pub(super) use kwargs::Kwargs;
pub(super) use model::Model;

use super::{Golden, Row, relative, scaled};
use anyhow::{Context, Result, bail};
use avdit_core::Target;
use avdit_core::sampler::{Clip, Method, Move, Point};
use avdit_core::schedule::Rates;
use serde_json::Value;

/// A configuration of a scheduler, translated.
#[derive(Debug)]
struct Run {
    method: Method,
    target: Target,
    clip: Option<Clip>,
    /// t handed to the model at each evaluation.
    timesteps: Vec<f64>,
    /// The scheduler's own list, where it has one.
    sigmas: Option<Vec<f64>>,
    moves: Vec<Move>,
    /// The first state over x_T.
    start: f64,
    /// Whether the states are x/α.
    exploding: bool,
    /// Whether the timesteps must be equal, and not merely close.
    exact_timesteps: bool,
}

/// One step per pair of neighbouring rates; the levels count the steps left, which keeps them apart where timesteps
/// repeat.
fn moves(
    rates: &[(Rates, Rates)],
    max_order: impl Fn(usize) -> usize,
    correct: impl Fn(usize) -> bool,
) -> Vec<Move> {
    let left = |i: usize| (rates.len() - i) as f64;
    let each = rates.iter().enumerate().map(|(i, &(from, to))| Move {
        from: Point { rates: from, level: left(i) },
        to: Point { rates: to, level: left(i + 1) },
        max_order: max_order(i),
        correct: correct(i),
    });
    each.collect()
}

/// α and σ of a variance-preserving state whose ratio σ/α is given.
fn of_ratio(sigma: f64) -> Rates {
    let alpha = 1.0 / (1.0 + sigma * sigma).sqrt();
    Rates { alpha, sigma: sigma * alpha }
}

/// Every configuration at every number of steps.
pub(super) fn cases(golden: &Golden) -> Vec<Row> {
    let configs = match golden.object("configs") {
        Ok(configs) => configs,
        Err(error) => return vec![Row::failed(&golden.name, "configs", "core", &error)],
    };
    let mut rows = Vec::new();
    for (name, config) in configs {
        let counts = golden.json["steps"].as_array().cloned().unwrap_or_default();
        if counts.is_empty() {
            let error = anyhow::anyhow!("no list 'steps' in the specification");
            rows.push(Row::failed(&golden.name, name, "core", &error));
        }
        for count in counts {
            let case = format!("{name}.n{count}");
            match rows_of(golden, config, &case, &count) {
                Ok(found) => rows.extend(found),
                Err(error) => rows.push(Row::failed(&golden.name, case, "core", &error)),
            }
        }
    }
    rows
}

fn rows_of(golden: &Golden, config: &Value, case: &str, count: &Value) -> Result<Vec<Row>> {
    let count = count.as_u64().context("a number of steps that is not whole")? as usize;
    let run = translate(golden, config, count)?;
    let third = config["kwargs"]["solver_order"].as_u64() == Some(3);
    let double = golden.tolerance(if third { "order-3 UniPC/DPM: " } else { "|dx| <= " })?;
    let single = golden.tolerance("compare with ")?;

    let file = &golden.name;
    let expected = &golden.tensor(&format!("{case}.timesteps"))?.data;
    let allowed = if run.exact_timesteps { 0.0 } else { golden.tolerance("karras/flow: ")? };
    let mut rows = vec![Row::new(
        file,
        format!("{case} timesteps"),
        "core f64",
        apart(&run.timesteps, expected),
        allowed,
    )];
    if let (Some(sigmas), Ok(expected)) = (&run.sigmas, golden.tensor(&format!("{case}.sigmas"))) {
        let error = relative(sigmas, &expected.data);
        rows.push(Row::new(
            file,
            format!("{case} sigmas"),
            "core f64",
            error,
            golden.tolerance("sigmas rel ")?,
        ));
    }
    let states = golden.tensor(&format!("{case}.x"))?;
    for (engine, tolerance, made) in [
        ("core f64", double, trajectory::of::<f64>(golden, &run)),
        ("core f32", single, trajectory::of::<f32>(golden, &run)),
    ] {
        let what = format!("{case} x");
        rows.push(match made {
            Ok(made) if made.len() * states.shape[0].max(1) == 0 || made.len() != states.shape[0] => {
                let error = anyhow::anyhow!("{} states, expected {}", made.len(), states.shape[0]);
                Row::failed(file, what, engine, &error)
            }
            Ok(made) => {
                let mut worst = 0.0f64;
                for (index, state) in made.iter().enumerate() {
                    let error = scaled(state, states.part(index)?);
                    worst = if error.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(error) };
                }
                Row::new(file, what, engine, worst, tolerance)
            }
            Err(error) => Row::failed(file, what, engine, &error),
        });
    }
    Ok(rows)
}

/// [`relative`] to whole steps: an index of 0 may come out as 1e-14.
fn apart(got: &[f64], expected: &[f64]) -> f64 {
    let tiny = |(a, b): (&f64, &f64)| if b.abs() < 1.0 { 1.0 + a - b } else { *a };
    let shifted: Vec<f64> = got.iter().zip(expected).map(tiny).collect();
    let expected: Vec<f64> = expected.iter().map(|&b| if b.abs() < 1.0 { 1.0 } else { b }).collect();
    if got.len() == expected.len() { relative(&shifted, &expected) } else { f64::NAN }
}

/// Reads a configuration; anything in it that is not understood is an error.
fn translate(golden: &Golden, config: &Value, count: usize) -> Result<Run> {
    let class = config["class"].as_str().context("no class in the configuration")?;
    let kwargs = Kwargs::new("kwargs", &config["kwargs"])?;
    let at_set = Kwargs::new("set_timesteps_kwargs", &config["set_timesteps_kwargs"])?;
    let at_step = Kwargs::new("step_kwargs", &config["step_kwargs"])?;
    let trained = golden.json["num_train_timesteps"].as_u64().unwrap_or(1000) as usize;
    let run = match class {
        "DDPMScheduler" => discrete::ddpm(&kwargs, trained, count),
        "DDIMScheduler" => discrete::ddim(&kwargs, &at_step, trained, count),
        "EulerDiscreteScheduler" => sigmas::euler(&kwargs, trained, count),
        "EulerAncestralDiscreteScheduler" => sigmas::euler_ancestral(&kwargs, trained, count),
        "HeunDiscreteScheduler" => sigmas::heun(&kwargs, trained, count),
        "DPMSolverMultistepScheduler" => multistep::dpm(&kwargs, &at_set, trained, count),
        "UniPCMultistepScheduler" => multistep::unipc(&kwargs, &at_set, trained, count),
        "FlowMatchEulerDiscreteScheduler" => flow::euler(&kwargs, &at_set, trained, count),
        _ => bail!("class {class} is not known"),
    }?;
    for read in [&kwargs, &at_set, &at_step] {
        read.finish()?;
    }
    Ok(run)
}
