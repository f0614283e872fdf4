//! Latents cut into squares, and put together again.

use crate::ops::Ops;
use crate::positions::sincos;

/// Frames of latents that are cut into squares of side `patch`, one token each: frame by frame, row by row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Patches {
    pub(crate) frames: usize,
    pub(crate) channels: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) patch: usize,
}

impl Patches {
    pub(crate) fn rows(&self) -> usize {
        self.height / self.patch
    }

    pub(crate) fn columns(&self) -> usize {
        self.width / self.patch
    }

    /// Tokens of all frames.
    pub(crate) fn tokens(&self) -> usize {
        self.frames * self.rows() * self.columns()
    }

    /// Latents (F, C, H, W), or (C, H, W) of a single frame, to (tokens, C·p²): what a convolution of kernel and stride p
    /// sees in each place, in the order of its weight.
    pub(crate) fn cut<O: Ops>(&self, ops: &O, x: &O::Tensor) -> Result<O::Tensor, O::Error> {
        let Patches { frames, channels, patch, .. } = *self;
        let x = ops.reshape(x, &[frames, channels, self.rows(), patch, self.columns(), patch])?;
        let x = ops.permute(&x, &[0, 2, 4, 1, 3, 5])?; // (F, rows, columns, C, p, p)
        ops.reshape(&x, &[self.tokens(), channels * patch * patch])
    }

    /// Tokens (tokens, p²·n), in each the channel fastest, to (F, n, H, W).
    pub(crate) fn join<O: Ops>(&self, ops: &O, x: &O::Tensor, n: usize) -> Result<O::Tensor, O::Error> {
        let Patches { frames, patch, .. } = *self;
        let x = ops.reshape(x, &[frames, self.rows(), self.columns(), patch, patch, n])?;
        let x = ops.permute(&x, &[0, 5, 1, 3, 2, 4])?; // (F, n, rows, p, columns, p)
        ops.reshape(&x, &[frames, n, self.height, self.width])
    }
}

/// The fixed code of each place of a grid, row by row, (rows·columns, D): the first half encodes the column, the second
/// the row, each as `[sin | cos]` (`pos_embed` of Peebles & Xie 2023). D is a multiple of 4.
pub(crate) fn grid_code(rows: usize, columns: usize, d: usize) -> Vec<f32> {
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
    let code = |(row, column): (usize, usize)| {
        sincos(column as f64, d / 2).into_iter().chain(sincos(row as f64, d / 2))
    };
    places.flat_map(code).map(|x| x as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_half_of_a_code_follows_the_column_and_the_second_the_row() {
        let (columns, d) = (3, 8);
        let code = grid_code(2, columns, d);
        let at = |row: usize, column: usize| &code[(row * columns + column) * d..][..d];
        assert_eq!(at(0, 2)[..4], at(1, 2)[..4]);
        assert_eq!(at(1, 0)[4..], at(1, 2)[4..]);
        assert_eq!(at(0, 1)[..4], at(1, 0)[4..], "one place along either axis has the same code");
        assert_eq!(at(0, 0), [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0]);
    }
}
