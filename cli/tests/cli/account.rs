//! What a model is and costs, and where its time goes.

use crate::fixture::{Said, avdit, fixture, text};
use serde_json::Value;

fn json(said: &Said) -> Value {
    serde_json::from_str(&said.out).unwrap()
}

fn sum(rows: &Value, field: &str) -> f64 {
    rows.as_array().unwrap().iter().map(|row| row[field].as_f64().unwrap()).sum()
}

/// The first line names the model's path, which may be long.
fn fits_100_columns(said: &Said) {
    for line in said.out.lines().skip(1) {
        assert!(line.chars().count() <= 100, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn inspect_adds_up() {
    let model = text(&fixture().at("model"));
    let one = json(&avdit(&["inspect", &model, "--nodes", "--json"]).ok());
    assert_eq!(one["schema"], "avdit-inspect/1");
    assert_eq!(
        (&one["integrity"]["is_recorded"], &one["integrity"]["difference"]),
        (&true.into(), &Value::Null)
    );
    let total = &one["total"];
    for field in ["nodes", "multiply_adds", "other_operations", "operations", "bytes"] {
        for rows in ["blocks", "kinds", "operators", "nodes"] {
            let rows = if (rows, field) == ("nodes", "nodes") { "blocks" } else { rows };
            assert_eq!(sum(&one[rows], field), total[field].as_f64().unwrap(), "{field} of {rows}");
        }
    }
    let modalities = sum(&one["modalities"], "multiply_adds") / total["multiply_adds"].as_f64().unwrap();
    assert!((modalities - 1.0).abs() < 1e-3, "{modalities}");
    assert_eq!((&one["attention"]["fused"], &one["attention"]["written_out"]), (&0.into(), &1.into()));
    assert_eq!(sum(&one["blocks"], "weights"), sum(&one["weights"], "numbers"));
    assert!(one["parameters"].as_f64().unwrap() > 1000.0);
    let peak = |x: &Value| {
        x["memory"]["peak_bytes"].as_u64().unwrap() - x["memory"]["weight_bytes"].as_u64().unwrap()
    };
    let three = json(&avdit(&["inspect", &model, "--batch", "3", "--json"]).ok());
    assert_eq!(three["total"]["multiply_adds"].as_u64(), total["multiply_adds"].as_u64().map(|n| 3 * n));
    assert!(peak(&three) > 2 * peak(&one));
    let portable =
        one["targets"]["targets"].as_array().unwrap().iter().find(|t| t["target"] == "portable").unwrap();
    assert_eq!(portable["operators"], one["targets"]["this"]["operators"]);
    let said = avdit(&["inspect", &model, "--nodes"]).ok();
    fits_100_columns(&said);
    for word in
        ["blocks.0", "attention", "1 written out", "size and SHA-256 as export.json has them", "portable"]
    {
        assert!(said.out.contains(word), "no '{word}' in: {}", said.out);
    }
}

#[test]
fn a_graph_that_was_not_exported_here_is_inspected_and_refused() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let model = fixture.copy_of("model", folder.path());
    let graph = model.join("model.onnx");
    let whole = std::fs::read(&graph).unwrap();
    let mut other = whole.clone();
    let name = other.windows(12).position(|bytes| bytes == b"avdit-export").unwrap();
    other[name] = b'b';
    std::fs::write(&graph, &other).unwrap();
    let said = avdit(&["inspect", &text(&model)]);
    assert!(
        said.out.contains("integrity    NOT what was exported: ") && said.out.contains("by bvdit-export")
    );
    said.refused(3, &["model.onnx", "sha256", "not the one that was exported here"]);
    std::fs::write(&graph, &whole[..whole.len() / 2]).unwrap();
    avdit(&["inspect", &text(&model)]).refused(3, &["model.onnx", "not an ONNX model", "bytes, sha256"]);
    std::fs::write(&graph, &whole).unwrap();
    std::fs::remove_file(model.join("export.json")).unwrap();
    let said = avdit(&["inspect", &text(&model), "--no-targets"]).ok();
    assert!(said.out.contains("not known: there is no export.json"), "{}", said.out);
}

#[test]
fn a_batch_that_the_graph_does_not_take_is_refused() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let model = text(&folder.path().join("fixed"));
    avdit(&["export", &text(&fixture.at("run")), "-o", &model, "--batch", "2"]).ok();
    avdit(&["inspect", &model, "--batch", "3"]).refused(2, &["--batch 3", "a batch of 2"]);
    let said = json(&avdit(&["inspect", &model, "--no-targets", "--json"]).ok());
    assert_eq!((&said["batch"], &said["targets"]), (&2.into(), &Value::Null));
}

#[test]
fn profile_groups_time_and_leaves_a_trace() {
    let (model, folder) = (text(&fixture().at("model")), tempfile::tempdir().unwrap());
    let trace = folder.path().join("trace.json");
    let common = ["profile", &model, "--engine", "tract", "--threads", "1", "--steps", "2", "--runs", "2"];
    let said = avdit(&[&common[..], &["--json", "--chrome", &text(&trace)]].concat()).ok();
    let profile = json(&said);
    assert_eq!((&profile["schema"], &profile["predictions"]), (&"avdit-profile/1".into(), &4.into()));
    for rows in ["blocks", "kinds", "operators"] {
        assert!((sum(&profile[rows], "share") - 1.0).abs() < 1e-9, "{rows}");
    }
    let shares = sum(&profile["modalities"], "share") + profile["unattributed"].as_f64().unwrap();
    assert!((shares - 1.0).abs() < 1e-9, "{shares}");
    let coverage = profile["coverage"].as_f64().unwrap();
    assert!(coverage > 0.0 && coverage < 1.05, "{coverage}");
    assert_eq!((&profile["limits"], &profile["blocks"][0]["bound"]), (&Value::Null, &Value::Null));

    let events: Vec<Value> = serde_json::from_slice(&std::fs::read(&trace).unwrap()).unwrap();
    let named = |name: &str| events.iter().filter(|event| event["name"] == name).count();
    let rows: Vec<_> = events
        .iter()
        .filter(|e| e["name"] == "thread_name")
        .map(|e| e["args"]["name"].as_str().unwrap())
        .collect();
    assert_eq!(rows[..4], ["steps", "video_embed", "audio_embed", "t_embedder"]);
    // a span and a mark in each of two runs
    assert_eq!((named("step 0"), named("step 1")), (4, 4));
    let operations = profile["operations"].as_array().unwrap().len();
    let spans = events.iter().filter(|e| e["ph"] == "X" && e["tid"] != 0).count();
    assert_eq!(spans, 4 * operations);

    let limits = ["--machine-rate", "100", "--machine-bandwidth", "10"];
    let said = avdit(&[&common[..], &limits].concat()).ok();
    fits_100_columns(&said);
    for word in
        ["shares, no latency", "operations cover", "blocks.0", "attention", "memory ", "slowest operations"]
    {
        assert!(said.out.contains(word), "no '{word}' in: {}", said.out);
    }
}

#[test]
fn operations_that_onnx_runtime_has_merged_are_attributed_or_told() {
    if std::env::var_os("AVDIT_REQUIRE_ORT").is_none() {
        return;
    }
    let model = text(&fixture().at("model"));
    let said =
        avdit(&["profile", &model, "--engine", "ort-cpu", "--threads", "1", "--steps", "2", "--json"]).ok();
    let profile = json(&said);
    let operations = profile["operations"].as_array().unwrap();
    let merged: Vec<_> =
        operations.iter().filter(|operation| operation["is_taken_from_neighbours"] == true).collect();
    // The activation of the MLP with the bias in front of it, under a name of ONNX Runtime's own.
    assert!(merged.iter().any(|operation| operation["op"] == "FastGelu"), "{merged:?}");
    assert!(
        merged.iter().all(|operation| operation["block"] == "blocks.0" && operation["kind"] == "mlp"),
        "{merged:?}"
    );
    let (taken, left) = (&profile["taken_from_neighbours"], &profile["unattributed"]);
    assert!(taken.as_f64().unwrap() > 0.0 && left.as_f64().unwrap() < 0.05, "{taken} {left}");
    assert_eq!(profile["providers"][0]["provider"], "CPUExecutionProvider");
}
