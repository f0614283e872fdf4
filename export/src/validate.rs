//! Whether two denoisers, such as a network in Candle and its graph in an engine, are the same function.

use crate::error::{Error, Result};
use avdit_core::sampling::{SampleRequest, sample};
use avdit_core::{Denoiser, DenoiserSpec, Latents, Layout, Levels, Modality, Noise, Purpose, Stream};
use serde::{Deserialize, Serialize};

/// How two denoisers are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tolerance {
    /// The largest difference over the largest magnitude of the reference, per output.
    pub relative: f64,
}

impl Tolerance {
    /// The same single-precision arithmetic in another order: measured 8e-7 between engines on 12 layers of width 384,
    /// 2e-6 on 24 of width 1024.
    pub const SAME_MATH: Tolerance = Tolerance { relative: 2e-5 };
    /// The same, carried through a few steps of a sampler, which multiply it.
    pub const SAME_RUN: Tolerance = Tolerance { relative: 1e-4 };
}

/// One output of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseParity {
    /// The case: the kind of its levels and its number.
    pub case: String,
    /// The graph's output.
    pub output: String,
    /// The largest difference; `None` if it is not a finite number.
    pub max_abs_error: Option<f64>,
    /// The largest difference over the largest magnitude of the reference; `None` if it is not a finite number.
    pub relative_error: Option<f64>,
    /// The largest magnitude of the reference; `None` if it is not a finite number.
    pub reference_max_abs: Option<f64>,
    /// Whether the relative error is within the tolerance. Where the reference is all zeros, only zeros are.
    pub passed: bool,
}

/// What a comparison found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ParityReport {
    /// What ran the reference.
    pub reference: String,
    /// What ran the candidate.
    pub candidate: String,
    /// The seed of the inputs.
    pub seed: u64,
    /// The clips of each case.
    pub batch: usize,
    /// The relative error that was allowed.
    pub tolerance: f64,
    /// Every output of every case.
    pub cases: Vec<CaseParity>,
    /// Whether all passed. Never if the reference is zero in every case, since a graph that computes nothing would pass.
    pub passed: bool,
}

impl ParityReport {
    /// The output with the largest relative error; one that is not finite before all others.
    pub fn worst(&self) -> Option<&CaseParity> {
        let error = |case: &&CaseParity| case.relative_error.unwrap_or(f64::INFINITY);
        self.cases.iter().max_by(|a, b| error(a).total_cmp(&error(b)))
    }

    /// The same report under the names of the engines.
    #[must_use]
    pub fn between(self, reference: &str, candidate: &str) -> Self {
        Self { reference: reference.to_owned(), candidate: candidate.to_owned(), ..self }
    }
}

/// The levels of a case.
const KINDS: [&str; 7] = ["per-cell", "clean", "noise", "a2v", "v2a", "shared", "per-segment"];

/// Compares two denoisers on `n_cases` batches of one clip at [`Tolerance::SAME_MATH`].
///
/// # Errors
/// As [`validate_batches`].
pub fn validate(
    reference: &mut dyn Denoiser,
    candidate: &mut dyn Denoiser,
    n_cases: usize,
    seed: u64,
) -> Result<ParityReport> {
    validate_batches(reference, candidate, n_cases, seed, 1, Tolerance::SAME_MATH)
}

/// Compares two denoisers on random latents at levels of every kind: all clean, all noise, one modality given, a
/// level for each cell, for each segment, and for all.
///
/// # Errors
/// [`Error::Mismatch`] if they are not denoisers of the same thing or there is nothing to compare; [`Error::Core`]
/// if one of them fails.
pub fn validate_batches(
    reference: &mut dyn Denoiser,
    candidate: &mut dyn Denoiser,
    n_cases: usize,
    seed: u64,
    batch: usize,
    tolerance: Tolerance,
) -> Result<ParityReport> {
    validate_levels(reference, candidate, &Cases { count: n_cases, seed, batch, tolerance, levels: None })
}

/// What two denoisers are compared on.
#[derive(Clone, Debug, PartialEq)]
pub struct Cases<'a> {
    /// How many.
    pub count: usize,
    /// Of the inputs.
    pub seed: u64,
    /// Clips of each case.
    pub batch: usize,
    /// What is allowed.
    pub tolerance: Tolerance,
    /// Levels to draw from, 0 and T among them; without them, all from 0 to T.
    pub levels: Option<&'a [f32]>,
}

