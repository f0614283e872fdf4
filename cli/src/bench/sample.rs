//! A result to test with.

use super::result::*;
use avdit_runtime::machine::{Machine, State};
use avdit_runtime::{Precision, Summary};

/// A row measured on `ort-cpu`, one on `tract`, and one that failed.
pub fn result() -> BenchResult {
    let state = State {
        load_average: Some(0.1),
        clock_mhz: Some(3000.0),
        governor: Some("performance".into()),
        available_memory_bytes: Some(1 << 34),
    };
    BenchResult {
        schema: SCHEMA.into(),
        created: "2026-11-20T12:00:00Z".into(),
        avdit: "0.1.0".into(),
        command: vec!["avdit".into(), "bench".into(), "small".into()],
        machine: Machine {
            cpu: "A Processor".into(),
            threads: 2,
            instruction_sets: vec!["avx2".into(), "fma".into()],
            memory_bytes: Some(1 << 34),
            os: "Some OS".into(),
            kernel: "6.1".into(),
            load_average: Some(0.1),
        },
        before: state.clone(),
        after: state,
        protocol: Protocol {
            warm_up_ms: 200,
            min_runs: 10,
            min_duration_s: 3.0,
            interleaved: true,
            sequential_because: None,
        },
        limits: vec![
            limit(Some("ort-cpu"), Some(400.0), None),
            limit(Some("tract"), Some(350.0), None),
            limit(None, Some(30.0), None),
        ],
        rows: vec![
            row("ort-cpu", Some(measured(60.0)), None),
            row("tract", Some(measured(85.0)), None),
            row("ort-cuda", None, Some(failure())),
        ],
        notes: Vec::new(),
    }
}

fn limit(engine: Option<&str>, value: Option<f64>, reason: Option<&str>) -> Limit {
    Limit {
        engine: engine.map(Into::into),
        precision: engine.map(|_| Precision::Float32),
        threads: 2,
        unit: if engine.is_some() { "GFLOP/s" } else { "GB/s" }.into(),
        readings: value.into_iter().flat_map(|value| [value * 0.99, value]).collect(),
        value,
        per_cpu_second: value.map(|value| value / 1.95),
        reason: reason.map(Into::into),
    }
}

fn failure() -> Failure {
    Failure {
        stage: "open".into(),
        reason: "ort-cuda cannot run here: <no> \"GPU\"".into(),
        hint: Some("use --engine ort-cpu".into()),
        exit_code: 5,
        signal: None,
    }
}

/// A row of the model `small`.
pub fn row(engine: &str, measured: Option<Measured>, failed: Option<Failure>) -> Row {
    Row {
        model: ModelFacts {
            name: "small".into(),
            path: "models/small".into(),
            precision: Some(Precision::Float32),
            form: Vec::new(),
            bytes: Some(133 << 20),
        },
        engine: engine.into(),
        threads: 2,
        sampling: Sampling {
            sampler: "ddim".into(),
            steps: 4,
            batch: 1,
            task: "joint".into(),
            guidance: 1.0,
        },
        setup: Vec::new(),
        measured,
        failed,
        notes: Vec::new(),
        log: Vec::new(),
    }
}

/// Figures whose median step is about `ms`, with 1 % of variation between runs.
pub fn measured(ms: f64) -> Measured {
    let runs: Vec<f64> = (0..20).map(|i| ms * (0.99 + 0.02 * f64::from(i * 7 % 20) / 19.0)).collect();
    let summary = |scale: f64| {
        let steps: Vec<f64> = runs.iter().map(|run| run * scale).collect();
        Summary::of(&steps).unwrap()
    };
    let mut sorted = runs.clone();
    sorted.sort_unstable_by(f64::total_cmp);
    let gflop = 21.6;
    Measured {
        opened: Opened {
            version: "1.31.1".into(),
            library: Some("lib/libonnxruntime.so.1.31.1".into()),
            network: "model/model.onnx".into(),
            threads: 2,
            library_load_ms: Some(20.0),
            load_ms: 80.0,
            session_ms: 300.0,
            engine_build_ms: None,
            first_step_ms: ms * 1.5,
            nodes: 900,
            placement: serde_json::json!([{ "device": "CPUExecutionProvider", "nodes": null }]),
        },
        runs: runs.len(),
        duration_s: runs.iter().sum::<f64>() * 4e-3,
        step_ms: summary(1.0),
        step_ms_by_index: (0..4).map(|i| summary(1.0 + 0.01 * f64::from(i))).collect(),
        network_ms: summary(0.99),
        copies_ms: summary(0.004),
        sampler_ms: summary(0.006),
        overhead: 0.01,
        steps_per_s: 1e3 / ms,
        clips_per_s: 250.0 / ms,
        clip_seconds_per_s: Some(530.0 / ms),
        decode: Some(Decode { video_ms: 4.0, audio_ms: 12.0 }),
        cpu_ms_per_step: 1.95 * ms,
        threads_busy: 1.95,
        memory: Memory {
            start_bytes: Some(30 << 20),
            open_peak_bytes: Some(320 << 20),
            run_peak_bytes: Some(240 << 20),
            above_weights_bytes: Some(77 << 20),
        },
        device: None,
        roofline: Some(Roofline {
            gflop,
            weight_bytes: f64::from(133 << 20),
            intensity: gflop * 1e9 / f64::from(133 << 20),
            precision: Precision::Float32,
            matmul_gflop_per_s: 400.0,
            bandwidth_gb_per_s: Some(30.0),
            bound_gflop_per_s: 400.0,
            reached_gflop_per_s: gflop / ms * 1e3,
            share_of_matmul: gflop / ms * 1e3 / 400.0,
            share_of_matmul_cpu: Some(gflop / ms * 1e3 / 400.0),
            share_of_bound: gflop / ms * 1e3 / 400.0,
        }),
        run_p50_ms: runs.clone(),
        run_mean_ms: runs.clone(),
        run_cpu_ms: runs.iter().map(|run| run * 1.95).collect(),
        step_percentiles_ms: (0..=100).map(|p| sorted[(p * 19) / 100]).collect(),
    }
}
