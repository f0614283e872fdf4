//! Fewer bits: what is written, what it is worth, and what is refused.

use crate::fixture::{Said, avdit, fixture, text};
use serde_json::Value;
use std::path::Path;

/// Quantizes the fixture's model on tract, with short trajectories.
fn quantize(out: &Path, more: &[&str]) -> Said {
    let (model, out) = (text(&fixture().at("model")), text(out));
    let short = ["--engine", "tract", "--steps", "2", "--tasks", "joint,continue", "--per-stratum", "1"];
    avdit(&[&["quantize", &model, "-o", &out][..], &short, more].concat())
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_search_writes_a_model_its_recipe_and_its_proof() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("int8");
    let said = quantize(&out, &["--precision", "int8-weight", "--budget-snr", "15dB", "--curve"]).ok();
    assert!(said.out.contains("int8-weight") && said.out.contains("worst trajectory"), "{}", said.out);
    let quality = json(&out.join("quality.json"));
    assert_eq!(quality["budget_snr_db"], 15.0);
    assert_eq!((&quality["target"], &quality["simulated"]), (&"tract".into(), &false.into()));
    let low = |task: &Value| {
        ["video", "audio"]
            .iter()
            .any(|side| task[side]["snr_db"].as_f64().is_some_and(|snr_db| snr_db < 15.0))
    };
    let tasks = quality["tasks"].as_array().unwrap();
    assert!(tasks.len() == 2 && !tasks.iter().any(low), "{tasks:?}");
    let curve = quality["curve"].as_array().unwrap();
    assert!(curve.len() >= 2 && curve.iter().any(|point| point["chosen"] == true), "{curve:?}");
    let page = std::fs::read_to_string(out.join("quality.html")).unwrap();
    for part in ["int8-weight of", "samples/joint-quantized.mp4", "Quality against time", "quant.toml"] {
        assert!(page.contains(part), "no {part} on the page");
    }
    assert!(
        out.join("samples/joint-source.mp4").is_file() && out.join("samples/joint-quantized.png").is_file()
    );
    assert!(!place.path().join(".int8.search.json").exists(), "the cache stays no longer than it is needed");

    let said = avdit(&["quantize", "report", &text(&out)]).ok();
    assert!(said.out.contains("budget 15 dB") && said.out.contains("continue"), "{}", said.out);
    let clip = text(&place.path().join("a.mp4"));
    avdit(&["sample", &text(&out), "--task", "joint", "--steps", "2", "-o", &clip]).ok();

    // The recipe makes the same graph, and what is quantized already is not quantized again.
    let again = place.path().join("again");
    quantize(&again, &["--recipe", &text(&out.join("quant.toml")), "--budget-snr", "15"]).ok();
    let graph = |folder: &Path| std::fs::read(folder.join("model.onnx")).unwrap();
    assert!(graph(&out) == graph(&again), "another graph");
    avdit(&["quantize", &text(&out), "-o", &text(&place.path().join("twice"))])
        .refused(3, &["quantized already", "single precision"]);
}

#[test]
fn attention_that_is_one_operator_is_quantized_and_found_again() {
    if std::env::var_os("AVDIT_REQUIRE_ORT").is_none() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let [model, out] = ["model", "int8"].map(|name| place.path().join(name));
    avdit(&["export", &text(&fixture().at("run")), "--target", "ort-cpu", "--out", &text(&model)]).ok();
    let short = ["--steps", "2", "--tasks", "joint", "--per-stratum", "1"];
    let all = ["--everything", "--budget-snr", "0", "--engine", "ort-cpu", "-o", &text(&out)];
    avdit(&[&["quantize", &text(&model)][..], &all, &short].concat()).ok();
    let recipe = std::fs::read_to_string(out.join("quant.toml")).unwrap();
    assert!(recipe.contains("\"/blocks.0/attn/MultiHeadAttention\" = \"int8-dynamic\""), "{recipe}");
    // Scales by rows came with operator set 21.
    let record = json(&out.join("export.json"));
    assert_eq!((&record["opset"], &record["ir_version"]), (&21.into(), &10.into()));
    let attention = |folder: &Path| {
        let said = avdit(&["inspect", &text(folder), "--json"]).ok();
        serde_json::from_str::<Value>(&said.out).unwrap()["attention"].clone()
    };
    assert_eq!(attention(&model), serde_json::json!({ "fused": 1, "written_out": 0 }));
    assert_eq!(attention(&out), serde_json::json!({ "fused": 0, "written_out": 1 }));
}

