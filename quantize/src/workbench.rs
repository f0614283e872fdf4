//! What this crate asks of whoever can run graphs.

use avdit_core::{Denoiser, Latents, Levels};
use avdit_onnx::Model;

/// What a workbench fails with.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs graphs in memory.
pub trait Workbench {
    /// A graph as a network.
    ///
    /// # Errors
    /// If the engine refuses it.
    fn open(&mut self, model: &Model) -> Result<Box<dyn Denoiser>, Failure>;

    /// Runs a graph once and shows every output beyond the prediction, in the graph's order.
    ///
    /// # Errors
    /// If the engine refuses the graph or fails.
    fn probe(
        &mut self,
        model: &Model,
        states: &[(&Latents, &Levels)],
        show: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), Failure>;
}
