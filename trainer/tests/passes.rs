//! Which examples a run's steps are made of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{Latents, Layout};
use avdit_trainer::batches::Batches;
use avdit_trainer::{Examples, Result, TrainConfig};
use std::path::{Path, PathBuf};

struct Zeros(Layout, usize);

impl Examples for Zeros {
    fn layout(&self) -> &Layout {
        &self.0
    }

    fn count(&self) -> usize {
        self.1
    }

    fn identity(&self) -> Result<String> {
        Ok("zeros".to_owned())
    }

    fn codec(&self) -> Option<PathBuf> {
        None
    }

    fn read(&self, _index: usize) -> Result<Latents> {
        Ok(Latents::zeros(&self.0, 1))
    }
}

/// Rank r of R trains on the positions r·B/R .. (r+1)·B/R of a step of B.
#[test]
fn over_all_ranks_and_steps_of_a_pass_each_example_comes_once() {
    let text = r#"{"video":{"frames":2,"channels":1,"height":1,"width":1,"segments":[1,1]},
        "audio":{"frames":2,"channels":1,"segments":[1,1]}}"#;
    let layout: Layout = serde_json::from_str(text).unwrap();
    let batch = 8;
    let config = "data = 'd'\nout = 'o'\nseed = 3\n[run]\nsteps = 1\nbatch = 8";
    let config = TrainConfig::parse(config, Path::new("test.toml")).unwrap();
    let spec = config.spec(&layout);
    // Sets that steps divide, and sets whose passes end within a step.
    for count in [24, 40, 19, 5, 1] {
        let examples = Zeros(layout.clone(), count);
        let batches = Batches::new(&config, Box::new(&examples), &spec, 0..batch).unwrap();
        let steps = 3 * count;
        let one: Vec<usize> = (0..steps).flat_map(|step| batches.examples_at(step, 0..batch)).collect();
        for pass in one.chunks_exact(count) {
            let mut sorted = pass.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..count).collect::<Vec<_>>(), "{count} examples");
        }
        for ranks in [2, 4, 8] {
            let shared: Vec<usize> = (0..steps)
                .flat_map(|step| (0..ranks).map(move |rank| (step, rank)))
                .flat_map(|(step, rank)| {
                    batches.examples_at(step, rank * batch / ranks..(rank + 1) * batch / ranks)
                })
                .collect();
            assert_eq!(shared, one, "{count} examples on {ranks} ranks");
        }
    }
}
