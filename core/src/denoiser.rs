//! The one thing that samplers, validation and reports ask of a network, whatever runs it.

use crate::error::{Error, Result};
use crate::latents::{Latents, Levels};
use crate::layout::{Layout, Modality};
use crate::sampler::{Coefficients, StepForm};
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
    /// [`Error::Count`] if a shape is wrong, [`Error::Engine`] if the
    /// engine fails.
    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()>;

    /// Whether it says a variance as well.
    fn has_variance(&self) -> bool {
        false
    }

    /// As [`Denoiser::predict`], and writes what it says of the variance into `variance`: −1…1, from the posterior's to that of
    /// the forward step (Nichol & Dhariwal 2021, Eq. 15 as (v + 1)/2).
    ///
    /// # Shapes
    /// `variance` as `out`.
    /// # Errors
    /// As [`Denoiser::predict`]; [`Error::Value`] from a network that does not learn it.
    fn predict_with_variance(
        &mut self,
        _noisy: &Latents,
        _levels: &Levels,
        _out: &mut Latents,
        _variance: &mut Latents,
    ) -> Result<()> {
        Err(no_variance())
    }

    /// Itself, if it moves the latents by itself in place of handing out predictions.
    fn as_step(&mut self) -> Option<&mut dyn StepDenoiser> {
        None
    }
}

/// What a network that does not learn its variance answers where that is asked for.
pub fn no_variance() -> Error {
    let expected = "a network that learns it, such as AV-DiT (sampler ddpm is for every network)";
    Error::value("variance for the sampler ddpm-learned", expected, "one that does not")
}

/// A network together with the sampler's update: it holds the state of a run from the first step to the last.
pub trait StepDenoiser {
    /// What it expects and predicts.
    fn spec(&self) -> &DenoiserSpec;

    /// What its state holds.
    fn form(&self) -> StepForm;

    /// Starts a run from `x`; nothing is kept or saved yet.
    ///
    /// # Errors
    /// [`Error::Count`] if a shape is wrong, [`Error::Engine`] if the
    /// engine fails.
    fn begin(&mut self, x: &Latents) -> Result<()>;

    /// Predicts at `levels` and moves the state.
    ///
    /// # Shapes
    /// `levels`: `(B, N)` per modality; `noise`: as the latents, read where the form has noise.
    /// # Errors
    /// As [`StepDenoiser::begin`].
    fn step(&mut self, levels: &Levels, coefficients: &Coefficients, noise: Option<&Latents>) -> Result<()>;

    /// The state of a modality, `(B, entries, …)`, where it lies in reach; `None` on a device of its own.
    fn state(&mut self, modality: Modality) -> Option<&[f32]>;

    /// Copies the present latents out.
    ///
    /// # Errors
    /// As [`StepDenoiser::begin`].
    fn finish(&mut self, x: &mut Latents) -> Result<()>;
}
