//! Samples and their timings.

use crate::support::{engines, latents, model, one_thread, relative};
use avdit_core::{Latents, Modality, SampleRequest, SamplerKind, Task};
use avdit_runtime::{BenchOptions, EngineOptions, bench, open, sample_timed};
use std::time::Duration;

/// 20 steps apart, errors of single precision have grown.
const AFTER_TWENTY_STEPS: f32 = 1e-3;

fn request(sampler: SamplerKind, steps: usize) -> SampleRequest {
    SampleRequest { sampler, steps, batch: 2, seed: 7, ..SampleRequest::new(2) }
}

#[test]
fn engines_sample_the_same() {
    let folder = model();
    let samples: Vec<_> = engines()
        .into_iter()
        .map(|kind| {
            let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
            let request = request(SamplerKind::DpmSolver { order: 2 }, 20);
            sample_timed(engine.as_mut(), &request, None, &mut |_| {}).unwrap().latents
        })
        .collect();
    let other = samples.last().unwrap();
    for modality in Modality::ALL {
        assert!(relative(samples[0].get(modality), other.get(modality)) < AFTER_TWENTY_STEPS);
    }
}

#[test]
fn given_cells_come_back_bit_for_bit() {
    let folder = model();
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let (given, layout) = (latents(engine.spec(), 2), engine.spec().layout.clone());
        let mask = Task::AudioToVideo.given(layout.segments()).unwrap();
        let request = SampleRequest { given: mask, guidance: 2.0, ..request(SamplerKind::Ddpm, 5) };
        let sample = sample_timed(engine.as_mut(), &request, Some(&given), &mut |_| {}).unwrap();
        assert_eq!(sample.latents.audio, given.audio);
        assert_ne!(sample.latents.video, given.video);
        // With guidance the network runs twice a step.
        assert!(sample.timings.steps.iter().all(|step| step.predictions == 2));
    }
}

#[test]
fn the_parts_of_a_step_are_the_whole() {
    let folder = model();
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &EngineOptions { batch: 2, ..one_thread() }).unwrap();
        let request = request(SamplerKind::Heun, 6);
        let timings = sample_timed(engine.as_mut(), &request, None, &mut |_| {}).unwrap().timings;
        assert_eq!(timings.steps.iter().map(|step| step.index).collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
        // Heun's last step is Euler's.
        assert_eq!(timings.steps.iter().map(|step| step.predictions).collect::<Vec<_>>(), [2, 2, 2, 2, 2, 1]);
        for step in &timings.steps {
            let parts = step.network_ms + step.copies_ms + step.sampler_ms;
            assert!((parts - step.wall_ms).abs() < 1e-6 && step.network_ms > 0.0, "{step:?}");
        }
        assert!(timings.steps.iter().map(|step| step.wall_ms).sum::<f64>() <= timings.total_ms);
        assert!((0.0..1.0).contains(&timings.overhead()));
    }
}

#[test]
fn a_measurement_counts_what_it_ran() {
    let folder = model();
    for kind in engines() {
        let options = BenchOptions {
            clip_seconds: Some(2.0),
            warm_up: Duration::ZERO,
            min_runs: 3,
            min_duration: Duration::ZERO,
            ..BenchOptions::new(request(SamplerKind::Ddim { eta: 0.0 }, 4))
        };
        let mut told = Vec::new();
        let report = bench(folder.path(), kind, &one_thread(), &options, &mut |p| told.push(p)).unwrap();
        assert_eq!((report.runs, report.step_ms.n, report.step_ms_by_index.len(), told.len()), (3, 12, 4, 5));
        assert!(report.step_ms_by_index.iter().all(|step| step.n == 3));
        let of_runs = report.step_ms.mean * 12.0 * 1e-3;
        assert!(of_runs > 0.0 && of_runs <= report.duration_s, "{of_runs} {}", report.duration_s);
        assert!((report.clips_per_s * report.duration_s - 6.0).abs() < 1e-9);
        assert!((report.clip_seconds_per_s.unwrap() * report.duration_s - 12.0).abs() < 1e-9);
        assert!(report.cpu.matmul_gflop_per_s > 0.1 && report.cpu.ms_per_step > 0.0);
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["schema"], "avdit-bench/1");
        assert_eq!(json["facts"]["engine"], kind.name());
        assert_eq!(json["sampling"]["sampler"], "ddim");
    }
}

#[test]
fn a_failure_while_sampling_is_the_engines() {
    let folder = model();
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let mut given = Latents::zeros(&engine.spec().layout.clone(), 2);
        given.audio[0] = f32::NAN;
        let mask = Task::AudioToVideo.given(2).unwrap();
        let request = SampleRequest { given: mask, ..request(SamplerKind::Ddpm, 2) };
        let error = sample_timed(engine.as_mut(), &request, Some(&given), &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "given latents, audio: value 0 is NaN, not a finite number");
    }
}
