//! The one thing that samplers, validation and reports ask of a network, whatever runs it.

use crate::error::Result;
use crate::latents::{Latents, Levels};
use crate::layout::Layout;
use crate::schedule::{NoiseSchedule, ScheduleKind};
use crate::target::Target;
use serde::{Deserialize, Serialize};

/// What a sampler must know of a network.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DenoiserSpec {
    /// The grid of its latents.
    pub layout: Layout,
    /// What it predicts.
    pub target: Target,
    /// The schedule that it was trained with.
    pub schedule: ScheduleKind,
    /// T of that schedule.
    pub timesteps: usize,
}

impl DenoiserSpec {
    /// The tables of its schedule.
    ///
    /// # Errors
    /// As [`NoiseSchedule::new`].
    pub fn noise_schedule(&self) -> Result<NoiseSchedule> {
        NoiseSchedule::new(self.schedule, self.timesteps)
    }
}

/// A network that predicts its [`Target`] from noisy latents and the level of every cell.
pub trait Denoiser {
    /// What it expects and predicts.
    fn spec(&self) -> &DenoiserSpec;

    /// Writes the prediction for `noisy` at `levels` into `out`.
    ///
    /// # Shapes
    /// `noisy`, `out`: `(B, F, C, H, W)` and `(B, A, Ca)`; `levels`: `(B, N)` per modality, 0…T.
    /// # Errors
    /// [`Error::Count`](crate::Error::Count) if a shape is wrong, [`Error::Engine`](crate::Error::Engine) if the
    /// engine fails.
    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()>;
}
