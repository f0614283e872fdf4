//! Engines that cannot run here say so and give no number; the cache of built engines is looked after.

use crate::fixture::{avdit, fixture, text};
use serde_json::Value;

/// The engine that was asked for cannot run here.
const NO_PROVIDER: i32 = 5;

/// Whether there is an ONNX Runtime, and no GPU that would make an engine run after all.
fn testable() -> bool {
    let report: Value = serde_json::from_str(&avdit(&["doctor", "--json"]).ok().out).unwrap();
    let engines = report["engines"].as_array().unwrap();
    let usable = |name: &str| engines.iter().any(|e| e["engine"] == name && e["usable"] == true);
    let is_required = std::env::var_os("AVDIT_REQUIRE_ORT").is_some();
    assert!(usable("ort-cpu") || !is_required, "AVDIT_REQUIRE_ORT is set, and ort-cpu is not usable");
    usable("ort-cpu") && !usable("ort-cuda")
}

#[test]
fn a_gpu_engine_on_a_machine_without_one_is_an_error_and_no_number() {
    if !testable() {
        return;
    }
    let model = text(&fixture().at("model"));
    for engine in ["ort-cuda", "ort-tensorrt"] {
        for extra in [&[][..], &["--allow-fallback"], &["--json"]] {
            let args = [&["bench", &model, "--engine", engine, "--steps", "1"], extra].concat();
            let said = avdit(&args).refused(NO_PROVIDER, &[engine, "cannot run here", "hint: ", "ort-cpu"]);
            if extra == ["--json"] {
                let result: serde_json::Value = serde_json::from_str(&said.out).unwrap();
                let row = &result["rows"][0];
                assert!(row["measured"].is_null() && row["failed"]["exit_code"] == NO_PROVIDER, "{row}");
                assert_eq!(result["limits"], serde_json::json!([]));
            } else {
                assert_eq!(said.out, "");
            }
        }
    }
}

#[test]
fn building_an_engine_without_tensorrt_leaves_nothing_behind() {
    if !testable() {
        return;
    }
    let (model, folder) = (text(&fixture().at("model")), tempfile::tempdir().unwrap());
    let cache = text(&folder.path().join("engines"));
    let said = avdit(&["engine", "build", &model, "--batch", "2", "--engine-cache", &cache])
        .refused(NO_PROVIDER, &["build the TensorRT engine", "ort-tensorrt cannot run here"]);
    assert!(said.out.is_empty() && !folder.path().join("engines").exists());
    avdit(&["engine", "build", &model, "--batch", "2", "--opt-batch", "2"]).refused(2, &["--opt-batch"]);
}

#[test]
fn an_empty_cache_is_listed_explained_and_cleared() {
    let (model, folder) = (text(&fixture().at("model")), tempfile::tempdir().unwrap());
    let cache = text(&folder.path().join("engines"));
    let said = avdit(&["engine", "list", "--engine-cache", &cache]).ok();
    assert!(said.out.starts_with("no engines in "), "{}", said.out);
    let said = avdit(&["engine", "gc", "--keep", "1", "--json", "--engine-cache", &cache]).ok();
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!(report["removed"]["bytes"], 0);
    avdit(&["engine", "gc", "--engine-cache", &cache]).refused(2, &["--older-than"]);
    if !testable() {
        return;
    }
    let said = avdit(&["engine", "explain", &model, "--batch", "2", "--engine-cache", &cache]).ok();
    assert!(said.out.contains("a run would find no engine in "), "{}", said.out);
    assert!(said.out.contains(&format!("avdit engine build {model} --batch 2")), "{}", said.out);
}
