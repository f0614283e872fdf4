//! Sampling with a clock: how long each step took, and what of it was the network.

mod summary;

pub use summary::Summary;

use crate::engine::Engine;
use avdit_core::sampler::{Coefficients, StepForm};
use avdit_core::sampling::{Event, SampleRequest, sample};
use avdit_core::{Denoiser, DenoiserSpec, Error, Latents, Levels, Modality, Result, StepDenoiser};
use serde::Serialize;
use std::time::{Duration, Instant};

/// One step of a sampler. `network_ms + copies_ms + sampler_ms = wall_ms`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct StepTiming {
    /// From 0.
    pub index: usize,
    /// The whole step.
    pub wall_ms: f64,
    /// Inside the engine's run of the graph, the sampler's update included where the graph has it.
    pub network_ms: f64,
    /// The rest of the predictions or steps: checks, and copies in and out of the engine.
    pub copies_ms: f64,
    /// The rest of the step: the sampler's arithmetic or its coefficients, its noise, its checks.
    pub sampler_ms: f64,
    /// Predictions in the step.
    pub predictions: usize,
}

/// The steps of one run of a sampler.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepTimings {
    /// In order.
    pub steps: Vec<StepTiming>,
    /// The whole run, with what comes before the first step and after the last.
    pub total_ms: f64,
}

impl StepTimings {
    /// Everything but the network, as a share of the steps' time; 0 without steps.
    pub fn overhead(&self) -> f64 {
        overhead(&self.steps)
    }
}

/// A sample and how long it took.
#[derive(Clone, Debug, PartialEq)]
pub struct TimedSample {
    /// Clean latents.
    pub latents: Latents,
    /// The clock's account.
    pub timings: StepTimings,
}

/// Samples on an engine, with a clock. `on_event` hears everything that the loop tells, on the clock: it must be
/// quick.
///
/// # Errors
/// As [`sample`].
pub fn sample_timed(
    engine: &mut dyn Engine,
    request: &SampleRequest,
    given: Option<&Latents>,
    on_event: &mut dyn FnMut(Event),
) -> Result<TimedSample> {
    let mut clocked = Clocked { engine, calls: Vec::new() };
    let mut bounds: Vec<(Instant, Instant)> = Vec::with_capacity(request.steps);
    let start = Instant::now();
    let latents = sample(&mut clocked, request, given, &mut |event| {
        let now = Instant::now();
        match event {
            Event::StepStart { .. } => bounds.push((now, now)),
            Event::StepEnd { .. } => {
                if let Some(last) = bounds.last_mut() {
                    last.1 = now;
                }
            }
            _ => {}
        }
        on_event(event);
    })?;
    let total_ms = milliseconds(start.elapsed());
    let steps =
        bounds.iter().enumerate().map(|(index, bounds)| step(index, *bounds, &clocked.calls)).collect();
    Ok(TimedSample { latents, timings: StepTimings { steps, total_ms } })
}

/// Everything but the network, as a share of the time of some steps; 0 without steps.
pub(crate) fn overhead(steps: &[StepTiming]) -> f64 {
    let wall: f64 = steps.iter().map(|step| step.wall_ms).sum();
    let network: f64 = steps.iter().map(|step| step.network_ms).sum();
    if wall > 0.0 { 1.0 - network / wall } else { 0.0 }
}

struct Call {
    start: Instant,
    whole: Duration,
    run: Duration,
}

/// An engine that writes down how long its predictions or steps take.
struct Clocked<'a> {
    engine: &'a mut dyn Engine,
    calls: Vec<Call>,
}

impl Clocked<'_> {
    fn time(&mut self, call: impl FnOnce(&mut dyn Engine) -> Result<()>) -> Result<()> {
        let start = Instant::now();
        call(self.engine)?;
        self.calls.push(Call { start, whole: start.elapsed(), run: self.engine.last_run() });
        Ok(())
    }
}

fn step_of(engine: &mut dyn Engine) -> Result<&mut dyn StepDenoiser> {
    let refused = || Error::value("engine of a fused step", "one whose graph is a fused step", "another");
    engine.as_step().ok_or_else(refused)
}

impl Denoiser for Clocked<'_> {
    fn spec(&self) -> &DenoiserSpec {
        self.engine.spec()
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        self.time(|engine| engine.predict(noisy, levels, out))
    }

    fn has_variance(&self) -> bool {
        self.engine.has_variance()
    }

    fn predict_with_variance(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        variance: &mut Latents,
    ) -> Result<()> {
        self.time(|engine| engine.predict_with_variance(noisy, levels, out, variance))
    }

    fn as_step(&mut self) -> Option<&mut dyn StepDenoiser> {
        if self.engine.as_step().is_some() { Some(self) } else { None }
    }
}

impl StepDenoiser for Clocked<'_> {
    fn spec(&self) -> &DenoiserSpec {
        self.engine.spec()
    }

    fn form(&self) -> StepForm {
        self.engine.facts().graph.step.unwrap_or(StepForm::EVERY)
    }

    fn begin(&mut self, x: &Latents) -> Result<()> {
        step_of(self.engine)?.begin(x)
    }

    fn step(&mut self, levels: &Levels, coefficients: &Coefficients, noise: Option<&Latents>) -> Result<()> {
        self.time(|engine| step_of(engine)?.step(levels, coefficients, noise))
    }

    fn state(&mut self, modality: Modality) -> Option<&[f32]> {
        self.engine.as_step()?.state(modality)
    }

    fn finish(&mut self, x: &mut Latents) -> Result<()> {
        step_of(self.engine)?.finish(x)
    }
}

fn step(index: usize, (start, end): (Instant, Instant), calls: &[Call]) -> StepTiming {
    let inside: Vec<_> = calls.iter().filter(|call| call.start >= start && call.start < end).collect();
    let wall = end - start;
    let whole: Duration = inside.iter().map(|call| call.whole).sum();
    let run: Duration = inside.iter().map(|call| call.run).sum();
    StepTiming {
        index,
        wall_ms: milliseconds(wall),
        network_ms: milliseconds(run),
        copies_ms: milliseconds(whole.saturating_sub(run)),
        sampler_ms: milliseconds(wall.saturating_sub(whole)),
        predictions: inside.len(),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
