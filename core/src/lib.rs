//! The vocabulary and the mathematics of audio-video diffusion with a noise level per cell.
//!
//! A *cell* is one modality in one time segment. Every cell carries its own noise *level*, t = 0 clean to
//! t = T pure noise, and all code here is written for vectors of levels: a single level is a constant vector.
//! Nothing here reads a file, asks a clock or knows an engine.

pub mod denoiser;
pub mod error;
mod frozen;
mod guidance;
pub mod images;
pub mod latents;
pub mod layout;
pub mod level_plan;
pub mod likelihood;
pub mod mixture;
pub mod noise;
pub mod order;
pub mod respace;
pub mod sampler;
pub mod sampling;
pub mod schedule;
pub mod target;
pub mod task;

pub use denoiser::{Denoiser, DenoiserSpec, StepDenoiser, no_variance};
pub use error::{Error, Result};
pub use frozen::FrozenSchedule;
pub use latents::{Latents, Levels};
pub use layout::{AudioLayout, Layout, Modality, VideoLayout};
pub use level_plan::{LevelPlan, LevelPlanKind};
pub use mixture::Mixture;
pub use noise::{Noise, Purpose, Stream};
pub use order::example_at;
pub use sampler::SamplerKind;
pub use sampling::{Event, SampleRequest, sample};
pub use schedule::{NoiseSchedule, Rates, ScheduleKind};
pub use target::Target;
pub use task::{CellMask, Task};
