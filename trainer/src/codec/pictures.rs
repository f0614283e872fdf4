//! What rebuilt pictures are judged by.

use candle_core::{Result, Tensor};

/// Weights of the mean absolute difference, the mean square, and the mean absolute difference of the slopes.
const ABSOLUTE: f64 = 1.0;
const SQUARE: f64 = 4.0;
const SLOPE: f64 = 0.5;

/// The loss of pictures (B, F, 3, H, W) in −1 to 1: differences of the values and of the slopes along rows and columns,
/// which is where edges lie.
pub(super) fn loss(made: &Tensor, true_: &Tensor) -> Result<Tensor> {
    let error = (made - true_)?;
    let slope = |dim: usize| {
        let n = error.dim(dim)? - 1;
        (error.narrow(dim, 1, n)? - error.narrow(dim, 0, n)?)?.abs()?.mean_all()
    };
    let slopes = ((slope(3)? + slope(4)?)? * SLOPE)?;
    let values = ((error.abs()?.mean_all()? * ABSOLUTE)? + (error.sqr()?.mean_all()? * SQUARE)?)?;
    values + slopes
}
