//! The operations that networks are written in.

use crate::window::Window;

/// A part of a network as a function of its inputs.
pub type Block<O> = Box<dyn Fn(&O, &[<O as Ops>::Tensor]) -> Result<<O as Ops>::Tensor, <O as Ops>::Error>>;

/// An interpreter of networks: it runs them, or it records them.
///
/// The first dimension of every tensor is the batch, which a network never names: shapes here are those of one
/// example, and the batch stays where it is. Constants and parameters have no batch and are broadcast over it.
/// Composite operations (`attention`, `modulate`, `gelu`, …) stay whole, so that each interpreter lowers them in
/// its own best way.
pub trait Ops {
    /// A handle to a tensor of this interpreter.
    type Tensor: Clone;
    /// What can go wrong in it.
    type Error;

    /// The size of each dimension after the batch.
    fn dims(&self, x: &Self::Tensor) -> Vec<usize>;

    /// A fixed tensor, the same for every example; `dims` without the batch. `name` is for graphs and errors.
    fn constant(&self, name: &str, dims: &[usize], data: Vec<f32>) -> Result<Self::Tensor, Self::Error>;

    /// A learned tensor by its full name, as a constant of its own shape.
    fn parameter(&self, name: &str) -> Result<Self::Tensor, Self::Error>;

    /// `y = x·Wᵀ + b` on the last dimension, with `{name}.weight` (out, in) and, where it exists, `{name}.bias` (out). A
    /// weight of more dimensions, such as that of a convolution over patches, is seen as (out, all the others).
    fn linear(&self, x: &Self::Tensor, name: &str) -> Result<Self::Tensor, Self::Error>;

    /// [`Ops::linear`] whose output is cut into `parts` equal pieces along the last dimension.
    fn linear_split(
        &self,
        x: &Self::Tensor,
        name: &str,
        parts: usize,
    ) -> Result<Vec<Self::Tensor>, Self::Error>;

    /// `y = x·Wᵀ` on the last dimension, with the learned matrix `name` (out, in) itself: a factor of a low rank.
    fn matmul(&self, x: &Self::Tensor, name: &str) -> Result<Self::Tensor, Self::Error>;

    /// The rows of `{name}.weight` (R, D) that `labels` (n) name, whole numbers from 0 below R that differ from example to
    /// example: (n, D).
    fn embedding(&self, labels: &Self::Tensor, name: &str) -> Result<Self::Tensor, Self::Error>;

    /// A convolution of x (in, …) with `{name}.weight` (out, in / groups, kernel…) and, where it exists, `{name}.bias`
    /// (out): (out, …). One to three dimensions follow the channels; over time, first.
    fn conv(&self, x: &Self::Tensor, name: &str, window: &Window) -> Result<Self::Tensor, Self::Error>;

    /// The same elements under other dimensions (batch apart).
    fn reshape(&self, x: &Self::Tensor, dims: &[usize]) -> Result<Self::Tensor, Self::Error>;

    /// Dimensions in another order: `order[i]` is the old place of new dimension `i`, both counted after the batch.
    fn permute(&self, x: &Self::Tensor, order: &[usize]) -> Result<Self::Tensor, Self::Error>;

    /// Joins along dimension `dim` (counted after the batch).
    fn concat(&self, xs: &[&Self::Tensor], dim: usize) -> Result<Self::Tensor, Self::Error>;

    /// `len` entries from `start` along dimension `dim` (counted after the batch).
    fn narrow(
        &self,
        x: &Self::Tensor,
        dim: usize,
        start: usize,
        len: usize,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Row `indices[i]` of `x` (R, D) as row i: (len, D). Every index is below R.
    fn gather_rows(&self, x: &Self::Tensor, indices: &[usize]) -> Result<Self::Tensor, Self::Error>;

    /// `a + b`; sizes of 1 are repeated, and a constant or parameter may lack the first dimensions of the other side.
    fn add(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// `a · b`, element by element, broadcast as [`Ops::add`].
    fn mul(&self, a: &Self::Tensor, b: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// The mean along dimension `dim` (counted after the batch), which is then no more.
    fn mean(&self, x: &Self::Tensor, dim: usize) -> Result<Self::Tensor, Self::Error>;

    /// Cosine.
    fn cos(&self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// Sine.
    fn sin(&self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// `max(x, 0)`.
    fn relu(&self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// `x · sigmoid(x)`.
    fn silu(&self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// GELU in its tanh form.
    fn gelu(&self, x: &Self::Tensor) -> Result<Self::Tensor, Self::Error>;

    /// `(x − mean(x)) / √(mean((x − mean(x))²) + eps)` over the last dimension of x (tokens, D), without affine parameters.
    fn layer_norm(&self, x: &Self::Tensor, eps: f64) -> Result<Self::Tensor, Self::Error>;

    /// `layer_norm(x)·(1 + scale) + shift` over the last dimension, without affine parameters of its own;
    /// all three (tokens, D).
    fn modulate(
        &self,
        x: &Self::Tensor,
        shift: &Self::Tensor,
        scale: &Self::Tensor,
        eps: f64,
    ) -> Result<Self::Tensor, Self::Error>;

    /// `x + gate·y`, all three (tokens, D).
    fn gate_add(
        &self,
        x: &Self::Tensor,
        gate: &Self::Tensor,
        y: &Self::Tensor,
    ) -> Result<Self::Tensor, Self::Error>;

    /// `x / √(mean(x²) + eps) · {name}.weight` over the last dimension.
    fn rms_norm(&self, x: &Self::Tensor, name: &str, eps: f64) -> Result<Self::Tensor, Self::Error>;

    /// `softmax(q·kᵀ/√d)·v` of every head; q (tokens, heads, d), k (others, heads, d), v (others, heads, e) → (tokens,
    /// heads·e). A dimension before the tokens has groups that do not see each other: (groups, tokens, heads, d) → (groups,
    /// tokens, heads·e).
    fn attention(
        &self,
        q: &Self::Tensor,
        k: &Self::Tensor,
        v: &Self::Tensor,
    ) -> Result<Self::Tensor, Self::Error>;

    /// Runs a part of the network that an interpreter may run once more in place of keeping what happens in it: all
    /// that it reads, parameters and constants apart, is in `inputs`.
    fn block(&self, inputs: &[&Self::Tensor], run: Block<Self>) -> Result<Self::Tensor, Self::Error>
    where
        Self: Sized,
    {
        let inputs: Vec<Self::Tensor> = inputs.iter().map(|&x| x.clone()).collect();
        run(self, &inputs)
    }

    /// Says that what follows belongs to a part of the network, such as `blocks.3`: for the names of graph nodes.
    fn scope(&self, name: &str);

    /// Shows an intermediate result, such as `block3`, to whoever listens.
    fn tap(&self, name: &str, x: &Self::Tensor);
}
