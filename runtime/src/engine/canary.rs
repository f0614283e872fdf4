//! Whether an engine that replays a recorded run, as CUDA graphs are, still reads its inputs.

use crate::error::Error;
use avdit_core::sampler::{Coefficients, Sum, Update};
use avdit_core::target::Linear;
use avdit_core::{Latents, Levels, Modality, Noise, Purpose, StepDenoiser, Stream};

/// Steps often enough for each of two sets of buffers to be recorded and replayed.
const STEPS: usize = 4;

/// Runs two inputs: they must give two outputs, and the first its own again.
///
/// # Errors
/// [`Error::Value`] naming the cure if the engine returns what it returned before; what the engine reports.
pub(super) fn check(denoiser: &mut dyn StepDenoiser, batch: usize) -> Result<(), Error> {
    let [first, other, again] = [1, 2, 1].map(|seed| run(denoiser, batch, seed));
    let (first, other, again) = (first?, other?, again?);
    let apart = distance(&first, &other);
    // Not all engines add in the same order twice.
    if apart > 0.0 && distance(&first, &again) < 0.01 * apart {
        return Ok(());
    }
    let got = if apart == 0.0 {
        "the same output for both"
    } else {
        "another output for the first when it came again"
    };
    Err(Error::Value {
        what: "outputs of two inputs, before sampling begins".to_owned(),
        expected: "two outputs: the recorded run does not read its inputs any more (turn the CUDA graph off)"
            .to_owned(),
        got: got.to_owned(),
    })
}

fn distance(a: &Latents, b: &Latents) -> f32 {
    let pairs = Modality::ALL.into_iter().flat_map(|modality| a.get(modality).iter().zip(b.get(modality)));
    pairs.fold(0.0, |sum, (a, b)| sum + (a - b).abs())
}

fn run(denoiser: &mut dyn StepDenoiser, batch: usize, seed: u64) -> avdit_core::Result<Latents> {
    let spec = denoiser.spec().clone();
    let layout = &spec.layout;
    let normal = |item| {
        let mut latents = Latents::zeros(layout, batch);
        for modality in Modality::ALL {
            let stream = Stream::new(Purpose::Check, modality as u32, item);
            Noise::new(seed).normals(stream, latents.get_mut(modality));
        }
        latents
    };
    let mut x = normal(0);
    // Half of x and of the prediction: other latents for other latents, whatever the weights.
    let update = Update {
        kept: Linear { x: 0.0, prediction: 0.0 },
        recover: None,
        next: Sum { x: 0.5, prediction: 0.5, ..Sum::default() },
        save: None,
        range: None,
        learned: false,
        slots: [0; 3],
        write: None,
    };
    let mut coefficients = Coefficients::new(denoiser.form(), layout.segments(), batch);
    coefficients.set(&vec![Some(update); layout.cells()])?;
    let levels = Levels::repeat(&vec![spec.timesteps as f32; layout.cells()], batch);
    let noise = denoiser.form().noise.then(|| normal(1));
    denoiser.begin(&x)?;
    for _ in 0..STEPS {
        denoiser.step(&levels, &coefficients, noise.as_ref())?;
    }
    denoiser.finish(&mut x)?;
    Ok(x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::sampler::StepForm;
    use avdit_core::{AudioLayout, DenoiserSpec, Layout, Result, ScheduleKind, Target, VideoLayout};

    /// Halves its latents; a stale one replays the first outputs it ever made.
    struct Fake {
        spec: DenoiserSpec,
        x: Latents,
        recorded: Option<Latents>,
        is_stale: bool,
    }

    impl StepDenoiser for Fake {
        fn spec(&self) -> &DenoiserSpec {
            &self.spec
        }

        fn form(&self) -> StepForm {
            StepForm { history: 0, saved: false, noise: false }
        }

        fn begin(&mut self, x: &Latents) -> Result<()> {
            self.x = x.clone();
            Ok(())
        }

        fn step(&mut self, _: &Levels, _: &Coefficients, _: Option<&Latents>) -> Result<()> {
            for x in self.x.video.iter_mut().chain(&mut self.x.audio) {
                *x *= 0.5;
            }
            let first = self.recorded.get_or_insert_with(|| self.x.clone());
            if self.is_stale {
                self.x = first.clone();
            }
            Ok(())
        }

        fn state(&mut self, _: Modality) -> Option<&[f32]> {
            None
        }

        fn finish(&mut self, x: &mut Latents) -> Result<()> {
            x.clone_from(&self.x);
            Ok(())
        }
    }

    fn fake(is_stale: bool) -> Fake {
        let video = VideoLayout { frames: 1, channels: 2, height: 1, width: 2, segments: vec![1] };
        let layout = Layout::new(video, AudioLayout { frames: 2, channels: 1, segments: vec![2] }).unwrap();
        let x = Latents::zeros(&layout, 1);
        let (target, schedule) = (Target::V, ScheduleKind::Cosine);
        Fake { spec: DenoiserSpec { layout, target, schedule, timesteps: 1000 }, x, recorded: None, is_stale }
    }

    #[test]
    fn a_replay_that_does_not_read_its_inputs_is_an_error_with_the_cure() {
        check(&mut fake(false), 2).unwrap();
        let message = check(&mut fake(true), 2).unwrap_err().to_string();
        assert!(
            message.contains("'the same output for both'") && message.contains("CUDA graph off"),
            "{message}"
        );
    }
}
