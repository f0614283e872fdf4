//! Runs core's steps on the model and records every state.

use super::super::{Golden, Tensor};
use super::Run;
use super::model::Model;
use anyhow::{Context, Result, ensure};
use avdit_core::sampler::{Extras, Real, Stepper};
use avdit_core::schedule::Rates;
use avdit_core::{AudioLayout, Latents, Layout, Modality, Target, VideoLayout};

/// Every state of a run, in the specification's scaling, the start first.
///
/// The tensor is laid out as both modalities at once, each with one cell per index of axis 1, and both must come out
/// the same.
pub(super) fn of<T: Real>(golden: &Golden, run: &Run) -> Result<Vec<Vec<f64>>> {
    let model = Model::new(golden)?;
    let start = golden.tensor("x_T")?;
    let layout = layout(start)?;
    let batch = start.shape[0];
    let alpha = |rates: Rates| if run.exploding { rates.alpha } else { 1.0 };
    let first = alpha(run.moves.first().context("a run without steps")?.from.rates);
    let mut states = vec![start.data.iter().map(|x| x * run.start).collect::<Vec<f64>>()];
    let mut x = doubled::<T>(batch, states[0].iter().map(|x| x * first));
    let mut stepper = Stepper::<T>::new(run.method, run.target, run.clip, &layout, batch)?;
    let mut evaluation = 0;
    for step in &run.moves {
        stepper.begin(&vec![*step; layout.cells()])?;
        loop {
            let t = *run.timesteps.get(evaluation).context("more evaluations than timesteps")?;
            let each = |f: &dyn Fn(f64) -> f64| doubled(batch, x.video.iter().map(|x| f(x.to_f64())));
            let u = t / 1000.0;
            let prediction = match run.target {
                Target::Flow => each(&|x| model.velocity(x, u)),
                _ => each(&|x| model.epsilon(x, u)),
            };
            let variance = run.method.needs_variance().then(|| each(&|x| model.variance(x, u)));
            let noise = match run.method.is_stochastic() {
                true => Some(doubled(batch, golden.tensor("noise")?.part(evaluation)?.iter().copied())),
                false => None,
            };
            let extras = Extras { noise: noise.as_ref(), variance: variance.as_ref() };
            let more = stepper.advance(&mut x, &prediction, extras)?;
            evaluation += 1;
            let same =
                x.video.iter().zip(&x.audio).all(|(a, b)| a.to_f64().to_bits() == b.to_f64().to_bits());
            ensure!(same, "the two modalities disagree after evaluation {evaluation}");
            let scale = alpha(step.to.rates);
            states.push(x.video.iter().map(|x| x.to_f64() / scale).collect());
            if !more {
                break;
            }
        }
    }
    ensure!(
        evaluation == run.timesteps.len(),
        "{evaluation} evaluations for {} timesteps",
        run.timesteps.len()
    );
    Ok(states)
}

/// A grid whose clips have as many elements as one item of the tensor, in both modalities.
fn layout(start: &Tensor) -> Result<Layout> {
    ensure!(start.shape.len() >= 2, "x_T has shape {:?}, expected two axes or more", start.shape);
    let (cells, rest) = (start.shape[1], start.shape[2..].iter().product());
    let segments = vec![1; cells];
    let video =
        VideoLayout { frames: cells, channels: rest, height: 1, width: 1, segments: segments.clone() };
    let audio = AudioLayout { frames: cells, channels: rest, segments };
    let layout = Layout::new(video, audio)?;
    ensure!(layout.len(Modality::Video) * start.shape[0] == start.data.len(), "x_T does not fill its shape");
    Ok(layout)
}

/// The same values in both modalities.
fn doubled<T: Real>(batch: usize, values: impl Iterator<Item = f64>) -> Latents<T> {
    let video: Vec<T> = values.map(T::from_f64).collect();
    Latents { batch, audio: video.clone(), video }
}
