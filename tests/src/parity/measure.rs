//! How far numbers are from a golden tensor.

use super::golden::Tensor;

/// Values in single precision.
pub(super) fn single(tensor: &Tensor) -> Vec<f32> {
    tensor.data.iter().map(|&x| x as f32).collect()
}

/// The largest |a − b| over the largest |b|.
pub(super) fn of_largest(got: &[f32], expected: &Tensor) -> f64 {
    if got.len() != expected.data.len() {
        return f64::NAN;
    }
    let largest = expected.data.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    let errors = got.iter().zip(&expected.data).map(|(&a, &b)| (f64::from(a) - b).abs() / largest);
    errors.fold(0.0, |worst: f64, e| if e.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(e) })
}

/// ‖a − b‖ / ‖b‖.
pub(super) fn frobenius(got: &[f32], expected: &Tensor) -> f64 {
    of_norm(got, expected, expected)
}

/// ‖a − b‖ / ‖c‖.
pub(super) fn of_norm(got: &[f32], expected: &Tensor, unit: &Tensor) -> f64 {
    if got.len() != expected.data.len() {
        return f64::NAN;
    }
    let difference: f64 = got.iter().zip(&expected.data).map(|(&a, &b)| (f64::from(a) - b).powi(2)).sum();
    let norm: f64 = unit.data.iter().map(|x| x * x).sum();
    if difference == 0.0 { 0.0 } else { (difference / norm).sqrt() }
}

/// The largest |a − b| / (absolute + relative·|b|): at most 1 where all are within.
pub(super) fn of_allowed(got: &[f32], expected: &[f64], absolute: f64, relative: f64) -> f64 {
    if got.len() != expected.len() {
        return f64::NAN;
    }
    let share = |(&a, &b): (&f32, &f64)| (f64::from(a) - b).abs() / (absolute + relative * b.abs());
    let errors = got.iter().zip(expected).map(share);
    errors.fold(0.0, |worst: f64, e| if e.is_nan() || worst.is_nan() { f64::NAN } else { worst.max(e) })
}
