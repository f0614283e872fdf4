//! GPUs as seen through drivers that are not NVIDIA's.

use crate::fakes::{child, fake, is_child, library_from};
use avdit_runtime::doctor::gpu::{Sampler, devices, gpu};
use serde_json::Value;
use std::path::Path;

/// What the child says: its GPUs, and two readings of energy.
#[test]
fn child_reports() {
    if !is_child() {
        return;
    }
    let energy: Vec<_> = devices().unwrap_or_default().first().map_or(Vec::new(), |device| {
        let sampler = Sampler::open(device).unwrap();
        (0..2).map(|_| sampler.energy_joules()).collect()
    });
    println!("SAYS {}", serde_json::json!({ "gpu": gpu(), "energy": energy }));
}

fn report(libraries: &Path) -> Value {
    serde_json::from_str(&child("gpu::child_reports", &[("LD_LIBRARY_PATH", libraries)])).unwrap()
}

#[test]
fn a_driver_without_a_device_is_named_as_such() {
    let folder = tempfile::tempdir().unwrap();
    let path = fake("cuda.c", &folder.path().join("libcuda.so.1"), &["-DDEVICES=0"]);
    let report = report(folder.path());
    assert_eq!(report["gpu"]["libcuda"], path.to_str().unwrap());
    assert_eq!(report["gpu"]["devices"], Value::Array(Vec::new()));
    let problem = report["gpu"]["problem"].as_str().unwrap();
    assert_eq!(problem, "no device: CUDA's driver sees no GPU (cuInit: CUDA_ERROR_NO_DEVICE)");
}

#[test]
fn a_library_that_is_no_driver_names_the_function_that_it_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("some.c");
    std::fs::write(&source, "int cuInit(unsigned flags) { return 0 * flags; }\n").unwrap();
    library_from(&source, &folder.path().join("libcuda.so.1"), &[]);
    let report = report(folder.path());
    let problem = report["gpu"]["problem"].as_str().unwrap();
    assert!(
        problem.ends_with("libcuda.so.1 is not the driver of CUDA 11.4 or newer: it has no cuDeviceGetCount")
    );
}

#[test]
fn without_nvml_a_device_that_cannot_be_used_is_a_problem_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    fake("cuda.c", &folder.path().join("libcuda.so.1"), &["-DDEVICES=1"]);
    let report = report(folder.path());
    let problem = report["gpu"]["problem"].as_str().unwrap();
    assert!(problem.starts_with("CUDA's driver cannot be used: "), "{problem}");
}

#[test]
fn what_nvml_tells_is_told_in_its_units() {
    let folder = tempfile::tempdir().unwrap();
    fake("cuda.c", &folder.path().join("libcuda.so.1"), &["-DDEVICES=1"]);
    fake("nvml.c", &folder.path().join("libnvidia-ml.so.1"), &[]);
    let report = report(folder.path());
    let expected = serde_json::json!([{
        "index": 0,
        "name": "Fake GPU",
        "uuid": "GPU-00000000-0000-0000-0000-000000000001",
        "sm": 90,
        "memory_bytes": 4000,
        "driver": "580.65.06",
        "cuda": "13.0",
        "state": {
            "memory_used_bytes": 1000,
            "memory_free_bytes": 3000,
            "power_w": 90.5,
            "power_limit_w": 700.0,
            "clock_sm_mhz": 1500,
            "clock_sm_max_mhz": 1980,
            "clock_memory_mhz": 2600,
            "temperature_c": null,
            "persistence": true,
            "other_processes": null,
        },
    }]);
    assert_eq!(report["gpu"]["devices"], expected);
    assert_eq!(report["energy"], serde_json::json!([42.0, 42.001]));
}
