//! The sampling loop: from noise and given cells to clean latents, on any network, without a clock.

mod fused;
mod noise_source;
mod plain;

use crate::denoiser::{Denoiser, DenoiserSpec, no_variance};
use crate::error::{Error, Result};
use crate::latents::Latents;
use crate::layout::{Layout, Modality};
use crate::level_plan::{LevelPlan, LevelPlanKind};
use crate::noise::Purpose;
use crate::sampler::{Method, Move, Point, SamplerKind};
use crate::schedule::NoiseSchedule;
use crate::task::CellMask;
use fused::Fused;
use noise_source::NoiseSource;
use plain::Plain;

/// What to sample.
#[derive(Clone, Debug, PartialEq)]
pub struct SampleRequest {
    /// Clips to make at once.
    pub batch: usize,
    /// Index of the first of them over the whole run: the noise of a clip depends on its index, not on its batch.
    pub first_item: u32,
    /// Of all noise.
    pub seed: u64,
    /// Steps that each cell takes from T to 0.
    pub steps: usize,
    /// Which sampler.
    pub sampler: SamplerKind,
    /// The cells that are given.
    pub given: CellMask,
    /// s of ε_u + s·(ε_c − ε_u); 1 is off.
    pub guidance: f64,
    /// In which order the segments are made.
    pub plan: LevelPlanKind,
}

impl SampleRequest {
    /// One clip with nothing given: DDIM, 50 steps, seed 0, no guidance, all cells together.
    pub fn new(segments: usize) -> Self {
        Self {
            batch: 1,
            first_item: 0,
            seed: 0,
            steps: 50,
            sampler: SamplerKind::Ddim { eta: 0.0 },
            given: CellMask::none(segments),
            guidance: 1.0,
            plan: LevelPlanKind::Uniform,
        }
    }
}

/// What the loop is doing, told as it happens, so that a caller with a clock can time it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A step begins.
    StepStart {
        /// From 0.
        index: usize,
        /// Steps of the run.
        steps: usize,
    },
    /// The network is about to run; several times a step with guidance or Heun's method.
    NetworkStart,
    /// The network has run.
    NetworkEnd,
    /// The step is done.
    StepEnd {
        /// From 0.
        index: usize,
    },
}

/// Samples clean latents; the given cells come out bit for bit as they came in. A network that
/// [moves the latents by itself](Denoiser::as_step) is given the coefficients of each step, any other one is asked
/// for predictions.
///
/// # Shapes
/// `given`, result: `(B, F, C, H, W)` and `(B, A, Ca)`; of `given` only the given cells are read.
/// # Errors
/// [`Error::Count`] or [`Error::Value`] for a request that does not fit the network or its schedule;
/// [`Error::NotFinite`] naming the given latents, or the step and modality whose prediction is not finite (of a fused step on a
/// device: the latents after the last); the
/// network's own.
pub fn sample(
    denoiser: &mut dyn Denoiser,
    request: &SampleRequest,
    given: Option<&Latents>,
    on_event: &mut dyn FnMut(Event),
) -> Result<Latents> {
    let spec = denoiser.spec().clone();
    let mut run = Run::new(&spec, request)?;
    let mut x = run.source.draw(Purpose::Initial, 0);
    put_given(&mut x, &spec.layout, request, given)?;
    if let Some(step) = denoiser.as_step() {
        let fused = Fused::new(step, &run, x)?;
        return run.go(fused, on_event);
    }
    if run.method.needs_variance() && !denoiser.has_variance() {
        return Err(no_variance());
    }
    let plain = Plain::new(denoiser, &run, x)?;
    run.go(plain, on_event)
}

/// A run of a request: what does not depend on how its steps are taken.
struct Run<'a> {
    spec: &'a DenoiserSpec,
    request: &'a SampleRequest,
    schedule: NoiseSchedule,
    plan: LevelPlan,
    method: Method,
    source: NoiseSource<'a>,
}

