//! What a reference says in every case of a comparison: enough to hold others against when it is no longer in memory.

use crate::error::{Error, Result};
use crate::validate::{ParityReport, Tolerance, compare};
use avdit_core::sampling::sample;
use avdit_core::{
    Denoiser, DenoiserSpec, Latents, Layout, Levels, Modality, Noise, Purpose, SampleRequest, Stream,
};

/// The levels of a case.
const KINDS: [&str; 7] = ["per-cell", "clean", "noise", "a2v", "v2a", "shared", "per-segment"];

/// What two denoisers are compared on.
#[derive(Clone, Debug, PartialEq)]
pub struct Cases<'a> {
    /// How many.
    pub count: usize,
    /// Of the inputs.
    pub seed: u64,
    /// Clips of each case.
    pub batch: usize,
    /// Levels to draw from, 0 and T among them; without them, all from 0 to T.
    pub levels: Option<&'a [f32]>,
}

/// What was asked.
enum Asked {
    /// Predictions, at levels drawn from these.
    Predictions(Vec<f32>),
    /// Latents sampled by these requests.
    Samples(Vec<SampleRequest>),
}

/// A reference's answers.
pub struct Expected {
    spec: DenoiserSpec,
    seed: u64,
    batch: usize,
    asked: Asked,
    /// Whether variances are compared as well.
    variance: bool,
    answers: Vec<Answer>,
}

/// What a denoiser says: a prediction, or latents, and the variance beside a prediction.
struct Answer {
    latents: Latents,
    variance: Option<Latents>,
}

impl Expected {
    /// The predictions of a reference.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if there are no cases or no clips; [`Error::Core`] if the reference fails.
    pub fn predictions(reference: &mut dyn Denoiser, cases: &Cases<'_>) -> Result<Self> {
        let &Cases { count, seed, batch, levels } = cases;
        some(count.min(batch))?;
        let spec = reference.spec().clone();
        let all = || (0..=spec.timesteps).map(|level| level as f32).collect();
        let list = levels.filter(|levels| !levels.is_empty()).map_or_else(all, <[f32]>::to_vec);
        let (asked, variance) = (Asked::Predictions(list), reference.has_variance());
        let mut expected = Self { spec, seed, batch, asked, variance, answers: Vec::new() };
        for case in 0..count {
            let (_, answer) = expected.ask(reference, case)?;
            expected.answers.push(answer);
        }
        Ok(expected)
    }

    /// What a reference samples by each request.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if there are none; [`Error::Core`] if the reference fails.
    pub fn samples(reference: &mut dyn Denoiser, requests: &[SampleRequest]) -> Result<Self> {
        some(requests.len())?;
        let (seed, batch) = (requests[0].seed, requests[0].batch);
        let (spec, asked) = (reference.spec().clone(), Asked::Samples(requests.to_vec()));
        let mut expected = Self { spec, seed, batch, asked, variance: false, answers: Vec::new() };
        for case in 0..requests.len() {
            let (_, answer) = expected.ask(reference, case)?;
            expected.answers.push(answer);
        }
        Ok(expected)
    }

