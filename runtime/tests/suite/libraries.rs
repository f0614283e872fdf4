//! Files named as ONNX Runtime that are not, or not one that can be used.
//!
//! A process keeps the first library that it loads, and its environment cannot be changed safely: each case is a
//! process of its own, which is this test program again, running [`report`] alone.

use crate::support::engines;
use avdit_runtime::EngineKind;
use avdit_runtime::doctor::examine;
use avdit_runtime::engine::load_onnx_runtime;
use std::path::{Path, PathBuf};
use std::process::Command;

const FLAG: &str = "AVDIT_TEST_LIBRARY_FLAG";

/// What the child says: its report as JSON.
#[test]
fn report() {
    let Some(flag) = std::env::var_os(FLAG) else { return };
    let flag = Some(flag).filter(|flag| !flag.is_empty()).map(PathBuf::from);
    println!("REPORT {}", serde_json::to_string(&examine(flag.as_deref()).engines[1]).unwrap());
}

/// The report on ORT of a process with nothing in its environment but these.
fn child(flag: Option<&Path>, variables: &[(&str, &Path)]) -> serde_json::Value {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "libraries::report", "--nocapture"]).env_clear();
    command.env(FLAG, flag.unwrap_or(Path::new(""))).current_dir(std::env::temp_dir());
    command.envs(variables.iter().copied());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{:?}\n{text}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    let report =
        text.lines().find_map(|line| line.split_once("REPORT ")).unwrap_or_else(|| panic!("{text}")).1;
    serde_json::from_str(report).unwrap()
}

fn reason(report: &serde_json::Value) -> String {
    assert_eq!(report["usable"], false, "{report}");
    assert!(report["remedy"].as_str().unwrap().contains("pip install onnxruntime"), "{report}");
    let tried = report["tried"].as_array().unwrap();
    assert_eq!(tried.len(), 1, "a path that was named is final: {report}");
    tried[0]["reason"].as_str().unwrap().to_owned()
}

/// A shared library of the system that is not ONNX Runtime.
fn another_library() -> Option<PathBuf> {
    let folders =
        ["/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib/aarch64-linux-gnu", "/usr/lib64"];
    folders.into_iter().map(|folder| Path::new(folder).join("libm.so.6")).find(|path| path.is_file())
}

#[test]
fn a_path_that_cannot_be_used_is_explained() {
    let place = tempfile::tempdir().unwrap();
    let library = place.path().join("libonnxruntime.so");
    let explain = |path: &Path| {
        let by_flag = reason(&child(Some(path), &[]));
        let by_environment = child(None, &[("ORT_DYLIB_PATH", path)]);
        assert_eq!(by_environment["tried"][0]["origin"], "environment");
        assert_eq!(by_flag, reason(&by_environment));
        by_flag
    };
    assert!(explain(&library).starts_with("No such file"));
    assert!(explain(place.path()).starts_with("is a folder; give the file in it"));
    std::fs::write(&library, "#!/bin/sh\n").unwrap();
    assert!(explain(&library).starts_with("is not a whole shared library"));
    std::fs::write(&library, "").unwrap();
    assert!(explain(&library).starts_with("is not a whole shared library"));
    if let Some(other) = another_library() {
        std::fs::copy(&other, &library).unwrap();
        assert_eq!(explain(&library), "is a library, but not ONNX Runtime: it does not export OrtGetApiBase");
        assert!(explain(&other).starts_with("is not named like ONNX Runtime's library"));
        std::fs::write(&library, &std::fs::read(&other).unwrap()[..5000]).unwrap();
        assert!(explain(&library).starts_with("is not a whole shared library"), "{}", explain(&library));
    }
}

#[test]
fn without_a_library_every_place_was_looked_at() {
    let home = tempfile::tempdir().unwrap();
    let report = child(None, &[("HOME", home.path())]);
    if report["usable"] == true {
        let path = report["path"].as_str().unwrap();
        assert!(path.starts_with("/usr"), "the system has one: {path}");
        return;
    }
    assert!(report["problem"].as_str().unwrap().contains("none of"), "{report}");
}

#[test]
fn the_cache_goes_before_python_packages_and_a_broken_file_is_passed_over_aloud() {
    let home = tempfile::tempdir().unwrap();
    let cache = home.path().join("cache/onnxruntime");
    let package = home.path().join("venv/lib/python3.11/site-packages/onnxruntime/capi");
    for folder in [&cache, &package] {
        std::fs::create_dir_all(folder).unwrap();
        std::fs::write(folder.join("libonnxruntime.so.1.31.1"), "broken").unwrap();
    }
    let (cache_folder, venv) = (home.path().join("cache"), home.path().join("venv"));
    let variables: [(&str, &Path); 3] =
        [("HOME", home.path()), ("AVDIT_CACHE_DIR", &cache_folder), ("VIRTUAL_ENV", &venv)];
    let report = child(None, &variables);
    assert_eq!(report["tried"][0]["origin"], "cache", "{report}");
    assert_eq!(report["tried"][1]["origin"], "python", "{report}");

    if !engines().contains(&EngineKind::OrtCpu) {
        return;
    }
    let good = load_onnx_runtime(None).unwrap().path.clone();
    std::fs::remove_file(package.join("libonnxruntime.so.1.31.1")).unwrap();
    std::fs::copy(&good, package.join("libonnxruntime.so.1")).unwrap();
    let report = child(None, &variables);
    assert_eq!((&report["usable"], report["tried"].as_array().unwrap().len()), (&true.into(), 1), "{report}");
    assert_eq!(report["path"], package.join("libonnxruntime.so.1").to_str().unwrap());

    // Cut off in the middle: loading it would end the process.
    let bytes = std::fs::read(&good).unwrap();
    let cut = cache.join("libonnxruntime.so");
    std::fs::write(&cut, &bytes[..bytes.len() / 2]).unwrap();
    let reason = reason(&child(Some(&cut), &[]));
    assert!(reason.starts_with("is not a whole shared library"), "{reason}");
}

#[test]
fn the_variable_goes_before_the_flag() {
    let place = tempfile::tempdir().unwrap();
    let (a, b) = (place.path().join("a/libonnxruntime.so"), place.path().join("b/libonnxruntime.so"));
    let report = child(Some(&b), &[("ORT_DYLIB_PATH", &a)]);
    assert_eq!(report["tried"][0]["path"], a.to_str().unwrap());
}

#[test]
fn one_process_has_one_library() {
    if !engines().contains(&EngineKind::OrtCpu) {
        return;
    }
    if std::env::var_os("ORT_DYLIB_PATH").is_some() {
        return; // which goes before any flag
    }
    let place = tempfile::tempdir().unwrap();
    let loaded = load_onnx_runtime(None).unwrap().path.clone();
    assert!(load_onnx_runtime(Some(&loaded)).is_ok());
    let missing = load_onnx_runtime(Some(&place.path().join("libonnxruntime.so"))).unwrap_err().to_string();
    assert!(missing.contains("(path given): No such file"), "{missing}");
    let copy = place.path().join("libonnxruntime.so");
    std::fs::copy(&loaded, &copy).unwrap();
    let second = load_onnx_runtime(Some(&copy)).unwrap_err().to_string();
    assert!(second.ends_with("cannot be loaded beside it"), "{second}");
}
