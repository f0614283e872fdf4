//! Made-up latents, and a network to train on them in no time.

use avdit_core::{Latents, Layout, Noise, Purpose, Stream};
use avdit_trainer::{Examples, Result, TrainConfig};
use std::path::Path;

/// Clips whose sound repeats their picture, so that there is something to learn.
pub(crate) struct MadeUp {
    pub(crate) layout: Layout,
    /// The clip whose sound is beyond the numbers.
    pub(crate) bad: Option<usize>,
}

impl MadeUp {
    pub(crate) fn new() -> Self {
        let text = r#"{"video":{"frames":3,"channels":2,"height":2,"width":2,"segments":[1,2]},
            "audio":{"frames":5,"channels":4,"segments":[2,3]}}"#;
        Self { layout: serde_json::from_str(text).unwrap(), bad: None }
    }
}

impl Examples for MadeUp {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn count(&self) -> usize {
        6
    }

    fn identity(&self) -> Result<String> {
        Ok(format!("made up, bad {:?}", self.bad))
    }

    fn codec(&self) -> Option<std::path::PathBuf> {
        None
    }

    fn name(&self, index: usize) -> String {
        format!("clip {index}")
    }

    fn read(&self, index: usize) -> Result<Latents> {
        let mut latents = Latents::zeros(&self.layout, 1);
        Noise::new(9).normals(Stream::new(Purpose::Check, 0, index as u32), &mut latents.video);
        latents
            .audio
            .iter_mut()
            .zip(latents.video.iter().cycle())
            .for_each(|(sound, picture)| *sound = *picture);
        if self.bad == Some(index) {
            latents.audio[3] = f32::INFINITY;
        }
        Ok(latents)
    }
}

/// A run of a network of 16 numbers to a token.
pub(crate) fn config(out: &Path, steps: usize) -> TrainConfig {
    let text = format!(
        "data = 'unused'\nout = '{}'\nseed = 3\n[model]\nwidth = 16\ndepth = 1\nheads = 2\npatch = 1\n\
         [objective]\ntarget = 'v'\nschedule = 'cosine'\n[optimizer]\nlr = 3e-3\nwarmup_steps = 5\nema_decay = 0.9\n\
         [run]\nsteps = {steps}\nbatch = 4\ncheckpoint_every = 50\nkeep_last = 2\nmeasure_matmul = false\n",
        out.display()
    );
    TrainConfig::parse(&text, Path::new("test.toml")).unwrap()
}
