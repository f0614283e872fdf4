//! What the kernels of this module share: views of Candle's storage, and fast transcendentals.

use candle_core::{CpuStorage, Layout, Result};

/// Elements that one task of a parallel loop works through.
pub(super) const CHUNK: usize = 16_384;

/// The values of a contiguous f32 tensor.
pub(super) fn values<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        candle_core::bail!("a fused operation needs contiguous tensors, got layout {layout:?}")
    };
    Ok(&storage.as_slice::<f32>()?[start..end])
}

/// tanh as a rational function (the coefficients of Eigen's `ptanh`), error about 1e-7; vectorises.
#[inline]
#[allow(clippy::excessive_precision)]
pub(super) fn tanh(x: f32) -> f32 {
    let x = x.clamp(-7.905_311, 7.905_311);
    let x2 = x * x;
    let p = -2.760_768_5e-16 * x2 + 2.000_188e-13;
    let p = p * x2 - 8.604_671_5e-11;
    let p = p * x2 + 5.122_297_1e-8;
    let p = p * x2 + 1.485_722_4e-5;
    let p = p * x2 + 6.372_619_3e-4;
    let p = (p * x2 + 4.893_524_6e-3) * x;
    let q = 1.198_258_4e-6 * x2 + 1.185_347_1e-4;
    let q = q * x2 + 2.268_434_6e-3;
    p / (q * x2 + 4.893_525e-3)
}

/// eˣ by range reduction and a polynomial of degree 6 (the coefficients of Cephes' `expf`), error about 1e-7;
/// vectorises.
#[inline]
#[allow(clippy::excessive_precision)]
pub(super) fn exp(x: f32) -> f32 {
    let x = x.clamp(-87.3, 88.0);
    let n = (x * std::f32::consts::LOG2_E).round();
    let r = x - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let p = 1.987_569_1e-4 * r + 1.398_199_9e-3;
    let p = p * r + 8.333_452e-3;
    let p = p * r + 4.166_579_6e-2;
    let p = p * r + 1.666_666_5e-1;
    let p = p * r + 0.5;
    (p * r * r + r + 1.0) * f32::from_bits(((n as i32 + 127) << 23) as u32)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_fast_functions_are_accurate_to_a_few_ulps() {
        for i in -2000..2000 {
            let x = i as f32 * 0.01;
            assert!((super::tanh(x) - x.tanh()).abs() < 4e-7, "tanh {x}");
            assert!((super::exp(x) / x.exp() - 1.0).abs() < 4e-7, "exp {x}");
        }
    }
}
