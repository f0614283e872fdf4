//! The principal components of many rows, by block power iteration (Halko et al. 2011, algorithm 4.4).

use avdit_core::{Noise, Purpose, Stream};
use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatRef, Par, Side};

/// Directions kept beyond those asked for, so that the last one asked for has converged as well.
const OVERSAMPLING: usize = 16;
const POWER_ITERATIONS: usize = 5;

/// The leading principal components of rows that have been centred.
#[derive(Clone)]
pub(crate) struct Principal {
    /// `(k, d)`: orthonormal rows, by falling variance, each with its largest entry positive.
    pub(crate) basis: Vec<f32>,
    /// Share of the rows' variance that lies in the basis.
    pub(crate) explained: f64,
}

/// # Shapes
/// `rows`: `(n, d)` row-major; gives `k` components, `k <= d`.
pub(crate) fn principal(rows: &[f32], d: usize, k: usize) -> Principal {
    let n = rows.len() / d;
    let l = (k + OVERSAMPLING).min(d);
    let x = MatRef::from_row_major_slice(rows, n, d);
    let mut start = vec![0f32; d * l];
    Noise::new(0).normals(Stream::new(Purpose::Parameters, 0, 0), &mut start);
    let mut q = orthonormal(MatRef::from_row_major_slice(&start, d, l).cloned());
    for _ in 0..POWER_ITERATIONS {
        let y = product(x, q.as_ref()); // (n, l)
        q = orthonormal(product(x.transpose(), y.as_ref())); // (d, l)
    }
    let y = product(x, q.as_ref());
    let wide = Mat::<f64>::from_fn(n, l, |i, j| y[(i, j)].into());
    let covariance = wide.transpose() * &wide; // (l, l)
    let eigen =
        covariance.self_adjoint_eigen(Side::Lower).expect("a finite symmetric matrix has eigenvalues");
    let total: f64 = rows.iter().map(|&x| f64::from(x).powi(2)).sum();
    let (mut basis, mut kept) = (Vec::with_capacity(k * d), 0.0);
    for c in (l - k..l).rev() {
        let direction: Vec<f64> =
            (0..d).map(|i| (0..l).map(|j| f64::from(q[(i, j)]) * eigen.U()[(j, c)]).sum()).collect();
        let peak = direction.iter().fold(0.0, |peak: f64, &x| if x.abs() > peak.abs() { x } else { peak });
        basis.extend(direction.iter().map(|x| (x * peak.signum()) as f32));
        kept += eigen.S().column_vector()[c].max(0.0);
    }
    Principal { basis, explained: if total > 0.0 { kept / total } else { 1.0 } }
}

fn product(a: MatRef<'_, f32>, b: MatRef<'_, f32>) -> Mat<f32> {
    let mut out = Mat::zeros(a.nrows(), b.ncols());
    matmul(&mut out, Accum::Replace, a, b, 1.0, Par::Seq);
    out
}

/// An orthonormal basis of the columns, in f64: f32 would lose the weak directions beside the strong.
fn orthonormal(columns: Mat<f32>) -> Mat<f32> {
    let wide = Mat::<f64>::from_fn(columns.nrows(), columns.ncols(), |i, j| columns[(i, j)].into());
    let q = wide.qr().compute_thin_Q();
    Mat::from_fn(q.nrows(), q.ncols(), |i, j| q[(i, j)] as f32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows with independent coordinates of falling spread: the components are the coordinate axes.
    #[test]
    fn components_of_independent_coordinates_are_the_axes() {
        let (n, d) = (4000, 40);
        let mut rows = vec![0f32; n * d];
        Noise::new(3).normals(Stream::new(Purpose::Check, 0, 0), &mut rows);
        let spread = |j: usize| 0.6f32.powi(j as i32);
        rows.iter_mut().enumerate().for_each(|(i, x)| *x *= spread(i % d));
        let found = principal(&rows, d, 3);
        for c in 0..3 {
            let row = &found.basis[c * d..(c + 1) * d];
            assert!(row[c] > 0.99, "component {c}: {}", row[c]);
            let norm: f32 = row.iter().map(|x| x * x).sum();
            assert!((norm - 1.0).abs() < 1e-4, "norm {norm}");
        }
        // Variances are 0.36^j: the first three hold 1 - 0.36^3 = 0.953 of all.
        assert!((found.explained - 0.953).abs() < 0.01, "{}", found.explained);
    }

    #[test]
    fn rows_without_variance_still_give_an_orthonormal_basis() {
        let found = principal(&vec![0.0; 5 * 12], 12, 2);
        let dot: f32 = (0..12).map(|i| found.basis[i] * found.basis[12 + i]).sum();
        let norm: f32 = found.basis[..12].iter().map(|x| x * x).sum();
        assert!(dot.abs() < 1e-5 && (norm - 1.0).abs() < 1e-5, "{dot} {norm}");
    }
}
