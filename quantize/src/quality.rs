//! How far a network has moved from what it was: signal and noise, by stratum, modality, task and cell.

use crate::error::Result;
use crate::states::{Run, State, Stratum};
use avdit_core::{Denoiser, Latents, Layout, Modality, sample};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Sums over elements: of the reference squared, of the difference squared, and what a cosine needs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sums {
    signal: f64,
    noise: f64,
    other: f64,
    product: f64,
}

impl Sums {
    /// Adds elements.
    pub fn add(&mut self, reference: &[f32], candidate: &[f32]) {
        for (r, c) in reference.iter().zip(candidate) {
            let (r, c) = (f64::from(*r), f64::from(*c));
            self.signal += r * r;
            self.other += c * c;
            self.product += r * c;
            self.noise += (r - c) * (r - c);
        }
    }

    /// Noise over signal; infinite if a number was not finite, or where nothing should be and something is.
    pub fn ratio(self) -> f64 {
        let ratio = if self.noise == 0.0 { 0.0 } else { self.noise / self.signal };
        if ratio.is_nan() { f64::INFINITY } else { ratio }
    }

    /// The signal-to-noise ratio in decibels; 200 where there is no noise.
    pub fn snr_db(self) -> f64 {
        decibels(self.ratio())
    }

    /// The cosine of both; 0 where one is zero or not finite.
    pub fn cosine(self) -> f64 {
        let cosine = self.product / (self.signal * self.other).sqrt();
        if cosine.is_finite() { cosine } else { 0.0 }
    }
}

/// Noise over signal in decibels of signal over noise, between −200 and 200.
pub fn decibels(ratio: f64) -> f64 {
    (-10.0 * ratio.log10()).clamp(-200.0, 200.0)
}

/// Noise over signal that a signal-to-noise ratio allows.
pub fn ratio_of(snr_db: f64) -> f64 {
    10f64.powf(-snr_db / 10.0)
}

/// How one modality fares.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fidelity {
    /// Signal-to-noise ratio in decibels.
    pub snr_db: f64,
    /// Cosine.
    pub cosine: f64,
}

impl From<Sums> for Fidelity {
    fn from(sums: Sums) -> Self {
        Self { snr_db: sums.snr_db(), cosine: sums.cosine() }
    }
}

/// Predictions in a stratum of levels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StratumQuality {
    /// Where.
    pub stratum: Stratum,
    /// States that it was taken from.
    pub states: usize,
    /// Sight.
    pub video: Fidelity,
    /// Sound.
    pub audio: Fidelity,
}

/// Latents at the end of a task's trajectory, made cells alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TaskQuality {
    /// The task.
    pub task: String,
    /// Sight; none where all of it is given.
    pub video: Option<Fidelity>,
    /// Sound; none where all of it is given.
    pub audio: Option<Fidelity>,
    /// The made cell that fares worst, such as `video 3`.
    pub worst_cell: String,
    /// Its signal-to-noise ratio in decibels.
    pub worst_cell_snr_db: f64,
}

/// Noise over signal of each stratum, sight and sound.
pub type Errors = BTreeMap<Stratum, [f64; 2]>;

/// Predictions of a candidate on states, by stratum.
///
/// # Errors
/// If the candidate fails.
pub fn predictions(candidate: &mut dyn Denoiser, states: &[State]) -> Result<Vec<StratumQuality>> {
    let sums = sums(candidate, states)?;
    let count = |stratum: &Stratum| states.iter().filter(|state| state.stratum == *stratum).count();
    let quality = |(stratum, [video, audio]): (Stratum, [Sums; 2])| StratumQuality {
        states: count(&stratum),
        stratum,
        video: video.into(),
        audio: audio.into(),
    };
    Ok(sums.into_iter().map(quality).collect())
}

/// Noise over signal of a candidate's predictions, by stratum.
///
/// # Errors
/// If the candidate fails.
pub fn errors(candidate: &mut dyn Denoiser, states: &[State]) -> Result<Errors> {
    let sums = sums(candidate, states)?;
    Ok(sums.into_iter().map(|(stratum, sums)| (stratum, sums.map(Sums::ratio))).collect())
}

/// The worst of all strata and modalities, in decibels.
pub fn worst_db(errors: &Errors) -> f64 {
    decibels(errors.values().flatten().fold(0.0, |worst: f64, error| worst.max(*error)))
}