    /// Compares the answers of another denoiser.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if it is no denoiser of the same thing; [`Error::Core`] if it fails.
    pub fn compare(&self, candidate: &mut dyn Denoiser, tolerance: Tolerance) -> Result<ParityReport> {
        if self.spec != *candidate.spec() {
            let (expected, got) = (format!("{:?}", self.spec), format!("{:?}", candidate.spec()));
            return Err(Error::mismatch("denoiser under validation", expected, got));
        }
        let mut cases = Vec::new();
        for (case, expected) in self.answers.iter().enumerate() {
            let (name, got) = self.ask(candidate, case)?;
            for modality in Modality::ALL {
                let output = match &self.asked {
                    Asked::Predictions(_) => format!("{}_noise", modality.name()),
                    Asked::Samples(_) => format!("next_{}_state", modality.name()),
                };
                let mut add = |output, expected: &Latents, got: &Latents| {
                    let (expected, got) = (expected.get(modality), got.get(modality));
                    cases.push(compare(name.clone(), output, expected, got, tolerance));
                };
                add(output, &expected.latents, &got.latents);
                if let (Some(expected), Some(got)) = (&expected.variance, &got.variance) {
                    add(format!("{}_variance", modality.name()), expected, got);
                }
            }
        }
        // An output that the reference leaves at zero, as one that was never trained, compares nothing; some must.
        let passed = cases.iter().all(|case| case.passed)
            && cases.iter().any(|case| case.reference_max_abs > Some(0.0));
        let (reference, candidate) = ("reference".to_owned(), "candidate".to_owned());
        let (seed, batch, tolerance) = (self.seed, self.batch, tolerance.relative);
        Ok(ParityReport { reference, candidate, seed, batch, tolerance, cases, passed })
    }

    /// The name of a case, and a denoiser's answer.
    fn ask(&self, denoiser: &mut dyn Denoiser, case: usize) -> Result<(String, Answer)> {
        let inputs =
            |seed, case, batch| Inputs { noise: Noise::new(seed), case, layout: &self.spec.layout, batch };
        match &self.asked {
            Asked::Predictions(list) => {
                let kind = KINDS[case % KINDS.len()];
                let inputs = inputs(self.seed, case as u32, self.batch);
                let (noisy, levels) = (inputs.latents(), inputs.levels(kind, list));
                let mut latents = Latents::zeros(&self.spec.layout, self.batch);
                let mut variance = self.variance.then(|| latents.clone());
                match &mut variance {
                    Some(variance) => {
                        denoiser.predict_with_variance(&noisy, &levels, &mut latents, variance)?;
                    }
                    None => denoiser.predict(&noisy, &levels, &mut latents)?,
                }
                Ok((format!("{kind} {case}"), Answer { latents, variance }))
            }
            Asked::Samples(requests) => {
                let request = &requests[case];
                let given = inputs(request.seed, 0, request.batch).latents();
                let latents = sample(denoiser, request, Some(&given), &mut |_| {})?;
                let name = format!("{} {} steps, given {}", request.sampler, request.steps, request.given);
                Ok((name, Answer { latents, variance: None }))
            }
        }
    }
}

fn some(least: usize) -> Result<()> {
    match least {
        0 => Err(Error::mismatch("cases and batch of a validation", "at least 1", least)),
        _ => Ok(()),
    }
}

/// The random inputs of a case.
struct Inputs<'a> {
    noise: Noise,
    case: u32,
    layout: &'a Layout,
    batch: usize,
}

impl Inputs<'_> {
    fn latents(&self) -> Latents {
        let mut latents = Latents::zeros(self.layout, self.batch);
        for (item, modality) in Modality::ALL.into_iter().enumerate() {
            let stream = Stream::new(Purpose::Check, self.case, item as u32);
            self.noise.normals(stream, latents.get_mut(modality));
        }
        latents
    }

    fn levels(&self, kind: &str, list: &[f32]) -> Levels {
        let (n, most) = (self.layout.segments(), list[list.len() - 1]);
        let row = |item: usize| {
            let stream = Stream::new(Purpose::Check, self.case, 2 + item as u32);
            let random = |i: usize| list[self.noise.below(stream, i as u32, list.len() as u32) as usize];
            let level = |cell: usize| match kind {
                "clean" => 0.0,
                "noise" => most,
                "a2v" if cell >= n => 0.0,
                "v2a" if cell < n => 0.0,
                "a2v" | "v2a" | "shared" => random(0),
                "per-segment" => random(cell % n),
                _ => random(cell),
            };
            (0..2 * n).map(level).collect()
        };
        Levels::from_rows(&(0..self.batch).map(row).collect::<Vec<_>>())
    }
}
