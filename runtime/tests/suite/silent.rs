//! A provider that says yes and does nothing is caught: no prediction comes from it, and doctor does not call it
//! usable.

use crate::fakes::{child, empty, fake, is_child};
use crate::support::{engines, model, one_thread};
use avdit_runtime::doctor::examine;
use avdit_runtime::engine::load_onnx_runtime;
use avdit_runtime::{EngineKind, EngineOptions, Error, open};
use ort::sys::OrtApi;
use std::mem::{offset_of, size_of};
use std::path::{Path, PathBuf};

/// What the child says: what became of the CPU and of CUDA.
#[test]
fn child_opens() {
    if !is_child() {
        return;
    }
    let folder = model();
    let open = |kind| match open(folder.path(), kind, &one_thread()) {
        Ok(engine) => format!("opened {:?}", engine.facts().placement),
        Err(Error::Provider { reason, .. }) => format!("refused: {reason}"),
        Err(error) => format!("another error: {error}"),
    };
    let cuda = &examine(None).engines[2];
    let said = serde_json::json!({ "cpu": open(EngineKind::OrtCpu), "cuda": open(EngineKind::OrtCuda), "doctor": cuda });
    println!("SAYS {said}");
}

/// The fake, in front of the real library.
fn silent(folder: &Path, options: &[&str]) -> Option<PathBuf> {
    if !engines().contains(&EngineKind::OrtCpu) {
        return None;
    }
    let real = load_onnx_runtime(EngineOptions::default().onnx_runtime.as_deref()).unwrap();
    let real = format!("-DREAL=\"{}\"", real.path.display());
    let options: Vec<_> = options.iter().copied().chain([real.as_str(), "-ldl"]).collect();
    Some(fake("silent_provider.c", &folder.join("libonnxruntime.so"), &options))
}

#[test]
fn a_provider_that_does_nothing_is_refused_even_where_falling_back_cannot_be_forbidden() {
    let folder = tempfile::tempdir().unwrap();
    for options in [&[][..], &["-DDEAF"]] {
        let Some(library) = silent(folder.path(), options) else { return };
        let said = child("silent::child_opens", &[("ORT_DYLIB_PATH", &library)]);
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        assert!(said["cpu"].as_str().unwrap().starts_with("opened"), "the fake runs graphs: {said}");
        assert!(said["cuda"].as_str().unwrap().starts_with("refused: "), "{options:?}: {said}");
        assert_eq!(said["doctor"]["usable"], false);
        let problem = said["doctor"]["problem"].as_str().unwrap();
        assert!(problem.starts_with("the ONNX Runtime in use is for the CPU"), "{problem}");
    }
}

#[test]
fn doctor_believes_a_provider_when_a_graph_has_run_on_it_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["providers_shared", "providers_cuda"] {
        empty(&at(&format!("libonnxruntime_{name}.so")), &[]);
    }
    for name in ["libnvrtc.so.13", "libcufft.so.12", "libcudnn.so.9"] {
        empty(&at(name), &[]);
    }
    for part in ["graph", "ops", "heuristic", "adv", "cnn", "engines_precompiled", "engines_runtime_compiled"]
    {
        empty(&at(&format!("libcudnn_{part}.so.9")), &[]);
    }
    fake("cuda.c", &at("libcuda.so.1"), &["-DDEVICES=1"]);
    fake("nvml.c", &at("libnvidia-ml.so.1"), &[]);
    for options in [&[][..], &["-DDEAF"]] {
        let Some(library) = silent(folder.path(), options) else { return };
        let variables = [("ORT_DYLIB_PATH", library.as_path()), ("LD_LIBRARY_PATH", folder.path())];
        let said: serde_json::Value =
            serde_json::from_str(&child("silent::child_opens", &variables)).unwrap();
        let report = &said["doctor"];
        assert_eq!((&report["engine"], &report["usable"]), (&"ort-cuda".into(), &false.into()), "{report}");
        let problem = report["problem"].as_str().unwrap();
        assert!(problem.starts_with("it does not run here: "), "everything is there: {problem}");
        assert!(problem.contains("runs none of 1 nodes"), "{problem}");
    }
}

/// The fake changes entries of a table by their numbers.
#[test]
fn the_fake_knows_the_table_of_functions() {
    let source = include_str!("../fakes/silent_provider.c");
    let entries = [
        ("ADD_SESSION_CONFIG_ENTRY", offset_of!(OrtApi, AddSessionConfigEntry)),
        ("APPEND_CUDA_V2", offset_of!(OrtApi, SessionOptionsAppendExecutionProvider_CUDA_V2)),
        ("CREATE_CUDA_OPTIONS", offset_of!(OrtApi, CreateCUDAProviderOptions)),
        ("UPDATE_CUDA_OPTIONS", offset_of!(OrtApi, UpdateCUDAProviderOptions)),
        ("RELEASE_CUDA_OPTIONS", offset_of!(OrtApi, ReleaseCUDAProviderOptions)),
        ("ENTRIES", size_of::<OrtApi>()),
    ];
    let lines = entries.map(|(name, offset)| format!("{name} = {}", offset / size_of::<fn()>()));
    let wrong: Vec<_> = lines.iter().filter(|line| !source.contains(line.as_str())).collect();
    assert!(wrong.is_empty(), "the fake should say {wrong:?}");
}
