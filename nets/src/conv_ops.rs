//! The operations that networks of convolutions need beyond those of [`Ops`].

use crate::ops::Ops;
use crate::window::Window;

/// What stands beyond the ends of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beyond {
    /// Zeros.
    Zeros,
    /// The signal mirrored at its first and last value, which are not repeated: at most one value fewer than it has.
    Mirror,
}

/// An interpreter that also runs or records public codecs.
///
/// A trait of its own, since the trainer's tape never differentiates these networks: one that asks for an operation
/// of this trait cannot be given to it, and the compiler says so. Shapes are those of one example, as in [`Ops`].
pub trait ConvOps: Ops {
    /// `a − b`, broadcast as [`Ops::add`].
    fn sub(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// `a / b`, element by element, broadcast as [`Ops::add`].
    fn div(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// `x` where it is positive, `slope · x` elsewhere.
    fn leaky_relu(&self, x: &Self::Tensor, slope: f64) -> Result<Self::Tensor, Self::Error>;

    /// `x` where it is positive, `eˣ − 1` elsewhere (Clevert et al. 2015, with α = 1).
    fn elu(&self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// Hyperbolic tangent.
    fn tanh(&self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// x (C, …) with mean 0 and variance 1 over each of `groups` equal groups of channels and all places, then
    /// times `{name}.weight` (C) plus `{name}.bias` (C) (Wu & He 2018).
    fn group_norm(
        &self,
        x: &Self::Tensor,
        name: &str,
        groups: usize,
        eps: f64,
    ) -> Result<Self::Tensor, Self::Error>;

    /// The transpose of [`Ops::conv`]: every place of x (in, …) adds `{name}.weight` (in, out / groups, kernel…) times
    /// its value to the places that a convolution under this window would have read it from; the window's padding is
    /// cut off. Where it exists `{name}.bias` (out) is added: (out, …).
    fn conv_transposed(
        &self,
        x: &Self::Tensor,
        name: &str,
        window: &Window,
    ) -> Result<Self::Tensor, Self::Error>;

    /// More places before and after those of the last dimension.
    fn pad(
        &self,
        x: &Self::Tensor,
        before: usize,
        after: usize,
        beyond: Beyond,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Every place of x (C, …) repeated `factors[d]` times along dimension d behind the channels.
    fn repeat_places(&self, x: &Self::Tensor, factors: &[usize]) -> Result<Self::Tensor, Self::Error>;

    /// A layer of LSTM cells (Hochreiter & Schmidhuber 1997, with a forget gate) over x (T, in) from a state of zeros:
    /// (T, H). Its parameters are `{name}.weight_ih_l{layer}` (4H, in), `{name}.weight_hh_l{layer}` (4H, H) and their
    /// `bias_…` (4H), whose rows are input gate, forget gate, candidate, output gate.
    fn lstm(&self, x: &Self::Tensor, name: &str, layer: usize) -> Result<Self::Tensor, Self::Error>;
}

/// The number of places that mirroring may add to a signal of `len` places.
///
/// # Errors
/// What was expected and what was asked for.
pub fn check_mirror(len: usize, before: usize, after: usize) -> Result<(), (String, String)> {
    if before.max(after) < len {
        return Ok(());
    }
    Err((format!("fewer mirrored places than the {len} that there are"), format!("{before} and {after}")))
}

/// Where each place of a mirrored signal of `len` places comes from.
pub fn mirrored(len: usize, before: usize, after: usize) -> impl Iterator<Item = usize> {
    let ahead = (1..=before).rev();
    let behind = (1..=after).map(move |i| len - 1 - i);
    ahead.chain(0..len).chain(behind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_a_mirrored_signal_are_not_repeated() {
        assert_eq!(mirrored(4, 3, 2).collect::<Vec<_>>(), [3, 2, 1, 0, 1, 2, 3, 2, 1]);
        assert!(
            check_mirror(4, 3, 3).is_ok() && check_mirror(4, 0, 4).is_err() && check_mirror(0, 0, 0).is_err()
        );
    }
}
