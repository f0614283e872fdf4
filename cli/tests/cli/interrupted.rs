//! ctrl-C during long work: exit code 130, what was done is kept, the same command goes on.

use crate::fixture::{Said, avdit, command, fixture, small_config, text, write_clips};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

fn interrupt(child: &Child) {
    let sent = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

fn wait_for(what: &str, ready: impl Fn() -> bool) {
    let start = Instant::now();
    while !ready() {
        assert!(start.elapsed() < Duration::from_secs(120), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

#[test]
fn an_interrupted_prepare_goes_on_and_makes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let clips = folder.path().join("clips");
    write_clips(&clips, 0..60);
    let (data, whole) = (folder.path().join("data"), folder.path().join("whole"));
    let mut child = command(&["prepare", &text(&clips), "-o", &text(&data)])
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the first decoded clips", || files(&data.join(".work/clips")) > 3);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!data.join("dataset.json").exists());
    avdit(&["prepare", &text(&clips), "-o", &text(&data)]).ok();
    avdit(&["prepare", &text(&clips), "-o", &text(&whole)]).ok();
    for file in ["dataset.json", "codec.safetensors", "latents-00000.safetensors", "audit.jsonl"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(read(&data) == read(&whole), "{file} differs");
    }
}

#[test]
fn an_interrupted_run_leaves_a_checkpoint_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let (run, config) = (folder.path().join("run"), folder.path().join("run.toml"));
    std::fs::write(&config, small_config(&fixture().at("data"), &run, 100_000)).unwrap();
    let mut child =
        command(&["train", &text(&config)]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    wait_for("a checkpoint", || files(&run.join("checkpoints")) > 0);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let newest = avdit_trainer::checkpoint::latest(&run).unwrap();
    let step = avdit_trainer::Checkpoint::read(&newest).unwrap().state.step;
    assert!(step > 0);
    avdit(&["train", &text(&config), "--resume", "--until", &(step + 2).to_string()]).ok();
    assert!(run.join(format!("checkpoints/step-{:06}", step + 2)).is_dir());
}

#[test]
fn an_interrupted_run_on_one_batch_names_the_command_that_goes_on_with_it_and_not_with_the_real_run() {
    let folder = tempfile::tempdir().unwrap();
    let (run, config) = (folder.path().join("run"), folder.path().join("run.toml"));
    std::fs::write(&config, small_config(&fixture().at("data"), &run, 5)).unwrap();
    let short = ["--overfit-one-batch", "--until", "90000", "--set", "run.steps=100000", "--set", "seed=3"];
    let config = text(&config);
    let args = [&["train", &config], &short[..]].concat();
    let child = command(&args).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let own = folder.path().join("run-overfit");
    wait_for("a step", || own.join("metrics.jsonl").metadata().is_ok_and(|log| log.len() > 0));
    interrupt(&child);
    let offered = ["train", &text(&own), "--resume", "--overfit-one-batch", "--until"];
    Said::of(child.wait_with_output().unwrap())
        .refused(130, &[&format!("hint: run `avdit {} 90000` to go on from step ", offered.join(" "))]);
    let newest = avdit_trainer::checkpoint::latest(&own).unwrap();
    let step = avdit_trainer::Checkpoint::read(&newest).unwrap().state.step;
    avdit(&[&offered[..], &[&(step + 2).to_string()]].concat()).ok();
    assert!(own.join(format!("checkpoints/step-{:06}", step + 2)).is_dir() && !run.exists());
}