/// [`validate_batches`] at levels that are drawn from a list.
///
/// # Errors
/// As [`validate_batches`].
pub fn validate_levels(
    reference: &mut dyn Denoiser,
    candidate: &mut dyn Denoiser,
    cases: &Cases<'_>,
) -> Result<ParityReport> {
    let &Cases { count, seed, batch, tolerance, levels } = cases;
    check_comparable(reference.spec(), candidate.spec(), count.min(batch))?;
    let spec = reference.spec().clone();
    let all: Vec<f32> = (0..=spec.timesteps).map(|level| level as f32).collect();
    let list = levels.filter(|levels| !levels.is_empty()).unwrap_or(&all);
    let mut found = Vec::new();
    for i in 0..count {
        let kind = KINDS[i % KINDS.len()];
        let inputs = Inputs { noise: Noise::new(seed), case: i as u32, layout: &spec.layout, batch };
        let (latents, levels) = (inputs.latents(), inputs.levels(kind, list));
        let mut outputs = [Latents::zeros(&spec.layout, batch), Latents::zeros(&spec.layout, batch)];
        reference.predict(&latents, &levels, &mut outputs[0])?;
        candidate.predict(&latents, &levels, &mut outputs[1])?;
        for modality in Modality::ALL {
            let [expected, got] = [0, 1].map(|i| outputs[i].get(modality));
            let output = format!("{}_noise", modality.name());
            found.push(compare(format!("{kind} {i}"), output, expected, got, tolerance));
        }
    }
    Ok(report(cases, found))
}

/// Samples with both by the same requests, and compares the latents: whether a graph that moves latents by itself
/// samples what the network and the sampler do.
///
/// # Errors
/// As [`validate_batches`], and as [`sample`].
pub fn validate_samples(
    reference: &mut dyn Denoiser,
    candidate: &mut dyn Denoiser,
    requests: &[SampleRequest],
    tolerance: Tolerance,
) -> Result<ParityReport> {
    check_comparable(reference.spec(), candidate.spec(), requests.len())?;
    let mut found = Vec::new();
    for request in requests {
        let inputs = Inputs {
            noise: Noise::new(request.seed),
            case: 0,
            layout: &reference.spec().layout.clone(),
            batch: request.batch,
        };
        let given = inputs.latents();
        let expected = sample(reference, request, Some(&given), &mut |_| {})?;
        let got = sample(candidate, request, Some(&given), &mut |_| {})?;
        for modality in Modality::ALL {
            let case = format!("{} {} steps, given {}", request.sampler, request.steps, request.given);
            let output = format!("next_{}_state", modality.name());
            found.push(compare(case, output, expected.get(modality), got.get(modality), tolerance));
        }
    }
    let batch = requests.first().map_or(1, |request| request.batch);
    Ok(report(
        &Cases { count: requests.len(), seed: requests[0].seed, batch, tolerance, levels: None },
        found,
    ))
}

fn check_comparable(reference: &DenoiserSpec, candidate: &DenoiserSpec, least: usize) -> Result<()> {
    if reference != candidate {
        let (expected, got) = (format!("{reference:?}"), format!("{candidate:?}"));
        return Err(Error::mismatch("denoiser under validation", expected, got));
    }
    if least == 0 {
        return Err(Error::mismatch("cases and batch of a validation", "at least 1", least));
    }
    Ok(())
}

fn report(&Cases { seed, batch, tolerance, .. }: &Cases<'_>, cases: Vec<CaseParity>) -> ParityReport {
    // An output that the reference leaves at zero, as one that was never trained, compares nothing; some must.
    let passed =
        cases.iter().all(|case| case.passed) && cases.iter().any(|case| case.reference_max_abs > Some(0.0));
    let (reference, candidate) = ("reference".to_owned(), "candidate".to_owned());
    ParityReport { reference, candidate, seed, batch, tolerance: tolerance.relative, cases, passed }
}

fn compare(case: String, output: String, expected: &[f32], got: &[f32], tolerance: Tolerance) -> CaseParity {
    // Not `f64::max`, which loses NaN.
    let largest = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    let pairs = expected.iter().zip(got).map(|(e, g)| (f64::from(*e) - f64::from(*g)).abs());
    let error = if expected.len() == got.len() { pairs.fold(0.0, largest) } else { f64::NAN };
    let magnitude = expected.iter().map(|x| f64::from(x.abs())).fold(0.0, largest);
    let relative = if error == 0.0 { 0.0 } else { error / magnitude };
    let finite = |x: f64| Some(x).filter(|x| x.is_finite());
    CaseParity {
        case,
        output,
        max_abs_error: finite(error),
        relative_error: finite(relative),
        reference_max_abs: finite(magnitude),
        passed: relative <= tolerance.relative,
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
