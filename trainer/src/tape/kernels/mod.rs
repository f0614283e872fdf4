//! The loops of a tape: plain functions of slices, forward and backward.
//!
//! Every sum is taken in an order that depends on shapes alone, and work is cut into parts in the same way, so that the
//! number of threads changes no bit. `min` of a function is the least number of parts that one thread takes: 1 to
//! spread them, `usize::MAX` to stay on the calling thread.

/// Functions whose loops are compiled for each set of vector instructions; the best that this processor has is run.
///
/// A closure given to pulp is a function of its own, which is compiled for the smallest set unless it is inlined; so
/// the body goes where inlining is certain. What it calls must be `#[inline(always)]` as well.
macro_rules! vectorised {
    ($($(#[$meta:meta])* $vis:vis fn $name:ident<'a>($($arg:ident: $type:ty),* $(,)?) $body:block)*) => {$(
        $(#[$meta])*
        $vis fn $name<'a>($($arg: $type),*) {
            struct Loop<'a> {
                $($arg: $type),*
            }
            impl<'a> pulp::WithSimd for Loop<'a> {
                type Output = ();

                #[inline(always)]
                fn with_simd<S: pulp::Simd>(self, _: S) {
                    let Self { $($arg),* } = self;
                    $body
                }
            }
            pulp::Arch::new().dispatch(Loop { $($arg),* });
        }
    )*};
}

pub(super) mod activation;
pub(super) mod attention;
pub(super) mod gate;
pub(super) mod linear;
pub(super) mod loss;
pub(super) mod modulate;
pub(super) mod rms;

use super::tensor::Matrix;
use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// Independent sums that a reduction runs side by side.
const LANES: usize = 16;
/// Elements that one task of an elementwise loop works through.
pub(super) const CHUNK: usize = 32_768;

vectorised! {
    /// `into += from`.
    pub(super) fn add<'a>(into: &'a mut [f32], from: &'a [f32]) {
        into.iter_mut().zip(from).for_each(|(a, b)| *a += b);
    }

    /// `into *= from`.
    pub(super) fn multiply<'a>(into: &'a mut [f32], from: &'a [f32]) {
        into.iter_mut().zip(from).for_each(|(a, b)| *a *= b);
    }
}

/// Σ f(x).
#[inline(always)]
fn sum(x: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane += f(x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane += f(x);
    }
    fold(lanes, |a, b| a + b)
}

/// Σ f(x, y).
#[inline(always)]
fn sum2(x: &[f32], y: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((xs, x), (ys, y)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    for (x, y) in xs.iter().zip(ys) {
        for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
            *lane += f(x, y);
        }
    }
    for ((lane, &x), &y) in lanes.iter_mut().zip(x).zip(y) {
        *lane += f(x, y);
    }
    fold(lanes, |a, b| a + b)
}

/// Σ f(x, y, z).
#[inline(always)]
fn sum3(x: &[f32], y: &[f32], z: &[f32], f: impl Fn(f32, f32, f32) -> f32) -> f32 {
    let mut lanes = [0f32; LANES];
    let ((xs, x), (ys, y)) = (x.as_chunks::<LANES>(), y.as_chunks::<LANES>());
    let (zs, z) = z.as_chunks::<LANES>();
    for ((x, y), z) in xs.iter().zip(ys).zip(zs) {
        for (((lane, &x), &y), &z) in lanes.iter_mut().zip(x).zip(y).zip(z) {
            *lane += f(x, y, z);
        }
    }
    for (((lane, &x), &y), &z) in lanes.iter_mut().zip(x).zip(y).zip(z) {
        *lane += f(x, y, z);
    }
    fold(lanes, |a, b| a + b)
}

#[inline(always)]
fn fold(lanes: [f32; LANES], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = lanes;
    let mut half = LANES / 2;
    while half > 0 {
        for i in 0..half {
            lanes[i] = f(lanes[i], lanes[i + half]);
        }
        half /= 2;
    }
    lanes[0]
}

/// The largest value; one that is not a number is passed over.
#[inline(always)]
fn max(x: &[f32]) -> f32 {
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (chunks, rest) = x.as_chunks::<LANES>();
    for chunk in chunks {
        for (lane, &x) in lanes.iter_mut().zip(chunk) {
            *lane = larger(*lane, x);
        }
    }
    for (lane, &x) in lanes.iter_mut().zip(rest) {
        *lane = larger(*lane, x);
    }
    fold(lanes, larger)
}

/// eˣ by range reduction and a polynomial of degree 6 (the coefficients of Cephes' `expf`), error about 1e-7;
/// vectorises. The rounding adds a number so large that no fraction is left, so that the integer stands in its last bits.
#[inline(always)]
#[allow(clippy::excessive_precision)]
pub(super) fn exp(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0; // 1.5·2²³
    let x = if x < -87.3 { -87.3 } else { x };
    let x = if x > 88.0 { 88.0 } else { x };
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    (p * r * r + r + 1.0) * f32::from_bits((shifted.to_bits() << 23).wrapping_add(127 << 23))
}

/// A matrix as the multiplication knows it.
fn view<'a>(x: &Matrix<'a>, rows: std::ops::Range<usize>) -> MatRef<'a, f32> {
    let of = x.columns.of;
    let values = &x.values[rows.start * of + x.columns.start..];
    MatRef::from_column_major_slice_with_stride(values, x.columns.width, rows.len(), of).transpose()
}

/// The rows of a dense matrix to write to.
fn view_mut(values: &mut [f32], width: usize) -> MatMut<'_, f32> {
    let rows = values.len() / width;
    // The row-major constructor with a stride takes the two strides for each other in faer 0.24.4.
    MatMut::from_column_major_slice_mut(values, width, rows).transpose_mut()
}

/// `c = alpha·a·b`, or `c += alpha·a·b`, on the calling thread.
fn gemm(c: MatMut<'_, f32>, replace: bool, a: MatRef<'_, f32>, b: MatRef<'_, f32>, alpha: f32) {
    matmul(c, if replace { Accum::Replace } else { Accum::Add }, a, b, alpha, Par::Seq);
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fast_exponential_is_accurate_to_a_few_ulps_and_keeps_what_is_not_a_number() {
        for i in -8000..8000 {
            let x = i as f32 * 0.01;
            assert!((f64::from(super::exp(x)) / f64::from(x).exp() - 1.0).abs() < 4e-7, "exp {x}");
        }
        assert!(super::exp(f32::NAN).is_nan());
        assert!(super::exp(-1e30) < 1e-37);
    }

    #[test]
    fn reductions_take_every_element_whatever_the_length() {
        for n in [1, 15, 16, 17, 100] {
            let x: Vec<f32> = (1..=n).map(|i| i as f32).collect();
            let expected = (n * (n + 1) / 2) as f32;
            assert_eq!(super::sum(&x, |x| x), expected);
            assert_eq!(super::sum2(&x, &x, |x, y| x + y), 2.0 * expected);
            assert_eq!(super::max(&x), n as f32);
        }
    }
}
