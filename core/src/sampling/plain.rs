//! Steps of a network that predicts: the sampler's arithmetic runs here.

use super::noise_source::NoiseSource;
use super::{Advance, Event, Run, not_finite};
use crate::denoiser::Denoiser;
use crate::error::{Error, Result};
use crate::guidance::Guidance;
use crate::latents::{Latents, Levels};
use crate::noise::Purpose;
use crate::sampler::{Extras, Move, Stepper};

pub(super) struct Plain<'a> {
    denoiser: &'a mut dyn Denoiser,
    stepper: Stepper<f32>,
    x: Latents,
    prediction: Latents,
    /// What the network says of the variance, where the method asks.
    variance: Option<Latents>,
    guidance: Option<Guidance>,
    index: usize,
    steps: usize,
}

impl<'a> Plain<'a> {
    pub(super) fn new(denoiser: &'a mut dyn Denoiser, run: &Run<'_>, x: Latents) -> Result<Self> {
        let (layout, request) = (&run.spec.layout, run.request);
        let stepper = Stepper::new(run.method, run.spec.target, None, layout, request.batch)?;
        let prediction = Latents::zeros(layout, request.batch);
        let variance = run.method.needs_variance().then(|| prediction.clone());
        let timesteps = run.schedule.timesteps();
        let guidance = run
            .is_guided()
            .then(|| Guidance::new(layout, &request.given, request.batch, request.guidance, timesteps));
        Ok(Self { denoiser, stepper, x, prediction, variance, guidance, index: 0, steps: run.plan.steps() })
    }
}

impl Advance for Plain<'_> {
    fn begin(&mut self, index: usize, moves: &[Move], source: &mut NoiseSource<'_>) -> Result<()> {
        self.index = index;
        self.stepper.begin(moves)?;
        if let Some(guidance) = &mut self.guidance {
            source.draw_into(Purpose::Guidance, index as u32, &mut guidance.fresh);
        }
        Ok(())
    }

    fn evaluate(&mut self, noise: Option<&Latents>, on_event: &mut dyn FnMut(Event)) -> Result<bool> {
        let place = (self.index, self.steps);
        let outputs = (&mut self.prediction, self.variance.as_mut());
        run(self.denoiser, &self.x, self.stepper.levels(), outputs, place, on_event)?;
        if let Some(guidance) = &mut self.guidance {
            guidance.prepare(&self.x, self.stepper.levels());
            let Guidance { noisy, levels, unconditional, .. } = guidance;
            run(self.denoiser, noisy, levels, (unconditional, None), place, on_event)?;
            guidance.combine(&mut self.prediction);
        }
        self.stepper.advance(
            &mut self.x,
            &self.prediction,
            Extras { noise, variance: self.variance.as_ref() },
        )
    }

    fn finish(self) -> Result<Latents> {
        Ok(self.x)
    }
}

fn run(
    denoiser: &mut dyn Denoiser,
    noisy: &Latents,
    levels: &Levels,
    (out, variance): (&mut Latents, Option<&mut Latents>),
    (index, steps): (usize, usize),
    on_event: &mut dyn FnMut(Event),
) -> Result<()> {
    on_event(Event::NetworkStart);
    let named = |error| match error {
        Error::NotFinite { what, index: element, got } => not_finite(index, steps, &what, element, got),
        other => other,
    };
    match variance {
        Some(variance) => {
            denoiser.predict_with_variance(noisy, levels, out, variance)?;
            on_event(Event::NetworkEnd);
            variance.check_finite("predicted variance").map_err(named)?;
        }
        None => {
            denoiser.predict(noisy, levels, out)?;
            on_event(Event::NetworkEnd);
        }
    }
    out.check_finite("prediction").map_err(named)
}
