//! CUDA where there is none: an error, an exit code of its own, and no figure.

use crate::fixture::{command, fixture, text};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The engine asked for cannot run here.
const NO_PROVIDER: i32 = 5;

/// What doctor says of an engine.
fn engine(name: &str, library: Option<&Path>) -> Value {
    let mut command = command(&["doctor", "--json"]);
    if let Some(library) = library {
        command.env("ORT_DYLIB_PATH", library);
    }
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["schema"], "avdit-doctor/2");
    let engines = report["engines"].as_array().unwrap();
    engines.iter().find(|engine| engine["engine"] == name).unwrap().clone()
}

/// ONNX Runtime for the CPU, if there is one and the tests may do without otherwise.
fn onnx_runtime() -> Option<PathBuf> {
    let report = engine("ort-cpu", None);
    if report["usable"] == true {
        return Some(report["path"].as_str().unwrap().into());
    }
    assert!(std::env::var_os("AVDIT_REQUIRE_ORT").is_none(), "{report}");
    eprintln!("not run: {}", report["problem"]);
    None
}

/// A measurement on CUDA by this library fails with the reason, and gives no figure.
fn gives_no_figure(library: &Path) {
    let model = text(&fixture().at("model"));
    let quick = ["--steps", "1", "--min-runs", "1", "--duration-s", "0", "--warm-up-ms", "0", "--json"];
    let arguments: Vec<_> = ["bench", &model, "--engine", "ort-cuda"].into_iter().chain(quick).collect();
    let output = command(&arguments).env("ORT_DYLIB_PATH", library).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(NO_PROVIDER), "{out}\n{err}");
    assert!(!err.contains("panicked"), "{err}");
    if out.trim().is_empty() {
        assert!(err.contains("ort-cuda") && err.contains("hint: "), "{err}");
        return;
    }
    let result: Value = serde_json::from_str(&out).unwrap();
    for row in result["rows"].as_array().unwrap() {
        assert!(row["measured"].is_null() && row["failed"]["reason"].is_string(), "{row}");
    }
}

#[test]
fn cuda_on_a_machine_without_it_is_an_error_and_no_number() {
    let Some(library) = onnx_runtime() else { return };
    if engine("ort-cuda", Some(&library))["usable"] == true {
        return; // a machine with it
    }
    gives_no_figure(&library);
}

#[test]
fn a_provider_that_says_yes_and_does_nothing_is_measured_by_nobody() {
    let Some(real) = onnx_runtime() else { return };
    let folder = tempfile::tempdir().unwrap();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/tests/fakes/silent_provider.c");
    let fake = folder.path().join("libonnxruntime.so");
    for hearing in [None, Some("-DDEAF")] {
        let mut cc = Command::new(std::env::var_os("CC").unwrap_or("cc".into()));
        cc.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&fake).arg(&source);
        cc.arg(format!("-DREAL=\"{}\"", real.display())).args(hearing).arg("-ldl");
        assert!(cc.status().unwrap().success(), "{cc:?}");
        assert_eq!(engine("ort-cpu", Some(&fake))["usable"], true);
        assert_eq!(engine("ort-cuda", Some(&fake))["usable"], false);
        gives_no_figure(&fake);
    }
}