#[test]
fn a_model_that_does_not_keep_the_budget_is_not_written() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("int8");
    std::fs::create_dir(&out).unwrap();
    let said = quantize(&out, &["--precision", "int8-weight", "--everything", "--budget-snr", "120"]);
    said.refused(
        6,
        &["does not keep 120 dB", "nothing was written", "prediction of picture", "--budget-snr"],
    );
    assert_eq!(std::fs::read_dir(&out).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(place.path()).unwrap().count(), 1, "something was left beside it");
}

#[test]
fn known_ranges_come_with_the_calibration_that_they_are_from() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("static");
    quantize(&out, &["--precision", "int8-static", "--everything", "--budget-snr", "0"]).ok();
    let calibration = json(&out.join("calibration.json"));
    assert_eq!(calibration["schema"], "avdit-calibration/1");
    let values = calibration["values"].as_object().unwrap();
    assert!(values.len() > 5, "{}", values.len());
    for (name, value) in values {
        let ends = |key: &str| [0, 1].map(|i| value[key][i].as_f64().unwrap());
        let [[low, high], [least, most]] = [ends("mse"), ends("min_max")];
        assert!(least <= low && low <= 0.0 && 0.0 <= high && high <= most, "{name}: {value}");
    }
    let recipe = text(&out.join("quant.toml"));
    std::fs::remove_file(out.join("calibration.json")).unwrap();
    quantize(&place.path().join("again"), &["--recipe", &recipe]).refused(3, &["calibration.json"]);
}

#[test]
fn half_precision_keeps_fifty_decibels_on_tract() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("half");
    quantize(&out, &["--precision", "fp16", "--budget-snr", "50"]).ok();
    let quality = json(&out.join("quality.json"));
    let size = &quality["size"];
    assert!(size["quantized_bytes"].as_f64().unwrap() < 0.75 * size["source_bytes"].as_f64().unwrap());
    assert!(quality["search"].is_null() && quality["weight_bits"].is_null());
}

#[test]
fn what_a_target_cannot_run_is_refused_with_the_reason() {
    let place = tempfile::tempdir().unwrap();
    let out = place.path().join("x");
    for (precision, target, parts) in [
        ("int8", "ort-cuda", ["no 8-bit products", "int8-weight"]),
        ("int8-static", "ort-cuda", ["no 8-bit products", "fp16"]),
        ("int8-dynamic", "ort-tensorrt", ["ranges that are in the graph", "int8-static"]),
        ("int4-weight", "tract", ["MatMulNBits", "int8-weight"]),
        ("bf16", "tract", ["computes in bf16", "fp16"]),
    ] {
        quantize(&out, &["--precision", precision, "--target", target]).refused(5, &parts);
    }
    quantize(&out, &["--engine", "ort-cuda"]).refused(2, &[]);
    quantize(&out, &["--precision", "int3"]).refused(2, &["int8-static", "int3"]);
    quantize(&out, &["--budget-snr", "much"]).refused(2, &["30dB"]);
    quantize(&out, &["--recipe", "nowhere.toml"]).refused(3, &["nowhere.toml"]);
    let not_data = text(&fixture().at("model"));
    quantize(&out, &["--calibrate", &not_data]).refused(3, &[&not_data]);
    assert!(!out.exists());
}

#[test]
fn a_graph_with_an_operation_that_nobody_knows_is_named() {
    let place = tempfile::tempdir().unwrap();
    let model = fixture().copy_of("model", place.path());
    let path = model.join("model.onnx");
    let mut graph = std::fs::read(&path).unwrap();
    let mut changed = 0;
    for at in 0..graph.len() - 7 {
        if &graph[at..at + 7] == b"Softmax" {
            graph[at..at + 7].copy_from_slice(b"Softmix");
            changed += 1;
        }
    }
    assert!(changed > 0);
    std::fs::write(&path, graph).unwrap();
    let out = text(&place.path().join("out"));
    for precision in ["fp16", "int8-weight"] {
        avdit(&["quantize", &text(&model), "--precision", precision, "--engine", "tract", "-o", &out])
            .refused(3, &["Softmix"]);
    }
    assert!(!place.path().join("out").exists());
}
