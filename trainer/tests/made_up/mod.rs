//! A very small network on made-up latents, for runs on several ranks.

use avdit_core::{Latents, Layout, Noise, Purpose, Stream};
use avdit_trainer::{Error, Examples, Result, TrainConfig};
use std::path::Path;
use std::sync::Mutex;

/// Clips whose sound repeats their picture; it remembers which were read.
pub(crate) struct MadeUp {
    pub(crate) layout: Layout,
    /// The one that cannot be read.
    pub(crate) unreadable: Option<usize>,
    /// The one that is not finite.
    pub(crate) bad: Option<usize>,
    /// What was read, in any order.
    pub(crate) read: Mutex<Vec<usize>>,
}

impl MadeUp {
    pub(crate) fn new() -> Self {
        let text = r#"{"video":{"frames":3,"channels":2,"height":2,"width":2,"segments":[1,2]},
            "audio":{"frames":5,"channels":4,"segments":[2,3]}}"#;
        let layout = serde_json::from_str(text).unwrap();
        Self { layout, unreadable: None, bad: None, read: Mutex::default() }
    }
}

impl Examples for MadeUp {
    fn layout(&self) -> &Layout {
        &self.layout
    }

    fn count(&self) -> usize {
        24
    }

    fn identity(&self) -> Result<String> {
        Ok("made up".into())
    }

    fn codec(&self) -> Option<std::path::PathBuf> {
        None
    }

    fn read(&self, index: usize) -> Result<Latents> {
        self.read.lock().unwrap().push(index);
        if self.unreadable == Some(index) {
            return Err(Error::content(Path::new("shard-000007"), "is cut off"));
        }
        let mut latents = Latents::zeros(&self.layout, 1);
        Noise::new(9).normals(Stream::new(Purpose::Check, 0, index as u32), &mut latents.video);
        latents.audio.copy_from_slice(&latents.video[..20]);
        if self.bad == Some(index) {
            latents.audio[3] = f32::INFINITY;
        }
        Ok(latents)
    }
}

/// A run of 40 steps with batches of 8.
pub(crate) fn config(out: &Path) -> TrainConfig {
    let text = format!(
        "data = 'unused'\nout = '{}'\nseed = 3\n[model]\nwidth = 16\ndepth = 1\nheads = 2\npatch = 1\n\
         [objective]\ntarget = 'v'\nschedule = 'cosine'\n[optimizer]\nlr = 3e-3\nwarmup_steps = 5\nema_decay = 0.9\n\
         [run]\nsteps = 40\nbatch = 8\nchunk = 2\ncheckpoint_every = 10\nkeep_last = 2\nmeasure_matmul = false\n",
        out.display()
    );
    TrainConfig::parse(&text, Path::new("test.toml")).unwrap()
}
