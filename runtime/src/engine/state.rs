//! What engines of fused steps have in common: how a state lies in memory, and what is fed in each step.

use avdit_core::sampler::Coefficients;
use avdit_core::{Latents, Levels, Modality};

/// The latents as the first entry of each clip's state, zeros in the others.
pub(super) fn fill(state: &mut [f32], x: &[f32], batch: usize) {
    state.fill(0.0);
    let (entries, len) = (state.len() / batch, x.len() / batch);
    state.chunks_mut(entries).zip(x.chunks(len)).for_each(|(state, x)| state[..len].copy_from_slice(x));
}

/// The first entry of each clip's state.
pub(super) fn first_entries(state: &[f32], x: &mut [f32], batch: usize) {
    let (entries, len) = (state.len() / batch, x.len() / batch);
    state.chunks(entries).zip(x.chunks_mut(len)).for_each(|(state, x)| x.copy_from_slice(&state[..len]));
}

/// The values of the inputs that follow the state, in the order of the ports; noise as far as there is any.
pub(super) fn feed<'a>(
    levels: &'a Levels,
    coefficients: &'a Coefficients,
    noise: Option<&'a Latents>,
) -> Vec<&'a [f32]> {
    let both = |values: &dyn Fn(Modality) -> &'a [f32]| Modality::ALL.map(values);
    let mut fed = both(&|modality| levels.get(modality)).to_vec();
    fed.extend(both(&|modality| coefficients.factors(modality)));
    fed.extend(both(&|modality| coefficients.moves(modality)));
    fed.extend(noise.iter().flat_map(|noise| both(&|modality| noise.get(modality))));
    fed
}
