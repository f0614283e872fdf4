//! A network as a whole: what goes in, what comes out, what it learns.

use crate::ops::Ops;
use crate::parameters::Parameter;

/// A network that can be exported, evaluated and compared without knowing which one it is.
pub trait Network {
    /// Its name, for graphs: `dit`.
    fn name(&self) -> &'static str;

    /// What is wrong with its configuration.
    ///
    /// # Errors
    /// The field and both sides of the disagreement.
    fn check(&self) -> Result<(), String>;

    /// Names and shapes of its inputs, without the batch.
    fn inputs(&self) -> Vec<(&'static str, Vec<usize>)>;

    /// Names of its outputs.
    fn outputs(&self) -> Vec<&'static str>;

    /// Every learned tensor, in the network's order.
    fn parameters(&self) -> Vec<Parameter>;

    /// Runs it on as many inputs as [`Network::inputs`] has, in that order: the outputs in the order of
    /// [`Network::outputs`].
    ///
    /// # Errors
    /// Whatever the interpreter reports.
    fn run<O: Ops>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error>;
}
