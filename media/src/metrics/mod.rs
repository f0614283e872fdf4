//! How far made clips are from true ones as distributions, in a feature space that needs nobody's weights.
//!
//! A clip becomes one vector by a fixed random network ([`FeatureSpace`]); two sets of vectors are compared by
//! [`frechet`] or [`polynomial_mmd`]. A Fréchet distance grows as there are fewer samples: compare values of equal
//! numbers only, and models over the same resamples of their clips ([`resample`], [`recentred`]), never by two bare
//! numbers.

mod extract;
mod features;
mod frechet;
mod interval;
mod kernel;
mod network;
#[cfg(test)]
mod tests;

pub use extract::{AUDIO_DIMS, FEATURES, FeatureSpace, VIDEO_DIMS, audio_features, video_features};
pub use features::{Features, Standard};
pub use frechet::{Reference, frechet};
pub(crate) use interval::correlation;
pub use interval::{Interval, bootstrap, correlation_interval, mean_interval, recentred, resample};
pub use kernel::polynomial_mmd;
