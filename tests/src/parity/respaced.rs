//! Kind `respaced_diffusion`: ADM's respaced chains with a learned variance, and the bound they are trained with.

use super::samplers::{Kwargs, Model};
use super::{Golden, Row, relative, scaled};
use anyhow::{Context, Result, bail, ensure};
use avdit_core::likelihood::{BoundElement, Posterior};
use avdit_core::respace::space_timesteps;
use avdit_core::sampler::{Clip, Extras, Method, Move, Point, Real, Stepper, Variance};
use avdit_core::{AudioLayout, Latents, Layout, NoiseSchedule, ScheduleKind, Target, VideoLayout};
use serde_json::Value;

/// Steps of the chain before it is respaced.
const STEPS: usize = 1000;

/// Every run, and the losses.
pub(super) fn cases(golden: &Golden) -> Vec<Row> {
    let mut rows = Vec::new();
    match golden.object("runs") {
        Ok(runs) => {
            for (name, run) in runs {
                let found = chain_rows(golden, name, run);
                rows.extend(found.unwrap_or_else(|e| vec![Row::failed(&golden.name, name, "core", &e)]));
            }
        }
        Err(error) => rows.push(Row::failed(&golden.name, "runs", "core", &error)),
    }
    let losses = loss_rows(golden);
    rows.extend(losses.unwrap_or_else(|e| vec![Row::failed(&golden.name, "loss", "core", &e)]));
    rows
}

/// A run's configuration.
struct Run {
    kept: Vec<usize>,
    schedule: NoiseSchedule,
    method: Method,
    clip: Option<Clip>,
}

impl Run {
    fn read(value: &Value) -> Result<Self> {
        let kwargs = Kwargs::new("run", value)?;
        let kept = match kwargs.text("create_diffusion", "")? {
            "" => (0..STEPS).collect(),
            spec => space_timesteps(STEPS, spec)?,
        };
        let method = match kwargs.text("kind", "")? {
            "ddpm" => Method::Ddpm { variance: Variance::LearnedRange, noisy_end: false },
            "ddim" => Method::Ddim { eta: kwargs.number_or("eta", 0.0)?, from_clipped: true },
            other => bail!("kind = {other} is not supported"),
        };
        let clip = kwargs.flag("clip_denoised", false)?.then_some(Clip::Range(1.0));
        let steps = kwargs.count_or("steps", kept.len())?;
        ensure!(steps == kept.len(), "{} steps are kept, the specification says {steps}", kept.len());
        // What remains describes the reference.
        kwargs.number("max_rel_diff_of_float32_run")?;
        kwargs.text("noise_used", "")?;
        kwargs.finish()?;
        let schedule = NoiseSchedule::new(ScheduleKind::Linear, STEPS)?.respaced(&kept)?;
        Ok(Self { kept, schedule, method, clip })
    }
}

fn chain_rows(golden: &Golden, name: &str, value: &Value) -> Result<Vec<Row>> {
    let run = Run::read(value)?;
    let file = &golden.name;
    let tensor = |what: &str| golden.tensor(&format!("{name}.{what}"));
    let kept: Vec<f64> = run.kept.iter().map(|&index| index as f64).collect();
    let map = relative(&kept, &tensor("timestep_map")?.data);
    let betas = relative(run.schedule.betas(), &tensor("betas")?.data);
    let mut rows = vec![
        Row::new(file, format!("{name} timestep_map"), "core f64", map, 0.0),
        Row::new(file, format!("{name} betas"), "core f64", betas, golden.tolerance("betas: \"rel ")?),
    ];
    let double = golden.tolerance("|dx| <= ")?;
    let single = golden.tolerance_before(" in float32")?;
    let states = tensor("x")?;
    let clean = &tensor("pred_xstart_last")?.data;
    for (engine, tolerance, made) in [
        ("core f64", double, trajectory::<f64>(golden, &run)?),
        ("core f32", single, trajectory::<f32>(golden, &run)?),
    ] {
        ensure!(
            made.states.len() == states.shape[0],
            "{} states, not {}",
            made.states.len(),
            states.shape[0]
        );
        let mut worst = 0.0f64;
        for (index, state) in made.states.iter().enumerate() {
            let error = scaled(state, states.part(index)?);
            worst = if error.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(error) };
        }
        rows.push(Row::new(file, format!("{name} x"), engine, worst, tolerance));
        let error = scaled(&made.clean, clean);
        rows.push(Row::new(file, format!("{name} pred_xstart_last"), engine, error, tolerance));
    }
    Ok(rows)
}

/// The states after every step, and the clean latents predicted at the last.
struct Made {
    states: Vec<Vec<f64>>,
    clean: Vec<f64>,
}

