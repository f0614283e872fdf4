//! Samplers: from levels to levels, one step at a time, every cell at its own levels.
//!
//! A step is linear: the next latents are a sum of the present ones, the prediction, earlier predictions and
//! noise. [`Solver`] computes its coefficients in f64, a few numbers a cell ([`Update`]); [`Stepper`] applies them to
//! the elements in one pass. What is not linear (clipping, a learned variance) is an option on top.
//!
//! In the rates (α, σ) Euler's method, DDIM without noise, DPM-Solver++ of order 1 and flow matching's Euler step
//! are the same map x' = α'·x̂0 + σ'·ε̂, and Euler's ancestral step is DDIM with η = 1.

mod clip;
mod coefficients;
mod dpm;
mod first_order;
mod kind;
mod method;
mod solver;
mod stepper;
mod unipc;
mod update;

pub use clip::Clip;
pub use coefficients::{Coefficients, StepForm};
pub use kind::SamplerKind;
pub use method::{Corner, DpmForm, HalfStep, Method, UniPcBasis, Variance};
pub use solver::{Move, Point, Solver};
pub use stepper::{Extras, Stepper};
pub use update::{LogRange, Real, Sum, Update};