/// How the steps of a run are taken.
trait Advance {
    /// Starts a step.
    fn begin(&mut self, index: usize, moves: &[Move], source: &mut NoiseSource<'_>) -> Result<()>;

    /// One evaluation of the network; whether the step needs another.
    fn evaluate(&mut self, noise: Option<&Latents>, on_event: &mut dyn FnMut(Event)) -> Result<bool>;

    /// The latents.
    fn finish(self) -> Result<Latents>;
}

impl<'a> Run<'a> {
    fn new(spec: &'a DenoiserSpec, request: &'a SampleRequest) -> Result<Self> {
        let schedule = spec.noise_schedule()?;
        let layout = &spec.layout;
        Error::check_count("segments of the given cells", layout.segments(), request.given.segments())?;
        if !request.guidance.is_finite() {
            return Err(Error::value("guidance", "a finite number", request.guidance));
        }
        let plan = LevelPlan::new(request.plan, &request.given, request.steps, schedule.timesteps())?;
        let method = request.sampler.method(schedule.is_flow());
        let source = NoiseSource::new(layout, request)?;
        Ok(Self { spec, request, schedule, plan, method, source })
    }

    /// Whether the unconditional prediction is needed too.
    fn is_guided(&self) -> bool {
        self.request.guidance != 1.0 && self.request.given.cells().contains(&true)
    }

    fn go(mut self, mut body: impl Advance, on_event: &mut dyn FnMut(Event)) -> Result<Latents> {
        let steps = self.plan.steps();
        let zeros = || Latents::zeros(&self.spec.layout, self.request.batch);
        let mut noise = self.method.is_stochastic().then(zeros);
        let mut moves = Vec::with_capacity(self.spec.layout.cells());
        for index in 0..steps {
            on_event(Event::StepStart { index, steps });
            self.set_moves(index, &mut moves);
            body.begin(index, &moves, &mut self.source)?;
            if let Some(noise) = &mut noise {
                self.source.draw_into(Purpose::Step, index as u32, noise);
            }
            while body.evaluate(noise.as_ref(), on_event)? {}
            on_event(Event::StepEnd { index });
        }
        body.finish()
    }

    fn set_moves(&self, index: usize, moves: &mut Vec<Move>) {
        moves.clear();
        let rows = self.plan.row(index).iter().zip(self.plan.row(index + 1));
        moves.extend(rows.enumerate().map(|(cell, (&from, &to))| Move {
            max_order: self.method.order_at(self.plan.taken(index, cell), self.plan.cell_steps()),
            ..Move::new(Point::at(&self.schedule, from), Point::at(&self.schedule, to))
        }));
    }
}

/// An error that names the step: a number that is not finite.
fn not_finite(index: usize, steps: usize, what: &str, element: usize, got: f64) -> Error {
    Error::NotFinite { what: format!("step {} of {steps}, {what}", index + 1), index: element, got }
}

/// Copies the given cells into `x`.
fn put_given(
    x: &mut Latents,
    layout: &Layout,
    request: &SampleRequest,
    given: Option<&Latents>,
) -> Result<()> {
    if !request.given.cells().contains(&true) {
        return Ok(());
    }
    let Some(latents) = given else {
        return Err(Error::value("given latents", format!("latents for {}", request.given), "none"));
    };
    Error::check_count("clips in the given latents", request.batch, latents.batch)?;
    latents.check(layout)?;
    for modality in Modality::ALL {
        let (source, len) = (latents.get(modality), layout.len(modality));
        for (segment, range) in layout.segment_ranges(modality).into_iter().enumerate() {
            if !request.given.is_given(modality, segment) {
                continue;
            }
            for start in (0..request.batch).map(|item| item * len) {
                let range = start + range.start..start + range.end;
                if let Some(offset) = source[range.clone()].iter().position(|value| !value.is_finite()) {
                    let index = range.start + offset;
                    let what = format!("given latents, {}", modality.name());
                    return Err(Error::NotFinite { what, index, got: source[index].into() });
                }
                x.get_mut(modality)[range.clone()].copy_from_slice(&source[range]);
            }
        }
    }
    Ok(())
}
