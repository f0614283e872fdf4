//! What a run leaves, and what it refuses.

use crate::made_up::{MadeUp, config};
use avdit_trainer::{Checkpoint, Result, StartOptions, StepMetrics, TrainConfig, train};
use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

fn run(config: &TrainConfig, start: StartOptions) -> Result<Vec<f64>> {
    let mut losses = Vec::new();
    train(config, &MadeUp::new(), start, &mut |step: &StepMetrics| losses.push(step.loss), &|| false)?;
    Ok(losses)
}

const RESUME: StartOptions = StartOptions { resume: true, overwrite: false, until: None };
const OVERWRITE: StartOptions = StartOptions { resume: false, overwrite: true, until: None };

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
    run(&config, OVERWRITE).unwrap();
    assert_eq!(std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap().lines().count(), 4);
}

#[test]
fn what_is_overwritten_is_never_half_a_checkpoint_and_leaves_nothing_of_the_run_before() {
    let folder = tempfile::tempdir().unwrap();
    let config = config(folder.path(), 4);
    run(&config, StartOptions::default()).unwrap();
    let (checkpoints, old) =
        (folder.path().join("checkpoints"), folder.path().join("checkpoints/step-000004"));
    // So much that removing it takes a while, in which it is looked at.
    let parts: Vec<_> = (0..4000).map(|i| old.join(format!("part-{i}"))).collect();
    parts.iter().for_each(|part| std::fs::write(part, b"").unwrap());
    for name in ["bad-batch.safetensors", "bad-batch-from-4.safetensors"] {
        std::fs::write(folder.path().join(name), b"").unwrap();
    }
    let over = AtomicBool::new(false);
    let half_removed = std::thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let half = || parts.iter().step_by(40).any(|part| !part.exists()) && old.exists();
            while !over.load(Ordering::Relaxed) {
                if half() {
                    return true;
                }
            }
            false
        });
        let overwritten = run(&config, StartOptions { until: Some(1), ..OVERWRITE });
        over.store(true, Ordering::Relaxed);
        overwritten.unwrap();
        looking.join().unwrap()
    });
    assert!(!half_removed, "what was half removed had the name of a checkpoint");
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = entries.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&checkpoints), ["latest", "step-000001"]);
    assert!(!names(folder.path()).iter().any(|name| name.starts_with("bad-batch")), "kept of the run before");
    std::fs::remove_dir_all(checkpoints.join("step-000001")).unwrap();
    avdit_trainer::checkpoint::clean(folder.path()).unwrap();
    assert_eq!(names(&checkpoints), [""; 0], "no name of a checkpoint where there is none");
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
