//! A network of one input and one output, whatever it is: what exporters and engines need to know of it.

use crate::conv_ops::ConvOps;
use crate::parameters::Parameter;

/// A network from one tensor to another, of fixed size.
pub trait Network {
    /// `vae-encoder`, …: the name of its graph.
    fn name(&self) -> &'static str;

    /// The names of what goes in and what comes out.
    fn ports(&self) -> (&'static str, &'static str);

    /// The shape of what goes in, without the batch.
    fn input(&self) -> Vec<usize>;

    /// The shape of what comes out, without the batch.
    fn output(&self) -> Vec<usize>;

    /// Every learned tensor that it reads, under the public checkpoints' names.
    fn parameters(&self) -> Vec<Parameter>;

    /// The network.
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    fn run<O: ConvOps>(&self, ops: &O, x: &O::Tensor) -> Result<O::Tensor, O::Error>;
}

/// Why a public network cannot be built, or its weights not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{network}: {what}")]
pub struct NetworkError {
    /// The network.
    pub network: &'static str,
    /// What is wrong, with both sides of the disagreement.
    pub what: String,
}

impl NetworkError {
    pub(crate) fn new(network: &'static str, what: impl Into<String>) -> Self {
        Self { network, what: what.into() }
    }
}

/// Sizes beyond these stand in no network but a damaged file.
const LARGEST: usize = 1 << 24;

/// Checks that sizes are not 0 and not absurd.
pub(crate) fn check_sizes(
    network: &'static str,
    sizes: impl IntoIterator<Item = (&'static str, usize)>,
) -> Result<(), NetworkError> {
    let wrong = sizes.into_iter().find(|(_, size)| !(1..=LARGEST).contains(size));
    let Some((name, size)) = wrong else { return Ok(()) };
    Err(NetworkError::new(network, format!("{name} is {size}, expected 1 to {LARGEST}")))
}
