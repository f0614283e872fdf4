//! Steps of a network that moves the latents by itself: coefficients go in, the state stays there.

use super::noise_source::NoiseSource;
use super::{Advance, Event, Run, not_finite};
use crate::denoiser::StepDenoiser;
use crate::error::{Error, Result};
use crate::latents::{Latents, Levels};
use crate::layout::{Layout, Modality};
use crate::sampler::{Coefficients, Move, Solver};

pub(super) struct Fused<'a> {
    denoiser: &'a mut dyn StepDenoiser,
    layout: Layout,
    solver: Solver,
    coefficients: Coefficients,
    levels: Levels,
    x: Latents,
    index: usize,
    steps: usize,
}

impl<'a> Fused<'a> {
    pub(super) fn new(denoiser: &'a mut dyn StepDenoiser, run: &Run<'_>, x: Latents) -> Result<Self> {
        if run.is_guided() {
            let expected =
                "1 on a fused step, which predicts once (export without --fused-step for guidance)";
            return Err(Error::value("guidance", expected, run.request.guidance));
        }
        let (layout, form, batch) = (run.spec.layout.clone(), denoiser.form(), run.request.batch);
        form.check_method(run.method)?;
        let solver = Solver::new(run.method, run.spec.target, false, layout.cells())?;
        let coefficients = Coefficients::new(form, layout.segments(), batch);
        let levels = Levels::repeat(&vec![0.0; layout.cells()], batch);
        denoiser.begin(&x)?;
        Ok(Self { denoiser, layout, solver, coefficients, levels, x, index: 0, steps: run.plan.steps() })
    }

    fn set_levels(&mut self) {
        let n = self.layout.segments();
        for segment in 0..n {
            let (video, audio) = (self.solver.level(segment) as f32, self.solver.level(n + segment) as f32);
            self.levels.video.iter_mut().skip(segment).step_by(n).for_each(|level| *level = video);
            self.levels.audio.iter_mut().skip(segment).step_by(n).for_each(|level| *level = audio);
        }
    }

    /// A prediction that is not finite makes latents that are not.
    fn check(&mut self) -> Result<()> {
        for modality in Modality::ALL {
            let Some(state) = self.denoiser.state(modality) else { continue };
            let (len, entries) = (self.layout.len(modality), self.coefficients.form().entries());
            for (item, state) in state.chunks(entries * len).enumerate() {
                if let Some(place) = state[..len].iter().position(|value| !value.is_finite()) {
                    let what = format!("latents, {}", modality.name());
                    let got = state[place].into();
                    return Err(not_finite(self.index, self.steps, &what, item * len + place, got));
                }
            }
        }
        Ok(())
    }
}

impl Advance for Fused<'_> {
    fn begin(&mut self, index: usize, moves: &[Move], _: &mut NoiseSource<'_>) -> Result<()> {
        self.index = index;
        self.solver.begin(moves)
    }

    fn evaluate(&mut self, noise: Option<&Latents>, on_event: &mut dyn FnMut(Event)) -> Result<bool> {
        self.set_levels();
        self.coefficients.set(self.solver.updates())?;
        on_event(Event::NetworkStart);
        self.denoiser.step(&self.levels, &self.coefficients, noise)?;
        on_event(Event::NetworkEnd);
        self.check()?;
        Ok(self.solver.proceed())
    }

    fn finish(mut self) -> Result<Latents> {
        self.denoiser.finish(&mut self.x)?;
        self.x.check_finite("latents after the last step")?;
        Ok(self.x)
    }
}
