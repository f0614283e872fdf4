//! Bounds on predicted clean latents: the part of a step that is not linear.

use super::update::Real;

/// How predicted clean latents are bounded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// Cut at ± this.
    Range(f64),
    /// Dynamic thresholding (Saharia et al. 2022): cut at ± s and divided by s, with s a quantile of the magnitudes of
    /// one clip in one modality, between 1 and `max`.
    Dynamic {
        /// Which quantile, 0…1.
        ratio: f64,
        /// Upper bound of s.
        max: f64,
    },
}

impl Clip {
    /// s, from the values that the bound is for; sorts `magnitudes` in place. For [`Clip::Range`] its constant.
    pub(super) fn bound(self, magnitudes: &mut [f64]) -> f64 {
        match self {
            Clip::Range(bound) => bound,
            Clip::Dynamic { ratio, max } => quantile(magnitudes, ratio).max(1.0).min(max),
        }
    }

    /// A value bounded by s.
    pub(super) fn apply<T: Real>(self, value: T, bound: T) -> T {
        let cut = if value > bound {
            bound
        } else if value < -bound {
            -bound
        } else {
            value
        };
        match self {
            Clip::Range(_) => cut,
            Clip::Dynamic { .. } => cut / bound,
        }
    }
}

/// The quantile of values by linear interpolation; 0 of none.
fn quantile(values: &mut [f64], ratio: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_unstable_by(f64::total_cmp);
    let position = ratio * (values.len() - 1) as f64;
    let (below, fraction) = (position.floor() as usize, position.fract());
    let above = (below + 1).min(values.len() - 1);
    values[below] + fraction * (values[above] - values[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quantile_interpolates_between_neighbours() {
        // position 0.5·3 = 1.5, between 2 and 4
        assert_eq!(quantile(&mut [8.0, 4.0, 1.0, 2.0], 0.5), 3.0);
        assert_eq!(quantile(&mut [5.0], 0.995), 5.0);
    }

    #[test]
    fn dynamic_clipping_scales_to_one_and_never_cuts_below_one() {
        let clip = Clip::Dynamic { ratio: 1.0, max: 3.0 };
        assert_eq!(clip.bound(&mut [2.0, 0.5]), 2.0);
        assert_eq!(clip.bound(&mut [0.2]), 1.0);
        assert_eq!(clip.bound(&mut [9.0]), 3.0);
        assert_eq!(clip.apply(-5.0, 2.0), -1.0);
        assert_eq!(Clip::Range(1.0).apply(-5.0f32, 1.0), -1.0);
    }
}
