//! Runs that are killed at any moment, or whose disk is full, and go on.

use crate::events;
use crate::made_up::{MadeUp, config};
use avdit_core::{Noise, Purpose, Stream};
use avdit_trainer::checkpoint::{self, list};
use avdit_trainer::{Checkpoint, Result, StartOptions, StepMetrics, TrainConfig, train};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// Tells the process that is to be killed where to train.
const FOLDER: &str = "AVDIT_TEST_CRASH_FOLDER";
/// More than anyone waits for.
const STEPS: usize = 1_000_000;
const KILLS: u32 = 20;

/// A checkpoint every three steps, some of them for good, and some by the clock besides.
fn crash_config(out: &Path) -> TrainConfig {
    let mut config = config(out, STEPS);
    (config.run.checkpoint_every, config.run.keep_last, config.run.keep_every) = (3, 2, 50);
    (config.run.checkpoint_minutes, config.run.prefetch, config.run.loaders) = (2e-4, 3, 2);
    config.optimizer.ema_decay = serde_json::from_str("[0.9, 0.99]").unwrap();
    config
}

fn go_on(config: &TrainConfig, until: Option<usize>) -> Result<()> {
    let resume = !list(&config.out)?.is_empty() || config.out.join("checkpoints").is_dir();
    let start = StartOptions { resume, until, ..StartOptions::default() };
    let first = StartOptions { resume: false, ..start };
    match train(config, &MadeUp::new(), start, &mut |_: &StepMetrics| {}, &|| false) {
        // It was killed before its first checkpoint.
        Err(_) if list(&config.out)?.is_empty() => {
            train(config, &MadeUp::new(), first, &mut |_: &StepMetrics| {}, &|| false).map(drop)
        }
        other => other.map(drop),
    }
}

/// Not a test but the process that is killed: it trains where it is told until it is.
#[test]
fn trains_until_it_is_killed_where_another_test_says() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        go_on(&crash_config(Path::new(&folder)), None).unwrap();
    }
}

fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "crash::trains_until_it_is_killed_where_another_test_says"])
        .env(FOLDER, folder)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn half_written(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder.join("checkpoints")).into_iter().flatten();
    entries.flatten().any(|entry| entry.file_name().to_string_lossy().ends_with(".part"))
}

/// Lines of the log, 0 before there is one.
fn log_lines(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap_or_default().lines().count()
}

/// The step of the newest checkpoint, 0 before there is one.
fn step_of(folder: &Path) -> usize {
    checkpoint::latest(folder).map_or(0, |path| Checkpoint::read(&path).unwrap().state.step)
}

/// The log without what a clock said.
fn without_times(folder: &Path) -> Vec<StepMetrics> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<StepMetrics>(line).unwrap());
    let timeless =
        |metrics| StepMetrics { step_ms: 0.0, wait_ms: 0.0, steps_per_s: 0.0, gflops: 0.0, ..metrics };
    lines.map(timeless).collect()
}

/// Asserts that a run which was stopped any number of times is the same as one that never was.
fn assert_same_run(folder: &Path, whole: &Path, step: usize) {
    let files = [
        "model.safetensors",
        "ema.safetensors",
        "ema-0.99.safetensors",
        "optimizer.safetensors",
        "state.json",
    ];
    for file in files {
        let read =
            |run: &Path| std::fs::read(run.join(format!("checkpoints/step-{step:06}")).join(file)).unwrap();
        assert!(read(folder) == read(whole), "{file} differs");
    }
    for place in ["", "checkpoints", "tensorboard"] {
        let entries = std::fs::read_dir(folder.join(place)).unwrap();
        let mut names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.find(|name| name.starts_with('.') && name != ".lock"), None, "left in {place:?}");
    }
    let log = without_times(folder);
    assert_eq!(log.len(), step);
    assert!(log == without_times(whole), "the logs differ");
    let told: Vec<u64> = events::read(folder).into_iter().map(|(step, _)| step).collect();
    assert_eq!(told, (1..=step as u64).collect::<Vec<_>>());
}

#[test]
fn a_run_that_is_killed_at_twenty_moments_ends_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (run, whole) = (folder.path().join("run"), folder.path().join("whole"));
    let noise = Noise::new(20);
    let mut while_writing = 0;
    for kill in 0..KILLS {
        let mut child = spawn(&run);
        let uniform = |element| noise.uniform(Stream::new(Purpose::Check, 0, kill), element);
        // Every other time after some steps more, else while a checkpoint is being written; a little later by chance.
        let done = log_lines(&run).max(step_of(&run));
        let more = noise.below(Stream::new(Purpose::Check, 0, kill), 1, 9) as usize;
        // What the kill before left half written does not count.
        let mut cleared = !half_written(&run);
        let mut ripe = || {
            cleared |= !half_written(&run);
            if kill % 2 == 0 { log_lines(&run) > done + more } else { cleared && half_written(&run) }
        };
        let start = Instant::now();
        while !ripe() && start.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_micros(50));
        }
        std::thread::sleep(Duration::from_secs_f64(0.008 * uniform(0)));
        child.kill().unwrap();
        let ended = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert!(ended.status.code().is_none(), "it ended by itself: {said}");
        while_writing += usize::from(cleared && half_written(&run));
        for path in list(&run).unwrap() {
            Checkpoint::read(&path).unwrap();
        }
    }
    assert!(while_writing > 0, "no checkpoint was cut off");
    let step = step_of(&run) + 4;
    eprintln!("{step} steps, {while_writing} of {KILLS} kills while a checkpoint was written");
    go_on(&crash_config(&run), Some(step)).unwrap();
    let mut config = crash_config(&whole);
    (config.run.checkpoint_every, config.run.checkpoint_minutes, config.run.prefetch) = (STEPS, 0.0, 0);
    go_on(&config, Some(step)).unwrap();
    assert_same_run(&run, &whole, step);
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_whose_disk_was_full_goes_on_with_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (disk, whole) = (folder.path().join("disk"), folder.path().join("whole"));
    std::fs::create_dir(&disk).unwrap();
    let mount = |options: &str| {
        let status = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&disk).status();
        status.is_ok_and(|status| status.success())
    };
    if !mount("size=700k") {
        eprintln!("not run: a small tmpfs cannot be mounted here");
        return;
    }
    let check = std::panic::catch_unwind(|| {
        let mut config = crash_config(&disk.join("run"));
        config.run.keep_last = 0;
        let full = go_on(&config, Some(200)).unwrap_err().to_string();
        assert!(full.contains("No space left on device"), "{full}");
        let kept = list(&config.out).unwrap();
        assert!(!kept.is_empty());
        let step = Checkpoint::read(kept.last().unwrap()).unwrap().state.step + 10;
        assert!(mount("remount,size=8m"));
        go_on(&config, Some(step)).unwrap();
        go_on(&crash_config(&whole), Some(step)).unwrap();
        assert_same_run(&config.out, &whole, step);
    });
    Command::new("umount").arg(&disk).status().unwrap();
    check.unwrap();
}
