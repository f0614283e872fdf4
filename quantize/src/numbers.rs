//! Numbers as small integers: symmetric weights, asymmetric activations, blocks of four bits.
//!
//! All arithmetic is in f32, as ONNX's `QuantizeLinear` and `DynamicQuantizeLinear` have it; halves go to even.

/// What a tensor of activations is stored with (ONNX `DynamicQuantizeLinear`): `x ≈ (q − zero_point)·scale`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// The width of a step; 1 where every value is 0, as ONNX Runtime has it.
    pub scale: f32,
    /// The integer of 0.
    pub zero_point: u8,
}

impl Affine {
    /// From the range of the values, widened to hold 0.
    pub fn of_range(min: f32, max: f32) -> Self {
        let (min, max) = (min.min(0.0), max.max(0.0));
        if max == min {
            return Self { scale: 1.0, zero_point: 0 };
        }
        let scale = (max - min) / 255.0;
        Self { scale, zero_point: (-min / scale).round_ties_even().clamp(0.0, 255.0) as u8 }
    }

    /// From the values.
    pub fn of(values: &[f32]) -> Self {
        let (min, max) = values.iter().fold((0.0f32, 0.0f32), |(min, max), &x| (min.min(x), max.max(x)));
        Self::of_range(min, max)
    }

    /// The integer of a value.
    pub fn quantize(self, x: f32) -> u8 {
        ((x / self.scale).round_ties_even() + f32::from(self.zero_point)).clamp(0.0, 255.0) as u8
    }

    /// The value of an integer.
    pub fn dequantize(self, q: u8) -> f32 {
        (f32::from(q) - f32::from(self.zero_point)) * self.scale
    }
}

/// The scale of values whose largest magnitude is stored as `most`; 1 where all are 0.
pub fn symmetric_scale(largest: f32, most: i8) -> f32 {
    if largest == 0.0 { 1.0 } else { largest / f32::from(most) }
}

/// A value as a signed integer of at most `most` in magnitude beyond rounding, `-128..=127` at `most` 127.
pub fn quantize_symmetric(x: f32, scale: f32, most: i8) -> i8 {
    let low = if most == i8::MAX { f32::from(i8::MIN) } else { -f32::from(most) };
    (x / scale).round_ties_even().clamp(low, f32::from(most)) as i8
}

/// A matrix (rows, columns) whose columns are stored each with a scale of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Columns {
    /// (rows, columns), row-major.
    pub q: Vec<i8>,
    /// One a column.
    pub scales: Vec<f32>,
}

impl Columns {
    /// Stores a matrix of (rows, `columns`) with integers up to `most`.
    pub fn quantize(values: &[f32], columns: usize, most: i8) -> Self {
        let mut largest = vec![0.0f32; columns];
        for row in values.chunks_exact(columns) {
            for (largest, x) in largest.iter_mut().zip(row) {
                *largest = largest.max(x.abs());
            }
        }
        let scales: Vec<f32> = largest.into_iter().map(|largest| symmetric_scale(largest, most)).collect();
        let row = |row: &[f32]| -> Vec<i8> {
            row.iter().zip(&scales).map(|(x, scale)| quantize_symmetric(*x, *scale, most)).collect()
        };
        Self { q: values.chunks_exact(columns).flat_map(row).collect(), scales }
    }

    /// The matrix that is stored.
    pub fn dequantize(&self) -> Vec<f32> {
        let rows = self.q.chunks_exact(self.scales.len().max(1));
        rows.flat_map(|row| row.iter().zip(&self.scales).map(|(q, scale)| f32::from(*q) * scale)).collect()
    }
}

/// A matrix (rows, columns) in four bits, each column in blocks of rows with a scale of its own: the form of ONNX
/// Runtime's `MatMulNBits`, two to a byte, the earlier row in the lower half, 8 for 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Blocks {
    /// (columns, blocks, block/2).
    pub packed: Vec<u8>,
    /// (columns, blocks).
    pub scales: Vec<f32>,
}

