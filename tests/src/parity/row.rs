//! One line of the parity table.

use serde::Serialize;

/// A quantity of a case on an engine, and how far it is from the golden one.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Golden file.
    pub file: String,
    /// Case and quantity.
    pub case: String,
    /// What computed it.
    pub engine: String,
    /// The error, in the measure of the tolerance; null in JSON where the case failed.
    pub error: f64,
    /// The largest error allowed.
    pub tolerance: f64,
    /// Whether it is within.
    pub ok: bool,
    /// Why the case could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
}

impl Row {
    /// A measured error. NaN is out.
    pub fn new(file: &str, case: impl Into<String>, engine: &str, error: f64, tolerance: f64) -> Self {
        let (file, engine) = (file.to_owned(), engine.to_owned());
        Self { file, case: case.into(), engine, error, tolerance, ok: error <= tolerance, failure: None }
    }

    /// A case that could not be run, which is a failure.
    pub fn failed(file: &str, case: impl Into<String>, engine: &str, reason: &anyhow::Error) -> Self {
        let failure = Some(format!("{reason:#}"));
        Self { failure, ok: false, ..Self::new(file, case, engine, f64::NAN, 0.0) }
    }
}

/// The largest |a − b| / (1 + max |b|); NaN if the lengths differ or anything is NaN.
pub fn scaled(got: &[f64], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    worst(got, expected, |a, b| (a - b).abs() / (1.0 + largest))
}

/// The largest |a − b| / |b|, 0 where both are the same; NaN if the lengths differ or anything is NaN.
pub fn relative(got: &[f64], expected: &[f64]) -> f64 {
    worst(got, expected, |a, b| if a == b { 0.0 } else { (a - b).abs() / b.abs() })
}

fn worst(got: &[f64], expected: &[f64], error: impl Fn(f64, f64) -> f64) -> f64 {
    if got.len() != expected.len() {
        return f64::NAN;
    }
    let errors = got.iter().zip(expected).map(|(&a, &b)| error(a, b));
    errors.fold(0.0, |worst: f64, e| if e.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(e) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_or_not_of_the_same_length_is_out() {
        for error in [scaled(&[f64::NAN], &[1.0]), relative(&[1.0], &[1.0, 2.0]), scaled(&[], &[0.0])] {
            assert!(!Row::new("", "", "", error, 1.0).ok);
        }
        assert_eq!(relative(&[1.0, 3.0], &[1.0, 2.0]), 0.5);
        assert_eq!(scaled(&[1.0, 3.0], &[1.0, 4.0]), 0.2);
        assert_eq!(relative(&[0.0], &[0.0]), 0.0);
    }
}
