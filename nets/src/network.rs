//! A network as a whole: what goes in, what comes out, what it learns.

use crate::conv_ops::ConvOps;
use crate::ops::Ops;
use crate::parameters::Parameter;

/// The name and the shape, without the batch, of what goes in or comes out.
pub type Port = (&'static str, Vec<usize>);

/// A network that can be exported, evaluated and compared without knowing which one it is.
pub trait Network {
    /// Its name, for graphs: `dit`, `vae-encoder`.
    fn name(&self) -> &'static str;

    /// What is wrong with its configuration; nothing where that was found when it was made.
    ///
    /// # Errors
    /// The field and both sides of the disagreement.
    fn check(&self) -> Result<(), NetworkError> {
        Ok(())
    }

    /// Its inputs.
    fn inputs(&self) -> Vec<Port>;

    /// Its outputs.
    fn outputs(&self) -> Vec<Port>;

    /// Every learned tensor that it reads, under the names of its public checkpoints, in the network's order.
    fn parameters(&self) -> Vec<Parameter>;

    /// Whether its checkpoints hold tensors that it does not read: a codec's encoder beside its decoder.
    fn is_part(&self) -> bool {
        false
    }

    /// Runs it on as many inputs as [`Network::inputs`] has, in that order: the outputs in the order of
    /// [`Network::outputs`].
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error>;
}

/// A network that needs no operation beyond [`Ops`], so that the trainer's tape can differentiate it.
pub trait Trainable: Network {
    /// [`Network::run`] on an interpreter that need not know convolutional codecs.
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    fn forward<O: Ops>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error>;
}

/// Why a network cannot be built, or its weights not be read.
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
