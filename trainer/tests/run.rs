//! Runs of a very small network on made-up latents.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{Latents, Layout, Noise, Purpose, Stream};
use avdit_trainer::{Checkpoint, Error, Examples, Result, StartOptions, StepMetrics, TrainConfig, train};
use std::cell::Cell;
use std::path::Path;

/// Clips whose sound repeats their picture, so that there is something to learn.
struct MadeUp {
    layout: Layout,
    bad: Option<usize>,
}

impl MadeUp {
    fn new() -> Self {
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

    fn read(&self, index: usize) -> Result<Latents> {
        let mut latents = Latents::zeros(&self.layout, 1);
        Noise::new(9).normals(Stream::new(Purpose::Check, 0, index as u32), &mut latents.video);
        latents.audio.copy_from_slice(&latents.video[..20]);
        if self.bad == Some(index) {
            latents.audio[3] = f32::INFINITY;
        }
        Ok(latents)
    }
}

fn config(out: &Path, steps: usize) -> TrainConfig {
    let text = format!(
        "data = 'unused'\nout = '{}'\nseed = 3\n[model]\nwidth = 16\ndepth = 1\nheads = 2\npatch = 1\n\
         [objective]\ntarget = 'v'\nschedule = 'cosine'\n[optimizer]\nlr = 3e-3\nwarmup_steps = 5\nema_decay = 0.9\n\
         [run]\nsteps = {steps}\nbatch = 4\ncheckpoint_every = 50\nkeep_last = 2\n",
        out.display()
    );
    TrainConfig::parse(&text, Path::new("test.toml")).unwrap()
}

fn run(config: &TrainConfig, start: StartOptions) -> Result<Vec<f64>> {
    let mut losses = Vec::new();
    train(config, &MadeUp::new(), start, &mut |step: &StepMetrics| losses.push(step.loss), &|| false)?;
    Ok(losses)
}

const RESUME: StartOptions = StartOptions { resume: true, overwrite: false, until: None };

#[test]
fn twice_fifty_steps_make_the_same_bits_as_a_hundred() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, halves) = (folder.path().join("whole"), folder.path().join("halves"));
    let mut losses =
        run(&config(&halves, 100), StartOptions { until: Some(50), ..StartOptions::default() }).unwrap();
    losses.extend(run(&config(&halves, 100), RESUME).unwrap());
    assert_eq!(losses, run(&config(&whole, 100), StartOptions::default()).unwrap());
    for file in ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"] {
        let read = |run: &Path| std::fs::read(run.join("checkpoints/step-000100").join(file)).unwrap();
        assert!(read(&whole) == read(&halves), "{file} differs");
    }
    let lines = std::fs::read_to_string(halves.join("metrics.jsonl")).unwrap().lines().count();
    assert_eq!(lines, 100);
}

#[test]
fn the_loss_falls_and_only_the_newest_checkpoints_stay() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 400);
    (config.optimizer.lr, config.model.width) = (1e-2, Some(32));
    let losses = run(&config, StartOptions::default()).unwrap();
    let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len() as f64;
    let (first, last) = (mean(&losses[..40]), mean(&losses[360..]));
    // 0.88 measured; without any training it would be 1 within the noise of 40 steps, about 0.03.
    assert!(last < 0.93 * first, "{first} {last}");
    let kept = avdit_trainer::checkpoint::list(folder.path()).unwrap();
    let names: Vec<_> = kept.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect();
    assert_eq!(names, ["step-000350", "step-000400"]);
}

#[test]
fn a_cancelled_run_leaves_a_checkpoint_of_its_last_step() {
    let folder = tempfile::tempdir().unwrap();
    let steps = Cell::new(0);
    let mut count = |_: &StepMetrics| steps.set(steps.get() + 1);
    let config = config(folder.path(), 100);
    let outcome =
        train(&config, &MadeUp::new(), StartOptions::default(), &mut count, &|| steps.get() == 7).unwrap();
    assert!(outcome.interrupted && outcome.step == 7);
    assert_eq!(Checkpoint::read(&outcome.checkpoint).unwrap().state.step, 7);
}

#[test]
fn a_checkpoint_of_another_configuration_is_refused_with_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    run(&config(folder.path(), 2), StartOptions::default()).unwrap();
    let mut other = config(folder.path(), 2);
    other.model.depth = Some(2);
    let message = run(&other, RESUME).unwrap_err().to_string();
    assert!(message.contains("network.depth: checkpoint has 1, configuration has 2"), "{message}");
}

#[test]
fn a_run_is_not_resumed_on_other_data_nor_mixed_with_another() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 4);
    run(&config, StartOptions { until: Some(2), ..StartOptions::default() }).unwrap();
    let other = MadeUp { bad: Some(99), ..MadeUp::new() };
    let refused =
        train(&config, &other, RESUME, &mut |_: &StepMetrics| {}, &|| false).unwrap_err().to_string();
    assert!(refused.contains("dataset: checkpoint has"), "{refused}");
    let refused = run(&config, StartOptions::default()).unwrap_err().to_string();
    assert!(refused.contains("step-000002") && refused.contains("--overwrite"), "{refused}");
    run(&config, StartOptions { overwrite: true, ..StartOptions::default() }).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap().lines().count(), 4);
}

#[test]
fn the_number_of_threads_does_not_change_the_bits() {
    let folder = tempfile::tempdir().unwrap();
    let losses = [1, 2, 3].map(|threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut config = config(&folder.path().join(threads.to_string()), 5);
        config.run.chunk = 1;
        pool.install(|| run(&config, StartOptions::default()).unwrap())
    });
    assert!(losses[0] == losses[1] && losses[1] == losses[2], "{losses:?}");
}

#[test]
fn numbers_that_are_not_finite_stop_the_run_and_name_the_examples() {
    let folder = tempfile::tempdir().unwrap();
    let examples = MadeUp { bad: Some(2), ..MadeUp::new() };
    let config = config(folder.path(), 10);
    let error =
        train(&config, &examples, StartOptions::default(), &mut |_: &StepMetrics| {}, &|| false).unwrap_err();
    let Error::NotFinite { step, examples, .. } = error else { panic!("{error}") };
    assert!(step <= 2 && examples.contains('2'), "step {step}: {examples}");
}

#[test]
fn a_checkpoint_with_a_tensor_too_many_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 2);
    run(&config, StartOptions::default()).unwrap();
    let mut saved = Checkpoint::read(&folder.path().join("checkpoints/step-000002")).unwrap();
    saved.ema.insert("blocks.9.extra".into(), vec![0.0]);
    saved.write(folder.path()).unwrap();
    let message = run(&config, RESUME).unwrap_err().to_string();
    assert!(message.contains("ema.safetensors") && message.contains("blocks.9.extra"), "{message}");
}

#[test]
fn a_damaged_checkpoint_is_named() {
    let folder = tempfile::tempdir().unwrap();
    run(&config(folder.path(), 2), StartOptions::default()).unwrap();
    let file = folder.path().join("checkpoints/step-000002/ema.safetensors");
    let bytes = std::fs::read(&file).unwrap();
    for damaged in [&bytes[..bytes.len() / 2], &bytes[..4], &[[255; 8].as_slice(), &bytes[8..]].concat()] {
        std::fs::write(&file, damaged).unwrap();
        let message = run(&config(folder.path(), 2), RESUME).unwrap_err().to_string();
        assert!(message.contains("ema.safetensors"), "{message}");
    }
}
