//! Whether two denoisers, such as a network in Candle and its graph in an engine, are the same function.

use crate::error::{Error, Result};
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
}

/// One output of one case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CaseParity {
    /// The case: the kind of its levels and its number.
    pub case: String,
    /// `video_noise` or `audio_noise`.
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
    Expected::of(reference, n_cases, seed, batch)?.compare(candidate, tolerance)
}

/// What a reference predicts in every case of a validation: enough to compare others with when it is no longer in
/// memory.
pub struct Expected {
    spec: DenoiserSpec,
    seed: u64,
    batch: usize,
    outputs: Vec<Latents>,
}

impl Expected {
    /// The predictions of a reference, as in [`validate_batches`].
    ///
    /// # Errors
    /// [`Error::Mismatch`] if there are no cases or no clips; [`Error::Core`] if the reference fails.
    pub fn of(reference: &mut dyn Denoiser, n_cases: usize, seed: u64, batch: usize) -> Result<Self> {
        if n_cases == 0 || batch == 0 {
            let least = n_cases.min(batch);
            return Err(Error::mismatch("cases and batch of a validation", "at least 1", least));
        }
        let mut expected = Self { spec: reference.spec().clone(), seed, batch, outputs: Vec::new() };
        for case in 0..n_cases {
            let (_, latents, levels) = expected.inputs(case);
            let mut output = Latents::zeros(&expected.spec.layout, batch);
            reference.predict(&latents, &levels, &mut output)?;
            expected.outputs.push(output);
        }
        Ok(expected)
    }

    /// Compares what another denoiser predicts.
    ///
    /// # Errors
    /// [`Error::Mismatch`] if it is no denoiser of the same thing; [`Error::Core`] if it fails.
    pub fn compare(&self, candidate: &mut dyn Denoiser, tolerance: Tolerance) -> Result<ParityReport> {
        if self.spec != *candidate.spec() {
            let (expected, got) = (format!("{:?}", self.spec), format!("{:?}", candidate.spec()));
            return Err(Error::mismatch("denoiser under validation", expected, got));
        }
        let mut cases = Vec::new();
        for (case, expected) in self.outputs.iter().enumerate() {
            let (kind, latents, levels) = self.inputs(case);
            let mut output = Latents::zeros(&self.spec.layout, self.batch);
            candidate.predict(&latents, &levels, &mut output)?;
            for modality in Modality::ALL {
                let (expected, got) = (expected.get(modality), output.get(modality));
                cases.push(compare(format!("{kind} {case}"), modality, expected, got, tolerance));
            }
        }
        // An output that the reference leaves at zero, as one that was never trained, compares nothing; some must.
        let passed = cases.iter().all(|case| case.passed)
            && cases.iter().any(|case| case.reference_max_abs > Some(0.0));
        let (reference, candidate) = ("reference".to_owned(), "candidate".to_owned());
        let (seed, batch, tolerance) = (self.seed, self.batch, tolerance.relative);
        Ok(ParityReport { reference, candidate, seed, batch, tolerance, cases, passed })
    }

    /// The kind of a case's levels, its latents and its levels.
    fn inputs(&self, case: usize) -> (&'static str, Latents, Levels) {
        let kind = KINDS[case % KINDS.len()];
        let noise = Noise::new(self.seed);
        let inputs = Inputs { noise, case: case as u32, layout: &self.spec.layout, batch: self.batch };
        (kind, inputs.latents(), inputs.levels(kind, self.spec.timesteps))
    }
}

fn compare(
    case: String,
    modality: Modality,
    expected: &[f32],
    got: &[f32],
    tolerance: Tolerance,
) -> CaseParity {
    // Not `f64::max`, which loses NaN.
    let largest = |a: f64, b: f64| if b > a || b.is_nan() { b } else { a };
    let pairs = expected.iter().zip(got).map(|(e, g)| (f64::from(*e) - f64::from(*g)).abs());
    let error = if expected.len() == got.len() { pairs.fold(0.0, largest) } else { f64::NAN };
    let magnitude = expected.iter().map(|x| f64::from(x.abs())).fold(0.0, largest);
    let relative = if error == 0.0 { 0.0 } else { error / magnitude };
    let finite = |x: f64| Some(x).filter(|x| x.is_finite());
    CaseParity {
        case,
        output: format!("{}_noise", modality.name()),
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

    fn levels(&self, kind: &str, timesteps: usize) -> Levels {
        let (n, most) = (self.layout.segments(), timesteps as f32);
        let row = |item: usize| {
            let stream = Stream::new(Purpose::Check, self.case, 2 + item as u32);
            let random = |i: usize| self.noise.below(stream, i as u32, timesteps as u32 + 1) as f32;
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
