//! UniPC: a multistep predictor, and a corrector that shares its evaluations (Zhao et al. 2023).

use super::method::UniPcBasis;
use super::update::Sum;
use crate::schedule::Rates;

/// The highest order.
const ORDERS: usize = 3;

/// What predictor and corrector share for a step from `start` to `end` at order 1 + past.len().
struct Stride {
    /// Factors of x and of the newest kept value at order 1.
    x: f64,
    kept: f64,
    /// −α'·B(h), or −σ'·B(h) where noise is kept.
    scale: f64,
    /// r_k of the earlier points, newest first, then 1.
    ratios: [f64; ORDERS],
    /// Right-hand side.
    b: [f64; ORDERS],
}

impl Stride {
    fn new(start: Rates, end: Rates, past: &[Rates], basis: UniPcBasis, data: bool) -> Self {
        let h = end.lambda() - start.lambda();
        let hh = if data { -h } else { h };
        let (x, factor) =
            if data { (end.sigma / start.sigma, end.alpha) } else { (end.alpha / start.alpha, end.sigma) };
        let phi_1 = hh.exp_m1();
        let scale = match basis {
            UniPcBasis::Bh1 => hh,
            UniPcBasis::Bh2 => phi_1,
        };
        let mut ratios = [1.0; ORDERS];
        for (ratio, point) in ratios.iter_mut().zip(past) {
            *ratio = (point.lambda() - start.lambda()) / h;
        }
        let (mut phi, mut factorial) = (phi_1 / hh - 1.0, 1.0);
        let mut b = [0.0; ORDERS];
        for (k, value) in b.iter_mut().enumerate() {
            *value = phi * factorial / scale;
            factorial *= (k + 2) as f64;
            phi = phi / hh - 1.0 / factorial;
        }
        // α'·e^−h and σ'·e^h, finite where h is not
        let kept = if data {
            end.alpha - start.alpha * end.sigma / start.sigma
        } else {
            end.sigma - end.alpha * start.sigma / start.alpha
        };
        Self { x, kept, scale: -factor * scale, ratios, b }
    }

    /// ρ of Σ_k r_k^i·ρ_k = b_i, i and k below `n`.
    fn weights(&self, n: usize) -> [f64; ORDERS] {
        let mut rows = [[0.0; ORDERS + 1]; ORDERS];
        for (i, row) in rows.iter_mut().enumerate().take(n) {
            for (value, ratio) in row.iter_mut().zip(self.ratios).take(n) {
                *value = ratio.powi(i as i32);
            }
            row[n] = self.b[i];
        }
        solve(rows, n)
    }
}

/// Gaussian elimination with pivoting of an n × (n+1) system.
fn solve(mut rows: [[f64; ORDERS + 1]; ORDERS], n: usize) -> [f64; ORDERS] {
    for column in 0..n {
        let pivot = (column..n).max_by(|&a, &b| rows[a][column].abs().total_cmp(&rows[b][column].abs()));
        rows.swap(column, pivot.unwrap_or(column));
        for row in column + 1..n {
            let factor = rows[row][column] / rows[column][column];
            let pivot = rows[column];
            for (value, above) in rows[row].iter_mut().zip(pivot).skip(column) {
                *value -= factor * above;
            }
        }
    }
    let mut solution = [0.0; ORDERS];
    for row in (0..n).rev() {
        let known: f64 = (row + 1..n).map(|k| rows[row][k] * solution[k]).sum();
        solution[row] = (rows[row][n] - known) / rows[row][row];
    }
    solution
}

/// The predictor from `from` to `to`: order 1 + past.len(), `past` the earlier points, newest first.
pub(super) fn predict(from: Rates, to: Rates, past: &[Rates], basis: UniPcBasis, data: bool) -> Sum {
    let stride = Stride::new(from, to, past, basis, data);
    let mut sum = Sum { x: stride.x, kept: stride.kept, ..Sum::default() };
    let weights = if past.len() == 1 { [0.5; ORDERS] } else { stride.weights(past.len()) };
    // D_k = (m_k − m0)/r_k
    for (k, weight) in weights.into_iter().enumerate().take(past.len()) {
        let factor = stride.scale * weight / stride.ratios[k];
        sum.history[k] += factor;
        sum.kept -= factor;
    }
    sum
}

/// The corrector of a step that went from `from` (the saved state) to `to` at order 1 + past.len(): `kept` is the
/// value at `to`, history[0] that at `from`, `past` the points of history[1…].
pub(super) fn correct(from: Rates, to: Rates, past: &[Rates], basis: UniPcBasis, data: bool) -> Sum {
    let stride = Stride::new(from, to, past, basis, data);
    let mut sum = Sum { saved: stride.x, ..Sum::default() };
    sum.history[0] = stride.kept;
    let order = past.len() + 1;
    let weights = if order == 1 { [0.5; ORDERS] } else { stride.weights(order) };
    for (k, weight) in weights.into_iter().enumerate().take(order) {
        let factor = stride.scale * weight / stride.ratios[k];
        // The last is the value at `to` itself, at ratio 1.
        if k + 1 == order {
            sum.kept += factor;
        } else {
            sum.history[k + 1] += factor;
        }
        sum.history[0] -= factor;
    }
    sum
}