/// Over the cells that are asked for.
fn sums(candidate: &mut dyn Denoiser, states: &[State]) -> Result<BTreeMap<Stratum, [Sums; 2]>> {
    let layout = candidate.spec().layout.clone();
    let mut out = Latents::zeros(&layout, 1);
    let mut sums: BTreeMap<Stratum, [Sums; 2]> = BTreeMap::new();
    for state in states {
        candidate.predict(&state.noisy, &state.levels, &mut out)?;
        for (sums, modality) in sums.entry(state.stratum).or_default().iter_mut().zip(Modality::ALL) {
            let (reference, candidate) = (state.prediction.get(modality), out.get(modality));
            let cells = layout.segment_ranges(modality).into_iter().enumerate();
            for (_, range) in cells.filter(|(segment, _)| state.is_asked(modality, *segment)) {
                sums.add(&reference[range.clone()], &candidate[range]);
            }
        }
    }
    Ok(sums)
}

/// Walks the same trajectory with a candidate: its quality, and its latents.
///
/// # Errors
/// If the candidate fails; a prediction that is not finite is such a failure and names its step.
pub fn trajectory(candidate: &mut dyn Denoiser, run: &Run) -> Result<(TaskQuality, Latents)> {
    let layout = candidate.spec().layout.clone();
    let latents = sample(candidate, &run.request, Some(&run.latents), &mut |_| ())?;
    let (mut whole, mut worst) = ([Sums::default(); 2], (String::new(), f64::INFINITY));
    for (place, sums) in cells(&layout, run, &latents) {
        let (modality, segment) = place;
        let which = usize::from(modality == Modality::Audio);
        let (reference, candidate) = sums;
        whole[which].add(reference, candidate);
        let mut cell = Sums::default();
        cell.add(reference, candidate);
        if cell.snr_db() < worst.1 {
            worst = (format!("{} {segment}", modality.name()), cell.snr_db());
        }
    }
    let made = |modality: Modality| (0..layout.segments()).any(|n| !run.request.given.is_given(modality, n));
    let fidelity = |which: usize, modality| made(modality).then(|| Fidelity::from(whole[which]));
    let quality = TaskQuality {
        task: run.task.to_string(),
        video: fidelity(0, Modality::Video),
        audio: fidelity(1, Modality::Audio),
        worst_cell: worst.0,
        worst_cell_snr_db: worst.1.clamp(-200.0, 200.0),
    };
    Ok((quality, latents))
}

type Cell<'a> = ((Modality, usize), (&'a [f32], &'a [f32]));

/// The made cells: where, what they are, and what the candidate made of them.
fn cells<'a>(layout: &Layout, run: &'a Run, latents: &'a Latents) -> Vec<Cell<'a>> {
    let mut cells = Vec::new();
    for modality in Modality::ALL {
        for (segment, range) in layout.segment_ranges(modality).into_iter().enumerate() {
            if !run.request.given.is_given(modality, segment) {
                let (reference, candidate) = (run.latents.get(modality), latents.get(modality));
                cells.push(((modality, segment), (&reference[range.clone()], &candidate[range])));
            }
        }
    }
    cells
}

impl TaskQuality {
    /// The worse of its modalities, in decibels.
    pub fn snr_db(&self) -> f64 {
        let both = self.video.iter().chain(&self.audio).map(|fidelity| fidelity.snr_db);
        both.fold(200.0, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decibels_of_known_errors() {
        let mut sums = Sums::default();
        sums.add(&[1.0, -1.0], &[1.1, -1.1]);
        assert!((sums.snr_db() - 20.0).abs() < 1e-5 && (sums.cosine() - 1.0).abs() < 1e-9);
        assert!((ratio_of(decibels(0.003)) - 0.003).abs() < 1e-12);
        let mut zeroed = Sums::default();
        zeroed.add(&[1.0, 2.0], &[0.0, 0.0]);
        assert_eq!((zeroed.snr_db(), zeroed.cosine()), (0.0, 0.0));
        let mut broken = Sums::default();
        broken.add(&[1.0], &[f32::NAN]);
        assert_eq!((broken.snr_db(), broken.cosine()), (-200.0, 0.0));
        assert_eq!(Sums::default().snr_db(), 200.0);
    }
}