impl Blocks {
    /// Blocks of `block` rows for a matrix of `rows`.
    pub fn count(rows: usize, block: usize) -> usize {
        rows.div_ceil(block)
    }

    /// Stores a matrix. The scale of a block has the sign that puts its largest value at −8, which four bits have and
    /// 8 they have not. `block` is even.
    pub fn quantize(values: &[f32], columns: usize, block: usize) -> Self {
        let rows = values.len() / columns.max(1);
        let blocks = Self::count(rows, block);
        let (mut packed, mut scales) = (Vec::with_capacity(columns * blocks * block / 2), Vec::new());
        for column in 0..columns {
            for start in (0..blocks).map(|b| b * block) {
                let at =
                    |i: usize| if start + i < rows { values[(start + i) * columns + column] } else { 0.0 };
                let largest =
                    (0..block).map(at).fold(0.0f32, |most, x| if x.abs() > most.abs() { x } else { most });
                let scale = if largest == 0.0 { 1.0 } else { largest / -8.0 };
                let nibble = |i: usize| ((at(i) / scale).round_ties_even().clamp(-8.0, 7.0) + 8.0) as u8;
                packed.extend((0..block / 2).map(|pair| nibble(2 * pair) | nibble(2 * pair + 1) << 4));
                scales.push(scale);
            }
        }
        Self { packed, scales }
    }

    /// The matrix (rows, columns) that is stored.
    pub fn dequantize(&self, rows: usize, columns: usize, block: usize) -> Vec<f32> {
        let blocks = Self::count(rows, block);
        let at = |row: usize, column: usize| {
            let (b, i) = (row / block, row % block);
            let byte = self.packed[(column * blocks + b) * block / 2 + i / 2];
            let nibble = if i.is_multiple_of(2) { byte & 15 } else { byte >> 4 };
            (f32::from(nibble) - 8.0) * self.scales[column * blocks + b]
        };
        (0..rows)
            .flat_map(|row| (0..columns).map(move |column| (row, column)))
            .map(|(r, c)| at(r, c))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_of_zeros_and_one_of_large_values_do_not_disturb_each_other() {
        let stored = Columns::quantize(&[0.0, 100.0, 1.0, 0.0, -50.0, -0.5], 3, 127);
        assert_eq!(stored.scales, [1.0, 100.0 / 127.0, 1.0 / 127.0]);
        assert_eq!(stored.q, [0, 127, 127, 0, -64, -64]); // -63.5 twice, to even
        let seven = Columns::quantize(&[1.0, -1.0], 1, 63);
        assert_eq!(seven.q, [63, -63]);
    }

    #[test]
    fn blocks_come_back_within_half_a_step_whatever_the_sign_of_the_largest() {
        let (rows, columns, block) = (70, 3, 32);
        let values: Vec<f32> = (0..rows * columns).map(|i| ((i * 37 % 101) as f32 - 50.0) / 7.0).collect();
        let stored = Blocks::quantize(&values, columns, block);
        assert_eq!((stored.packed.len(), stored.scales.len()), (3 * 3 * 16, 9));
        let back = stored.dequantize(rows, columns, block);
        for (i, (a, b)) in values.iter().zip(&back).enumerate() {
            let scale = stored.scales[(i % columns) * 3 + i / columns / block].abs();
            assert!((a - b).abs() <= scale * 1.001, "{i}: {a} against {b}, step {scale}");
        }
        // What is opposite to the largest value and nearly as large is the only thing cut off, by less than a step.
        let exact = Blocks::quantize(&[-8.0, 7.0, 3.0, 0.0], 1, 4);
        assert_eq!(exact.dequantize(4, 1, 4), [-8.0, 7.0, 3.0, 0.0]);
    }

    #[test]
    fn zero_is_stored_exactly() {
        for (min, max) in [(-1.0, 3.0), (0.5, 2.0), (-4.0, -1.0), (0.0, 0.0)] {
            let affine = Affine::of_range(min, max);
            assert_eq!(affine.dequantize(affine.quantize(0.0)), 0.0, "{min}..{max}");
        }
    }
}
