//! The Fréchet distance between normal distributions fitted to two sets (Dowson & Landau 1982).

use super::Features;
use crate::error::{Error, Result};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};

/// `|m₁ − m₂|² + tr C₁ + tr C₂ − 2 tr (C₁ C₂)^½` of two sets of features, covariances with `1 / (n − 1)`.
///
/// The trace comes from the eigenvalues of `C₁^½ C₂ C₁^½`, which is symmetric whatever the ranks are: singular
/// covariances need no special treatment, negative eigenvalues are rounding and count as 0. Rounding can leave a
/// distance of equal sets a little below 0, which is not hidden.
///
/// # Errors
/// [`Error::Value`] with fewer than two rows in a set, [`Error::Count`] if dimensions differ.
pub fn frechet(a: &Features, b: &Features) -> Result<f64> {
    Reference::new(a)?.frechet(b)
}

/// A set of features with which many others are compared.
#[derive(Clone, Debug)]
pub struct Reference {
    moments: Moments,
    /// `C^½`.
    root: Mat<f64>,
}

impl Reference {
    /// Takes the moments of the set.
    ///
    /// # Errors
    /// [`Error::Value`] with fewer than two rows.
    pub fn new(features: &Features) -> Result<Self> {
        let moments = Moments::of(features)?;
        let (vectors, values) = eigen(&moments.covariance)?;
        let scaled = Mat::from_fn(vectors.nrows(), values.len(), |i, j| vectors[(i, j)] * values[j].sqrt());
        let root = product(scaled.as_ref(), vectors.transpose());
        Ok(Self { moments, root })
    }

    /// The distance of another set, as [`frechet`].
    ///
    /// # Errors
    /// As [`frechet`].
    pub fn frechet(&self, other: &Features) -> Result<f64> {
        Error::check_count("dimensions of features", self.moments.mean.len(), other.dims())?;
        let other = Moments::of(other)?;
        let mean: f64 = self.moments.mean.iter().zip(&other.mean).map(|(a, b)| (a - b).powi(2)).sum();
        let middle = product(self.root.as_ref(), other.covariance.as_ref());
        let middle = product(middle.as_ref(), self.root.as_ref());
        let (_, values) = eigen(&middle)?;
        let root: f64 = values.iter().map(|x| x.sqrt()).sum();
        Ok(mean + self.moments.trace() + other.trace() - 2.0 * root)
    }
}

/// Mean and covariance.
#[derive(Clone, Debug)]
struct Moments {
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

impl Moments {
    fn of(features: &Features) -> Result<Self> {
        let n = features.len();
        if n < 2 {
            return Err(Error::value("clips of a set whose distance is asked for", "at least 2", n));
        }
        let mean = features.mean();
        let mut centred = Mat::<f64>::zeros(n, features.dims());
        for (i, row) in features.rows().enumerate() {
            for (j, (x, m)) in row.iter().zip(&mean).enumerate() {
                centred[(i, j)] = x - m;
            }
        }
        let covariance = product(centred.transpose(), centred.as_ref());
        let covariance = Mat::from_fn(mean.len(), mean.len(), |i, j| covariance[(i, j)] / (n - 1) as f64);
        Ok(Self { mean, covariance })
    }

    fn trace(&self) -> f64 {
        (0..self.mean.len()).map(|i| self.covariance[(i, i)]).sum()
    }
}

fn product(a: MatRef<'_, f64>, b: MatRef<'_, f64>) -> Mat<f64> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(&mut out, Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// Eigenvectors in columns and eigenvalues, negative ones as 0, of a matrix that is symmetric but for rounding.
fn eigen(matrix: &Mat<f64>) -> Result<(Mat<f64>, Vec<f64>)> {
    let d = matrix.nrows();
    let symmetric = Mat::from_fn(d, d, |i, j| 0.5 * (matrix[(i, j)] + matrix[(j, i)]));
    let found = symmetric
        .self_adjoint_eigen(Side::Lower)
        .map_err(|error| Error::value("covariance", "a matrix with eigenvalues", format!("{error:?}")))?;
    let values = (0..d).map(|i| found.S().column_vector()[i].max(0.0)).collect();
    Ok((found.U().to_owned(), values))
}
