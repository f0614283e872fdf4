//! The maximum mean discrepancy with a polynomial kernel (Bińkowski et al. 2018).

use super::Features;
use crate::error::{Error, Result};

/// The unbiased squared discrepancy under `k(a, b) = (a·b / d + 1)³`, all samples at once; it can be below 0.
///
/// # Errors
/// [`Error::Value`] with fewer than two rows in a set, [`Error::Count`] if dimensions differ.
pub fn polynomial_mmd(a: &Features, b: &Features) -> Result<f64> {
    Error::check_count("dimensions of features", a.dims(), b.dims())?;
    for n in [a.len(), b.len()] {
        if n < 2 {
            return Err(Error::value("clips of a set whose discrepancy is asked for", "at least 2", n));
        }
    }
    let (m, n) = (a.len() as f64, b.len() as f64);
    Ok(2.0 * within(a) / (m * (m - 1.0)) + 2.0 * within(b) / (n * (n - 1.0)) - 2.0 * between(a, b) / (m * n))
}

fn kernel(a: &[f64], b: &[f64]) -> f64 {
    let dot: f64 = a.iter().zip(b).map(|(x, y)| x * y).sum();
    (dot / a.len() as f64 + 1.0).powi(3)
}

/// Sum over pairs of different rows, each pair once.
fn within(x: &Features) -> f64 {
    (1..x.len()).map(|i| (0..i).map(|j| kernel(x.row(i), x.row(j))).sum::<f64>()).sum()
}

fn between(a: &Features, b: &Features) -> f64 {
    a.rows().map(|x| b.rows().map(|y| kernel(x, y)).sum::<f64>()).sum()
}
