//! Whether an exported graph may be handed out: it is compared with what it was made from in the way its form allows.

use crate::denoiser::ExportOptions;
use crate::error::Result;
use crate::expected::{Cases, Expected};
use crate::validate::{ParityReport, Tolerance};
use avdit_core::sampler::StepForm;
use avdit_core::{Denoiser, SampleRequest, SamplerKind, Task};

/// What a graph must compute to be handed out, as its reference says.
pub struct Acceptance {
    expected: Expected,
    tolerance: Tolerance,
}

impl Acceptance {
    /// Asks the reference, a network that predicts: for predictions at levels that the graph knows, or, for a fused
    /// step, for runs of a few steps in the plain loop. It may go then.
    ///
    /// # Errors
    /// As [`Expected::predictions`] and [`Expected::samples`].
    pub fn ask(
        reference: &mut dyn Denoiser,
        options: &ExportOptions,
        cases: usize,
        batch: usize,
    ) -> Result<Self> {
        if let Some(form) = options.step {
            let segments = reference.spec().layout.segments();
            let requests = requests(form, options.freeze, segments, batch)?;
            let expected = Expected::samples(reference, &requests)?;
            return Ok(Self { expected, tolerance: Tolerance::SAME_RUN });
        }
        let schedule = options.frozen(reference.spec())?;
        let levels = schedule.as_ref().map(|schedule| schedule.levels.as_slice());
        let expected = Expected::predictions(reference, &Cases { count: cases, seed: 0, batch, levels })?;
        Ok(Self { expected, tolerance: Tolerance::SAME_MATH })
    }

    /// Compares a graph on an engine.
    ///
    /// # Errors
    /// As [`Expected::compare`].
    pub fn of(&self, candidate: &mut dyn Denoiser) -> Result<ParityReport> {
        self.expected.compare(candidate, self.tolerance)
    }
}

/// Compares a graph with its reference, both in memory, as [`Acceptance`] does.
///
/// # Errors
/// As [`Acceptance::ask`] and [`Acceptance::of`].
pub fn validate_graph(
    reference: &mut dyn Denoiser,
    candidate: &mut dyn Denoiser,
    options: &ExportOptions,
    cases: usize,
    batch: usize,
) -> Result<ParityReport> {
    Acceptance::ask(reference, options, cases, batch)?.of(candidate)
}

/// A run of the sampler with the longest memory that the step serves, with nothing given, and one with sound given
/// that adds noise where the step can.
fn requests(
    form: StepForm,
    freeze: Option<usize>,
    segments: usize,
    batch: usize,
) -> Result<Vec<SampleRequest>> {
    let served = |kinds: &[SamplerKind]| {
        let kind = kinds.iter().find(|kind| form.check_method(kind.method(false)).is_ok());
        kind.copied().unwrap_or(SamplerKind::Ddim { eta: 0.0 })
    };
    let (dpm, unipc) = (|order| SamplerKind::DpmSolver { order }, |order| SamplerKind::UniPc { order });
    let remembers = served(&[unipc(3), unipc(2), unipc(1), dpm(3), dpm(2)]);
    let stochastic = served(&[SamplerKind::Ddpm]);
    let request = |sampler, task: Task| -> Result<SampleRequest> {
        let given = task.given(segments)?;
        Ok(SampleRequest { sampler, given, batch, steps: few_steps(freeze), ..SampleRequest::new(segments) })
    };
    Ok(vec![request(remembers, Task::Joint)?, request(stochastic, Task::AudioToVideo)?])
}

/// Enough steps for a history to be used; where the levels are fixed, so many that only those are visited.
fn few_steps(freeze: Option<usize>) -> usize {
    let Some(frozen) = freeze else { return 4 };
    let divides = |steps: &usize| frozen.is_multiple_of(*steps);
    (3..=50).find(divides).unwrap_or(frozen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{FrozenSchedule, LevelPlan, LevelPlanKind};

    #[test]
    fn the_runs_of_a_frozen_step_stay_on_its_schedule() {
        for steps in [1, 2, 7, 20, 50, 53, 250, 1000] {
            let schedule = FrozenSchedule::new(steps, 1000).unwrap();
            for request in requests(StepForm::EVERY, Some(steps), 3, 1).unwrap() {
                assert!(request.steps >= steps.min(3), "{} of {steps}: too few for a history", request.steps);
                let plan =
                    LevelPlan::new(LevelPlanKind::Uniform, &request.given, request.steps, 1000).unwrap();
                for row in 0..=plan.steps() {
                    let known = |level: &f64| schedule.levels.contains(&(*level as f32));
                    assert!(plan.row(row).iter().all(known), "{steps}: {:?}", plan.row(row));
                }
            }
        }
    }

    #[test]
    fn the_runs_use_all_that_a_step_can() {
        let samplers = |name: &str| -> Vec<String> {
            let form = StepForm::of(name.parse::<SamplerKind>().unwrap().method(false));
            requests(form, None, 1, 1).unwrap().iter().map(|request| request.sampler.to_string()).collect()
        };
        assert_eq!(samplers("unipc:3"), ["unipc:3", "ddim"]);
        assert_eq!(samplers("dpm++2m"), ["dpm++2m", "ddim"]);
        assert_eq!(samplers("ddpm"), ["ddim", "ddpm"]);
        assert_eq!(requests(StepForm::EVERY, None, 1, 2).unwrap()[1].sampler, SamplerKind::Ddpm);
    }
}
