//! Networks that nobody has trained, and Candle as an engine to compare with.

use crate::fixture::{avdit, fixture, text};
use serde_json::Value;
use std::path::Path;

/// A network of a few thousand parameters.
const NETWORK: &str = "width = 32\ndepth = 1\nheads = 2\nmlp_ratio = 2.0\nqk_norm = true\n\
    [video]\nframes = 2\nchannels = 4\nheight = 4\nwidth = 4\npatch = 2\nsegments = [1, 1]\n\
    [audio]\nframes = 4\nchannels = 3\nsegments = [2, 2]\n";

fn export(folder: &Path, name: &str, arguments: &[&str]) -> Value {
    let out = text(&folder.join(name));
    let said = avdit(&[&["export", "-o", &out, "--json"], arguments].concat()).ok();
    serde_json::from_str(&said.out).unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_network_that_was_never_trained_is_exported_checked_and_measured_but_makes_no_clips() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("network.toml");
    std::fs::write(&config, NETWORK).unwrap();
    let config = text(&config);
    let random = |name: &str, seed: &str| {
        export(folder.path(), name, &["--random", seed, "--config", &config, "--check", "tract"])
    };
    let (first, again, other) = (random("a", "1"), random("b", "1"), random("c", "2"));
    assert_eq!(first["parity"][0]["candidate"], "tract");
    assert_eq!(first["parity"][0]["passed"], true);
    assert!(first["peak_memory_bytes"]["export"].as_u64().is_some());
    assert_eq!(first["files"], again["files"], "the same seed makes the same bytes");
    assert_ne!(first["files"][0]["sha256"], other["files"][0]["sha256"]);
    let said = json(&folder.path().join("a/config.json"));
    assert_eq!(said["provenance"]["random"]["seed"], 1);

    let model = text(&folder.path().join("a"));
    for engine in ["tract", "candle"] {
        let arguments = ["bench", &model, "--engine", engine, "--threads", "1", "--steps", "2"];
        let said =
            avdit(&[&arguments[..], &["--min-runs", "1", "--duration-s", "0", "--json"]].concat()).ok();
        assert!(said.out.contains(&format!("\"engine\": \"{engine}\"")), "{}", said.out);
    }
    let clip = text(&folder.path().join("x.mp4"));
    avdit(&["sample", &model, "--task", "joint", "-o", &clip]).refused(3, &["random", "avdit bench"]);
}

#[test]
fn a_check_that_was_left_out_is_told_in_the_record() {
    let folder = tempfile::tempdir().unwrap();
    let said = export(folder.path(), "m", &["--random", "0", "--preset", "tiny", "--check", "none"]);
    assert_eq!(said["parity"].as_array().unwrap().len(), 0);
    let record = json(&folder.path().join("m/export.json"));
    let left_out: Vec<_> = record["not_checked"].as_array().unwrap().iter().map(|x| &x["engine"]).collect();
    assert_eq!(left_out, ["tract", "ort-cpu"]);
    assert_eq!(record.get("peak_memory_bytes"), None, "a record says nothing of the machine");
}

#[test]
fn random_weights_need_a_network_that_can_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let out = text(&folder.path().join("m"));
    let file = |name: &str, content: &str| {
        std::fs::write(folder.path().join(name), content).unwrap();
        text(&folder.path().join(name))
    };
    avdit(&["export", "--random", "1", "-o", &out]).refused(2, &["--preset", "--config"]);
    avdit(&["export", "-o", &out, "--preset", "tiny"]).refused(2, &["--random"]);
    let heads = file("heads.toml", &NETWORK.replace("heads = 2", "heads = 5"));
    avdit(&["export", "--random", "1", "--config", &heads, "-o", &out])
        .refused(3, &["heads.toml", "heads (5)"]);
    let key = file("key.toml", &NETWORK.replace("depth", "dept"));
    avdit(&["export", "--random", "1", "--config", &key, "-o", &out]).refused(3, &["key.toml", "dept"]);
    avdit(&["export", "--random", "1", "--preset", "tiny", "-o", &out, "--check", "candle"])
        .refused(2, &["candle is what graphs are compared with"]);

    // The network of a run that has not begun, on the grid of its preset.
    let run = file(
        "run.toml",
        "data = 'nowhere'\nout = 'o'\n[model]\nwidth = 32\ndepth = 1\nheads = 2\n[run]\nsteps = 1\n",
    );
    let said = export(folder.path(), "m", &["--random", "1", "--config", &run, "--check", "none"]);
    assert!(said["parameters"].as_u64().unwrap() < 100_000);
}

#[test]
fn candle_runs_the_checkpoint_that_a_model_was_made_from_and_no_other() {
    let (folder, fixture) = (tempfile::tempdir().unwrap(), fixture());
    let candle = |model: &str| {
        let arguments = ["bench", model, "--engine", "candle", "--threads", "1", "--steps", "2"];
        avdit(&[&arguments[..], &["--min-runs", "1", "--duration-s", "0", "--json"]].concat())
    };
    for name in ["model", "run"] {
        let said = candle(&text(&fixture.at(name))).ok();
        assert!(said.out.contains("ema.safetensors"), "{}", said.out);
    }
    let model = fixture.copy_of("model", folder.path());
    let path = model.join("config.json");
    let mut config = json(&path);
    config["provenance"]["weights_sha256"] = "0".into();
    std::fs::write(&path, config.to_string()).unwrap();
    candle(&text(&model)).refused(3, &["has changed since the export", "export it again"]);
    config["provenance"]["checkpoint"] = "nowhere".into();
    std::fs::write(&path, config.to_string()).unwrap();
    candle(&text(&model)).refused(3, &["the checkpoint that it was exported from is needed"]);
}
