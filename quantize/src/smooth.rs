//! SmoothQuant (Xiao et al. 2023): what makes activations hard to quantize moves into the weights, channel by channel.

use crate::numbers::{Affine, Columns};
use serde::{Deserialize, Serialize};

/// Strengths that are tried.
pub const ALPHAS: [f32; 3] = [0.25, 0.5, 0.75];
/// What smoothing must gain to be worth a pass over the activations, in decibels.
pub const WORTH_DB: f64 = 1.0;

/// Rows of activations that were seen, and the largest magnitude of each of their channels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// (rows, channels).
    pub values: Vec<f32>,
    /// One range a channel.
    pub channels: Vec<[f32; 2]>,
}

/// How well a product keeps its value in 8 bits.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Strength {
    /// α; 0 is no smoothing.
    pub alpha: f32,
    /// Signal-to-noise ratio of the product, in decibels.
    pub snr_db: f64,
}

/// What channels are divided by: `max|x|^α / max|w|^(1 − α)` (equation 4), 1 where one of both is 0.
pub fn divisors(channels: &[[f32; 2]], weights: &[f32], alpha: f32) -> Vec<f32> {
    let divisor = |([low, high], w): (&[f32; 2], &f32)| {
        let x = low.abs().max(high.abs());
        let divisor = x.powf(alpha) / w.powf(1.0 - alpha);
        if x > 0.0 && *w > 0.0 && divisor.is_normal() { divisor } else { 1.0 }
    };
    channels.iter().zip(weights).map(divisor).collect()
}

/// The largest magnitude of each row of a matrix with `columns`.
pub fn row_maxima(values: &[f32], columns: usize) -> Vec<f32> {
    values.chunks_exact(columns).map(|row| row.iter().fold(0.0, |most: f32, w| most.max(w.abs()))).collect()
}

/// The range of activations after division.
pub fn smoothed_range(channels: &[[f32; 2]], divisors: &[f32]) -> [f32; 2] {
    channels
        .iter()
        .zip(divisors)
        .fold([0.0, 0.0], |[min, max], ([low, high], s)| [f32::min(min, low / s), f32::max(max, high / s)])
}

/// The strength that keeps products of `rows` with all `matrices` best; 0 unless another gains [`WORTH_DB`]. Each matrix
/// with its columns; `most` is the largest integer of weights.
pub fn search(rows: &Rows, matrices: &[(Vec<f32>, usize)], most: i8) -> Strength {
    let width = rows.channels.len();
    let mut weights = vec![0.0f32; width];
    for (values, columns) in matrices {
        for (all, this) in weights.iter_mut().zip(row_maxima(values, *columns)) {
            *all = all.max(this);
        }
    }
    let measure = |alpha: f32| {
        let divisors = match alpha {
            0.0 => vec![1.0; width],
            _ => divisors(&rows.channels, &weights, alpha),
        };
        Strength { alpha, snr_db: snr_db(rows, matrices, &divisors, most) }
    };
    let plain = measure(0.0);
    let best = ALPHAS.into_iter().map(measure).max_by(|a, b| a.snr_db.total_cmp(&b.snr_db));
    best.filter(|best| best.snr_db >= plain.snr_db + WORTH_DB).unwrap_or(plain)
}

/// What products of quantized activations and quantized weights keep.
fn snr_db(rows: &Rows, matrices: &[(Vec<f32>, usize)], divisors: &[f32], most: i8) -> f64 {
    let [low, high] = smoothed_range(&rows.channels, divisors);
    let affine = Affine::of_range(low, high);
    let divided = rows.values.iter().zip(divisors.iter().cycle()).map(|(x, s)| x / s);
    let quantized: Vec<f32> = divided.map(|x| affine.dequantize(affine.quantize(x))).collect();
    let mut sums = crate::quality::Sums::default();
    for (values, columns) in matrices {
        let scaled = values.chunks_exact(*columns).zip(divisors);
        let scaled: Vec<f32> = scaled.flat_map(|(row, s)| row.iter().map(move |w| w * s)).collect();
        let stored = Columns::quantize(&scaled, *columns, most).dequantize();
        let width = divisors.len();
        for (x, q) in rows.values.chunks_exact(width).zip(quantized.chunks_exact(width)) {
            sums.add(&product(x, values, *columns), &product(q, &stored, *columns));
        }
    }
    sums.snr_db()
}

fn product(x: &[f32], matrix: &[f32], columns: usize) -> Vec<f32> {
    let mut y = vec![0.0; columns];
    for (x, row) in x.iter().zip(matrix.chunks_exact(columns)) {
        y.iter_mut().zip(row).for_each(|(y, w)| *y += x * w);
    }
    y
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(outlier: f32) -> Rows {
        // Every channel takes the same eight values in another order.
        let value = |i: usize| {
            let even = ((i / 8 * 3 + i) % 8) as f32 / 3.5 - 1.0;
            if i % 8 == 3 { even * outlier } else { even }
        };
        let values: Vec<f32> = (0..64).map(value).collect();
        let channels = (0..8).map(|c| {
            let channel = values.iter().skip(c).step_by(8);
            channel.fold([0.0f32; 2], |[low, high], &x| [low.min(x), high.max(x)])
        });
        Rows { channels: channels.collect(), values }
    }

    #[test]
    fn a_channel_of_large_values_is_smoothed_and_even_ones_are_left() {
        // And so does every row.
        let matrix: Vec<f32> = (0..88).map(|i| ((i / 11 * 3 + i % 11 * 7) % 11) as f32 / 5.0 - 1.0).collect();
        let even = search(&rows(1.0), &[(matrix.clone(), 11)], 127);
        assert_eq!(even.alpha, 0.0);
        let outlier = search(&rows(300.0), &[(matrix.clone(), 11)], 127);
        assert!(outlier.alpha > 0.0, "{outlier:?}");
        let plain = snr_db(&rows(300.0), &[(matrix, 11)], &[1.0; 8], 127);
        assert!(outlier.snr_db >= plain + WORTH_DB, "{outlier:?} {plain}");
    }

    #[test]
    fn divisors_are_those_of_the_formula() {
        let channels = [[-4.0, 1.0], [0.0, 0.0], [0.0, 9.0]];
        assert_eq!(divisors(&channels, &[16.0, 2.0, 0.0], 0.5), [0.5, 1.0, 1.0]);
        assert_eq!(smoothed_range(&channels, &[0.5, 1.0, 3.0]), [-8.0, 3.0]);
        assert_eq!(row_maxima(&[1.0, -3.0, 0.5, 0.25], 2), [3.0, 0.5]);
    }
}
