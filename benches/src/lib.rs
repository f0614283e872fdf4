//! What the benches share: a grid of the paper's size and a network that takes no time.

use avdit_core::{
    AudioLayout, Denoiser, DenoiserSpec, Latents, Layout, Levels, Modality, Noise, Purpose, Result,
    ScheduleKind, Stream, Target, VideoLayout,
};
use avdit_nets::AvditConfig;
use avdit_trainer::objective::{NoisyBatch, Objective, Weighting};

/// 17 frames of 128×128 at 8 fps and 2.125 s of sound, as latents in five segments.
///
/// # Errors
/// If the layout's rules no longer admit it.
pub fn layout() -> Result<Layout> {
    let video = VideoLayout { frames: 5, channels: 8, height: 16, width: 16, segments: vec![1; 5] };
    let audio = AudioLayout { frames: 106, channels: 64, segments: vec![6, 25, 25, 25, 25] };
    Layout::new(video, audio)
}

/// Predicts nothing, so that only the sampler is on the clock.
#[derive(Clone, Debug)]
pub struct Nothing {
    spec: DenoiserSpec,
}

impl Nothing {
    /// On a layout, with the paper's thousand levels.
    pub fn new(layout: Layout) -> Self {
        let spec =
            DenoiserSpec { layout, target: Target::V, schedule: ScheduleKind::Linear, timesteps: 1000 };
        Self { spec }
    }
}

impl Denoiser for Nothing {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, _: &Latents, _: &Levels, _: &mut Latents) -> Result<()> {
        Ok(())
    }
}

/// Made-up clips of a network's grid with noise at level 500 in every cell, to train on.
///
/// # Errors
/// If the rules of schedules no longer admit it.
pub fn noisy_batch(config: &AvditConfig, examples: usize) -> avdit_trainer::Result<NoisyBatch> {
    let layout = config.layout();
    let (target, schedule) = (Target::Epsilon, ScheduleKind::Linear);
    let spec = DenoiserSpec { layout: layout.clone(), target, schedule, timesteps: 1000 };
    let normal = |item: u32| {
        let mut latents = Latents::zeros(&layout, examples);
        for modality in Modality::ALL {
            let stream = Stream::new(Purpose::Check, item, modality as u32);
            Noise::new(1).normals(stream, latents.get_mut(modality));
        }
        latents
    };
    let levels = Levels::repeat(&vec![500.0; layout.cells()], examples);
    Objective::new(&spec, Weighting::Uniform)?.noise(&normal(0), &normal(1), levels)
}
