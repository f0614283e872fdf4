//! Respaced chains: a few of the original levels, as ADM and DiT pick them.

use crate::error::{Error, Result};
use crate::schedule::NoiseSchedule;

/// The kept indices of a chain of `timesteps` indices from 0, in ascending order.
///
/// `spec` is `ddimN` (the first whole stride that keeps N) or counts of equal sections, `250` or `10,15,20` (the first
/// `timesteps mod sections` sections are one longer), each section strided from its first to its last index and rounded
/// half to even. Index i is level i+1.
///
/// # Errors
/// [`Error::Value`] if the text cannot be read, no stride keeps N, or a section is shorter than its count.
pub fn space_timesteps(timesteps: usize, spec: &str) -> Result<Vec<usize>> {
    let refused = |expected: String| Error::value("respacing", expected, format!("'{spec}'"));
    if let Some(count) = spec.strip_prefix("ddim") {
        let count: usize = count.parse().map_err(|_| refused("ddimN with a whole number N".to_owned()))?;
        let stride = (1..timesteps).find(|stride| timesteps.div_ceil(*stride) == count);
        let stride =
            stride.ok_or_else(|| refused(format!("ddimN with a stride of 1 to {timesteps} that keeps N")))?;
        return Ok((0..timesteps).step_by(stride).collect());
    }
    let counts: std::result::Result<Vec<usize>, _> =
        spec.split(',').map(|count| count.trim().parse()).collect();
    let counts = counts.map_err(|_| refused("ddimN, or counts such as 250 or 10,15,20".to_owned()))?;
    let (length, longer) = (timesteps / counts.len(), timesteps % counts.len());
    let (mut start, mut kept) = (0, Vec::new());
    for (section, &count) in counts.iter().enumerate() {
        let length = length + usize::from(section < longer);
        if length < count {
            return Err(refused(format!("at most {length} indices in section {section}")));
        }
        let stride = if count <= 1 { 1.0 } else { (length - 1) as f64 / (count - 1) as f64 };
        // Accumulated, not multiplied, as published: the rounding of halves depends on it.
        let mut position = 0.0f64;
        for _ in 0..count {
            kept.push(start + position.round_ties_even() as usize);
            position += stride;
        }
        start += length;
    }
    Ok(kept)
}

impl NoiseSchedule {
    /// The schedule of a chain that visits the kept indices alone: β_i = 1 − ᾱ_i/ᾱ_{i−1} over those.
    ///
    /// # Errors
    /// [`Error::Value`] if an index is not in the chain, or they do not ascend.
    pub fn respaced(&self, kept: &[usize]) -> Result<NoiseSchedule> {
        let mut last = 1.0;
        let mut betas = Vec::with_capacity(kept.len());
        for (place, &index) in kept.iter().enumerate() {
            if index >= self.timesteps() || (place > 0 && kept[place - 1] >= index) {
                let expected = format!("indices below {}, each above the one before", self.timesteps());
                return Err(Error::value("kept index", expected, index));
            }
            let alpha_bar = self.alpha_bars()[index + 1];
            betas.push(1.0 - alpha_bar / last);
            last = alpha_bar;
        }
        Ok(NoiseSchedule::from_betas(betas))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::ScheduleKind;

    #[test]
    fn sections_are_strided_from_their_first_to_their_last_index() {
        assert_eq!(space_timesteps(10, "4").unwrap(), [0, 3, 6, 9]);
        // 5 indices in each half; the second starts at 5
        assert_eq!(space_timesteps(10, "2,3").unwrap(), [0, 4, 5, 7, 9]);
        // halves go to even: 0, 2.25 → 2, 4.5 → 4, 6.75 → 7, 9
        assert_eq!(space_timesteps(10, "5").unwrap(), [0, 2, 4, 7, 9]);
        assert_eq!(space_timesteps(10, "ddim4").unwrap(), [0, 3, 6, 9]);
    }

    #[test]
    fn impossible_spacings_are_refused() {
        for spec in ["11", "6,5", "ddim6", "ddimx", "", "a"] {
            assert!(space_timesteps(10, spec).is_err(), "{spec}");
        }
    }

    #[test]
    fn a_respaced_chain_has_the_original_alpha_bars_at_its_indices() {
        let full = NoiseSchedule::new(ScheduleKind::Linear, 1000).unwrap();
        let kept = space_timesteps(1000, "7").unwrap();
        let few = full.respaced(&kept).unwrap();
        for (&index, alpha_bar) in kept.iter().zip(&few.alpha_bars()[1..]) {
            assert!((alpha_bar / full.alpha_bars()[index + 1] - 1.0).abs() < 1e-12);
        }
        assert!(full.respaced(&[3, 3]).is_err() && full.respaced(&[1000]).is_err());
    }
}
