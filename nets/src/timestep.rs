//! How a network is told a noise level: sinusoids of it, and a small MLP (Peebles & Xie 2023, after Nichol & Dhariwal
//! 2021).

use crate::ops::Ops;
use crate::parameters::{Init, Parameter, linear};

/// Cosines, and as many sines, of a timestep.
pub const HALF: usize = 128;

/// Width of the features of a timestep.
pub const FEATURES: usize = 2 * HALF;

/// `[cos(t·ω) | sin(t·ω)]` with ω_k = 10000^(−k/128), k = 0…127, in the precision that `frequencies` come in: timesteps (n)
/// → (n, 256).
///
/// # Errors
/// Whatever the interpreter reports.
pub fn features<O: Ops>(
    ops: &O,
    timesteps: &O::Tensor,
    frequencies: fn(usize) -> Vec<f32>,
) -> Result<O::Tensor, O::Error> {
    let n = ops.dims(timesteps)[0];
    let timesteps = ops.reshape(timesteps, &[n, 1])?;
    let frequencies = ops.constant("frequencies", &[1, HALF], frequencies(HALF))?;
    let angles = ops.mul(&timesteps, &frequencies)?; // (n, 128)
    ops.concat(&[&ops.cos(&angles)?, &ops.sin(&angles)?], 1)
}

/// Features (n, 256) → (n, D) by `t_embedder.mlp`.
///
/// # Errors
/// Whatever the interpreter reports.
pub fn embed<O: Ops>(ops: &O, features: &O::Tensor) -> Result<O::Tensor, O::Error> {
    let hidden = ops.silu(&ops.linear(features, "t_embedder.mlp.0")?)?;
    ops.linear(&hidden, "t_embedder.mlp.2")
}

/// What [`embed`] learns, for a network of width `d`.
pub(crate) fn parameters(list: &mut Vec<Parameter>, d: usize) {
    linear(list, "t_embedder.mlp.0", FEATURES, d, Init::Normal(0.02));
    linear(list, "t_embedder.mlp.2", d, d, Init::Normal(0.02));
}
