//! Whether two denoisers, such as a network in Candle and its graph in an engine, are the same function.

use crate::error::Result;
use crate::expected::{Cases, Expected};
use avdit_core::Denoiser;
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
/// [`Error::Mismatch`](crate::Error::Mismatch) if they are not denoisers of the same thing or there is nothing to compare; [`Error::Core`](crate::Error::Core)
/// if one of them fails.
pub fn validate_batches(
    reference: &mut dyn Denoiser,
    candidate: &mut dyn Denoiser,
    n_cases: usize,
    seed: u64,
    batch: usize,
    tolerance: Tolerance,
) -> Result<ParityReport> {
    let cases = Cases { count: n_cases, seed, batch, levels: None };
    Expected::predictions(reference, &cases)?.compare(candidate, tolerance)
}

/// [`validate_batches`] at levels that are drawn from a list.
///
/// # Errors
/// As [`validate_batches`].
pub fn validate_levels(
    reference: &mut dyn Denoiser,
    candidate: &mut dyn Denoiser,
    cases: &Cases<'_>,
    tolerance: Tolerance,
) -> Result<ParityReport> {
    Expected::predictions(reference, cases)?.compare(candidate, tolerance)
}

/// One output of one case: the largest difference in it, over the largest magnitude of the reference.
pub fn compare(
    case: String,
    output: String,
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
        output,
        max_abs_error: finite(error),
        relative_error: finite(relative),
        reference_max_abs: finite(magnitude),
        passed: relative <= tolerance.relative,
    }
}
