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

#[test]
fn an_interrupted_quantization_goes_on_from_the_values_that_were_seen_and_makes_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let model = text(&fixture().at("model"));
    let [out, whole] = ["int8", "whole"].map(|name| folder.path().join(name));
    let run = |out: &Path| {
        let form = ["--precision", "int8-static", "--everything", "--budget-snr", "0", "--engine", "tract"];
        // So little memory that every value is looked at alone.
        let short = ["--steps", "2", "--tasks", "joint", "--per-stratum", "1", "--memory", "1KiB"];
        let out = text(out);
        command(&[&["quantize", &model, "-o", &out][..], &form, &short].concat())
    };
    let seen = |file: &Path| {
        let read = std::fs::read(file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        read.map(|cache: serde_json::Value| cache["calibration"]["values"].as_object().unwrap().clone())
    };
    let mut child = run(&out).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let cache = folder.path().join(".int8.search.json");
    wait_for("the first value that was seen", || cache.is_file());
    interrupt(&child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let before = seen(&cache).unwrap();
    assert!(!out.exists() && !before.is_empty(), "{} values", before.len());

    // What it knows it does not look at again: a value that was never seen so shows where it came from.
    let name = before.keys().next().unwrap();
    let mut marked: serde_json::Value = serde_json::from_slice(&std::fs::read(&cache).unwrap()).unwrap();
    let known = marked["calibration"]["values"][name]["percentile"].take();
    marked["calibration"]["values"][name]["percentile"] = serde_json::json!([-12345.0, 54321.0]);
    std::fs::write(&cache, serde_json::to_vec(&marked).unwrap()).unwrap();
    Said::of(run(&out).output().unwrap()).ok();
    assert!(!cache.exists());
    Said::of(run(&whole).output().unwrap()).ok();
    let read = |folder: &Path| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(folder.join("calibration.json")).unwrap()).unwrap()
    };
    let (mut resumed, whole_values) = (read(&out), read(&whole));
    assert!(before.len() < whole_values["values"].as_object().unwrap().len(), "it was stopped at its end");
    assert_eq!(resumed["values"][name]["percentile"], serde_json::json!([-12345.0, 54321.0]));
    resumed["values"][name]["percentile"] = known;
    assert_eq!(resumed, whole_values);
    let graph = |folder: &Path| std::fs::read(folder.join("model.onnx")).unwrap();
    assert!(graph(&out) == graph(&whole), "another graph");
}
