//! The sampling loop: from noise and given cells to clean latents, on any network, without a clock.

use crate::denoiser::Denoiser;
use crate::error::{Error, Result};
use crate::guidance::Guidance;
use crate::latents::{Latents, Levels};
use crate::layout::{Layout, Modality};
use crate::level_plan::{LevelPlan, LevelPlanKind};
use crate::noise::{Noise, Purpose, Stream};
use crate::sampler::{Extras, Move, Point, SamplerKind, Stepper};
use crate::task::CellMask;

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

/// Samples clean latents; the given cells come out bit for bit as they came in.
///
/// # Shapes
/// `given`, result: `(B, F, C, H, W)` and `(B, A, Ca)`; of `given` only the given cells are read.
/// # Errors
/// [`Error::Count`] or [`Error::Value`] for a request that does not fit the network or its schedule;
/// [`Error::NotFinite`] naming the given latents, or the step and modality whose prediction is not finite; the
/// network's own.
pub fn sample(
    denoiser: &mut dyn Denoiser,
    request: &SampleRequest,
    given: Option<&Latents>,
    on_event: &mut dyn FnMut(Event),
) -> Result<Latents> {
    let spec = denoiser.spec().clone();
    let schedule = spec.noise_schedule()?;
    let layout = &spec.layout;
    Error::check_count("segments of the given cells", layout.segments(), request.given.segments())?;
    if !request.guidance.is_finite() {
        return Err(Error::value("guidance", "a finite number", request.guidance));
    }
    let plan = LevelPlan::new(request.plan, &request.given, request.steps, schedule.timesteps())?;
    let method = request.sampler.method(schedule.is_flow());
    let mut stepper = Stepper::new(method, spec.target, None, layout, request.batch)?;

    let mut source = NoiseSource::new(layout, request)?;
    let mut x = source.draw(Purpose::Initial, 0);
    put_given(&mut x, layout, request, given)?;
    let mut prediction = Latents::zeros(layout, request.batch);
    let mut noise = method.is_stochastic().then(|| Latents::zeros(layout, request.batch));
    let guided = request.guidance != 1.0 && request.given.cells().contains(&true);
    let mut guidance = guided.then(|| {
        Guidance::new(layout, &request.given, request.batch, request.guidance, schedule.timesteps())
    });
    let mut moves = Vec::with_capacity(layout.cells());

    for index in 0..plan.steps() {
        on_event(Event::StepStart { index, steps: plan.steps() });
        moves.clear();
        let rows = plan.row(index).iter().zip(plan.row(index + 1));
        moves.extend(rows.enumerate().map(|(cell, (&from, &to))| Move {
            max_order: method.order_at(plan.taken(index, cell), plan.cell_steps()),
            ..Move::new(Point::at(&schedule, from), Point::at(&schedule, to))
        }));
        stepper.begin(&moves)?;
        if let Some(noise) = &mut noise {
            source.draw_into(Purpose::Step, index as u32, noise);
        }
        if let Some(guidance) = &mut guidance {
            source.draw_into(Purpose::Guidance, index as u32, &mut guidance.fresh);
        }
        loop {
            run(denoiser, &x, stepper.levels(), &mut prediction, on_event)?;
            check_prediction(&prediction, index, plan.steps())?;
            if let Some(guidance) = &mut guidance {
                guidance.prepare(&x, stepper.levels());
                let Guidance { noisy, levels, unconditional, .. } = guidance;
                run(denoiser, noisy, levels, unconditional, on_event)?;
                check_prediction(unconditional, index, plan.steps())?;
                guidance.combine(&mut prediction);
            }
            let extras = Extras { noise: noise.as_ref(), variance: None };
            if !stepper.advance(&mut x, &prediction, extras)? {
                break;
            }
        }
        on_event(Event::StepEnd { index });
    }
    Ok(x)
}

fn run(
    denoiser: &mut dyn Denoiser,
    noisy: &Latents,
    levels: &Levels,
    out: &mut Latents,
    on_event: &mut dyn FnMut(Event),
) -> Result<()> {
    on_event(Event::NetworkStart);
    denoiser.predict(noisy, levels, out)?;
    on_event(Event::NetworkEnd);
    Ok(())
}

fn check_prediction(prediction: &Latents, index: usize, steps: usize) -> Result<()> {
    prediction.check_finite("prediction").map_err(|error| match error {
        Error::NotFinite { what, index: element, got } => {
            Error::NotFinite { what: format!("step {} of {steps}, {what}", index + 1), index: element, got }
        }
        other => other,
    })
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

/// Draws noise for every clip of a batch: video, then audio, from one stream per clip.
struct NoiseSource<'a> {
    layout: &'a Layout,
    noise: Noise,
    batch: usize,
    first_item: u32,
    clip: Vec<f32>,
}

impl<'a> NoiseSource<'a> {
    fn new(layout: &'a Layout, request: &SampleRequest) -> Result<Self> {
        let last = u32::try_from(request.batch).ok().and_then(|n| request.first_item.checked_add(n));
        if request.batch == 0 || last.is_none() {
            let got = format!("{} from clip {}", request.batch, request.first_item);
            return Err(Error::value("clips of a batch", "at least 1, with indices below 2^32", got));
        }
        let clip = vec![0.0; layout.len(Modality::Video) + layout.len(Modality::Audio)];
        let (batch, first_item) = (request.batch, request.first_item);
        Ok(Self { layout, noise: Noise::new(request.seed), batch, first_item, clip })
    }

    fn draw(&mut self, purpose: Purpose, step: u32) -> Latents {
        let mut out = Latents::zeros(self.layout, self.batch);
        self.draw_into(purpose, step, &mut out);
        out
    }

    fn draw_into(&mut self, purpose: Purpose, step: u32, out: &mut Latents) {
        let split = self.layout.len(Modality::Video);
        for item in 0..self.batch {
            self.noise.normals(Stream::new(purpose, step, self.first_item + item as u32), &mut self.clip);
            let (video, audio) = self.clip.split_at(split);
            out.video[item * video.len()..(item + 1) * video.len()].copy_from_slice(video);
            out.audio[item * audio.len()..(item + 1) * audio.len()].copy_from_slice(audio);
        }
    }
}