fn trajectory<T: Real>(golden: &Golden, run: &Run) -> Result<Made> {
    let model = Model::new(golden)?;
    let start = golden.tensor("x_T")?;
    let (batch, len) = (start.shape[0], start.shape[1..].iter().product());
    let layout = one_cell(len)?;
    let latents = |values: &mut dyn Iterator<Item = f64>| Latents::<T> {
        batch,
        video: values.map(T::from_f64).collect(),
        audio: vec![T::default(); batch],
    };
    let mut x = latents(&mut start.data.iter().copied());
    let mut stepper = Stepper::<T>::new(run.method, Target::Epsilon, run.clip, &layout, batch)?;
    let noise = golden.tensor("noise")?;
    let mut made = Made { states: Vec::new(), clean: Vec::new() };
    for (step, &index) in run.kept.iter().rev().enumerate() {
        let level = (run.kept.len() - step) as f64;
        let from = Point::at(&run.schedule, level);
        stepper.begin(&vec![Move::new(from, Point::at(&run.schedule, level - 1.0)); layout.cells()])?;
        let u = index as f64 / 1000.0;
        let each = |f: &dyn Fn(f64) -> f64| latents(&mut x.video.iter().map(|x| f(x.to_f64())));
        let prediction = each(&|x| model.epsilon(x, u));
        let variance = each(&|x| model.variance(x, u));
        let noise = latents(&mut noise.part(step)?.iter().copied());
        made.clean = x
            .video
            .iter()
            .zip(&prediction.video)
            .map(|(x, p)| clean(run, from, x.to_f64(), p.to_f64()))
            .collect();
        stepper.advance(&mut x, &prediction, Extras { noise: Some(&noise), variance: Some(&variance) })?;
        made.states.push(x.video.iter().map(|x| x.to_f64()).collect());
    }
    Ok(made)
}

fn clean(run: &Run, from: Point, x: f64, epsilon: f64) -> f64 {
    let linear = Target::Epsilon.to_x0(from.rates);
    let clean = linear.x * x + linear.prediction * epsilon;
    if run.clip.is_some() { clean.clamp(-1.0, 1.0) } else { clean }
}

/// All elements of an item as one cell of pictures, beside one element of sound.
fn one_cell(len: usize) -> Result<Layout> {
    let video = VideoLayout { frames: 1, channels: len, height: 1, width: 1, segments: vec![1] };
    Ok(Layout::new(video, AudioLayout { frames: 1, channels: 1, segments: vec![1] })?)
}

/// Mean squared error of ε and the bound with the mean held fixed, per example, on the chain before respacing.
fn loss_rows(golden: &Golden) -> Result<Vec<Row>> {
    let model = Model::new(golden)?;
    let tolerance = golden.tolerance("losses: \"rel ")?;
    let schedule = NoiseSchedule::new(ScheduleKind::Linear, STEPS)?;
    let posterior = Posterior::new(&schedule)?;
    let (x0, noise) = (golden.tensor("loss.x0")?, golden.tensor("loss.noise")?);
    let (mut noisy, mut mse, mut vb) = (Vec::new(), Vec::new(), Vec::new());
    for (item, &t) in golden.tensor("loss.t")?.data.iter().enumerate() {
        let rates = schedule.rates(t + 1.0);
        let (x0, noise) = (x0.part(item)?, noise.part(item)?);
        let (mut squares, mut bits) = (0.0, 0.0);
        for (&x0, &noise) in x0.iter().zip(noise) {
            let x = rates.alpha * x0 + rates.sigma * noise;
            let (epsilon, output) = (model.epsilon(x, t / 1000.0), model.variance(x, t / 1000.0));
            squares += (noise - epsilon).powi(2);
            bits += posterior.bound_bits(t as usize, BoundElement { x0, x, epsilon, output })?;
            noisy.push(x);
        }
        mse.push(squares / x0.len() as f64);
        vb.push(bits / x0.len() as f64);
    }
    let loss: Vec<f64> = mse.iter().zip(&vb).map(|(mse, vb)| mse + vb).collect();
    let row =
        |name: &str, error: f64, tolerance: f64| Row::new(&golden.name, name, "core f64", error, tolerance);
    let expected = |name: &str| golden.tensor(name).map(|tensor| &tensor.data).context("losses");
    Ok(vec![
        row("loss.x_t", scaled(&noisy, expected("loss.x_t")?), golden.tolerance("|dx| <= ")?),
        row("loss.mse", relative(&mse, expected("loss.mse")?), tolerance),
        row("loss.vb", relative(&vb, expected("loss.vb")?), tolerance),
        row("loss.loss", relative(&loss, expected("loss.loss")?), tolerance),
    ])
}
