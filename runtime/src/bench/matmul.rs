//! The machine's own rate of matrix multiplication, as a unit to express other times in.

use ndarray::Array2;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// Rows and columns; three matrices of this size fit a second-level cache.
const SIZE: usize = 256;

const DURATION: Duration = Duration::from_millis(300);

/// 10⁹ multiplications and additions per second in a product of two 256 × 256 single-precision matrices on one
/// thread, at the median of 0.3 s.
pub(super) fn gflop_per_second() -> f64 {
    let a = Array2::from_shape_fn((SIZE, SIZE), |(i, j)| ((i * 7 + j * 3) % 11) as f32 * 0.1 - 0.5);
    let b = Array2::from_shape_fn((SIZE, SIZE), |(i, j)| ((i * 5 + j) % 13) as f32 * 0.1 - 0.6);
    let mut c = Array2::<f32>::zeros((SIZE, SIZE));
    let mut seconds = Vec::new();
    let start = Instant::now();
    while start.elapsed() < DURATION || seconds.len() < 5 {
        let run = Instant::now();
        ndarray::linalg::general_mat_mul(1.0, black_box(&a), black_box(&b), 0.0, &mut c);
        seconds.push(run.elapsed().as_secs_f64());
        black_box(&c);
    }
    seconds.sort_unstable_by(f64::total_cmp);
    2.0 * (SIZE as f64).powi(3) / seconds[seconds.len() / 2] * 1e-9
}
