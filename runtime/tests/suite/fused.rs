//! Graphs with the sampler's update in them: the same latents, step by step.

use crate::support::{change, engines, exported, latents, one_thread, relative};
use avdit_core::sampler::StepForm;
use avdit_core::{Latents, LevelPlanKind, Levels, Modality, SampleRequest, SamplerKind, Task};
use avdit_export::ExportOptions;
use avdit_runtime::{Engine, EngineOptions, open, sample_timed};

/// After 10 steps in single precision, the update computed in another order; 3e-6 was measured.
const SAME_STEPS: f32 = 1e-5;

fn fused(form: StepForm) -> ExportOptions {
    ExportOptions { step: Some(form), ..ExportOptions::default() }
}

fn request(sampler: SamplerKind) -> SampleRequest {
    SampleRequest { sampler, steps: 10, batch: 2, seed: 7, ..SampleRequest::new(2) }
}

fn sample(engine: &mut dyn Engine, request: &SampleRequest, given: &Latents) -> Latents {
    sample_timed(engine, request, Some(given), &mut |_| {}).unwrap().latents
}

#[test]
fn every_sampler_task_and_plan_gives_the_latents_of_the_plain_loop() {
    let (plain, folder) = (exported(&ExportOptions::default()), exported(&fused(StepForm::EVERY)));
    let plans = [LevelPlanKind::Uniform, LevelPlanKind::Autoregressive, LevelPlanKind::Pyramid(3)];
    for kind in engines() {
        let options = EngineOptions { batch: 2, ..one_thread() };
        let mut reference = open(plain.path(), kind, &options).unwrap();
        let mut engine = open(folder.path(), kind, &options).unwrap();
        let given = latents(engine.spec(), 2);
        let mut worst = (0.0, String::new());
        for sampler in SamplerKind::all().into_iter().filter(|kind| *kind != SamplerKind::Heun) {
            let tasks = Task::named().into_iter().filter(|task| *task != Task::Inpaint);
            for (task, plan) in tasks.flat_map(|task| plans.map(|plan| (task.clone(), plan))) {
                let mask = task.given(2).unwrap();
                let request = SampleRequest { given: mask.clone(), plan, ..request(sampler) };
                let expected = sample(reference.as_mut(), &request, &given);
                let got = sample(engine.as_mut(), &request, &given);
                for modality in Modality::ALL {
                    let error = relative(expected.get(modality), got.get(modality));
                    let what = format!("{kind} {sampler} {task} {plan} {}", modality.name());
                    assert!(error < SAME_STEPS, "{what}: {error}");
                    if error > worst.0 {
                        worst = (error, what);
                    }
                }
                if mask.is_given(Modality::Audio, 0) {
                    assert_eq!(got.audio[..6], given.audio[..6], "{kind} {sampler} {task}");
                }
            }
        }
        eprintln!("largest difference {} at {}", worst.0, worst.1);
    }
}

#[test]
fn a_graph_for_one_sampler_holds_no_more_than_that_needs() {
    let plain = exported(&ExportOptions::default());
    for name in ["ddim", "ddpm", "dpm++2m", "dpm++3m", "unipc", "unipc:3"] {
        let sampler: SamplerKind = name.parse().unwrap();
        let form = StepForm::of(sampler.method(false));
        let folder = exported(&ExportOptions { freeze: Some(10), ..fused(form) });
        for kind in engines() {
            let mut reference = open(plain.path(), kind, &one_thread()).unwrap();
            let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
            let given = latents(engine.spec(), 2);
            let request = SampleRequest { given: Task::Continue(1).given(2).unwrap(), ..request(sampler) };
            let expected = sample(reference.as_mut(), &request, &given);
            let got = sample(engine.as_mut(), &request, &given);
            assert!(relative(&expected.video, &got.video) < SAME_STEPS, "{kind} {name}");
            assert!(relative(&expected.audio, &got.audio) < SAME_STEPS, "{kind} {name}");
            if name == "ddim" {
                let request = SampleRequest { sampler: SamplerKind::Heun, ..request };
                let refused = sample_timed(engine.as_mut(), &request, Some(&given), &mut |_| {});
                let message = refused.unwrap_err().to_string();
                assert!(message.starts_with("sampler on a fused step: heun"), "{message}");
            }
        }
    }
}

#[test]
fn given_cells_come_back_with_their_signs_and_runs_do_not_see_each_other() {
    let folder = exported(&fused(StepForm::EVERY));
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let mut given = latents(engine.spec(), 2);
        given.audio[0] = -0.0;
        let request = SampleRequest {
            given: Task::AudioToVideo.given(2).unwrap(),
            ..request("unipc".parse().unwrap())
        };
        let first = sample(engine.as_mut(), &request, &given);
        let bits = |x: &[f32]| x.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&first.audio), bits(&given.audio));
        // Another batch, another sampler, and back.
        let one = SampleRequest {
            batch: 1,
            sampler: SamplerKind::Ddpm,
            given: Task::Joint.given(2).unwrap(),
            ..request.clone()
        };
        sample_timed(engine.as_mut(), &one, None, &mut |_| {}).unwrap();
        assert_eq!(sample(engine.as_mut(), &request, &given), first);
    }
}

#[test]
fn predictions_and_guidance_are_refused_with_the_way_out() {
    let folder = exported(&fused(StepForm::EVERY));
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let (noisy, mut out) = (latents(engine.spec(), 1), latents(engine.spec(), 1));
        let levels = Levels::repeat(&[500.0; 4], 1);
        let message = engine.predict(&noisy, &levels, &mut out).unwrap_err().to_string();
        assert!(message.contains("fused step") && message.contains("without --fused-step"), "{message}");
        let given = latents(engine.spec(), 2);
        let request = SampleRequest {
            guidance: 2.0,
            given: Task::AudioToVideo.given(2).unwrap(),
            ..request(SamplerKind::Ddpm)
        };
        let refused =
            sample_timed(engine.as_mut(), &request, Some(&given), &mut |_| {}).unwrap_err().to_string();
        assert!(refused.starts_with("guidance: 2 is not allowed"), "{refused}");
    }
}

#[test]
fn the_parts_of_a_fused_step_are_the_whole() {
    let folder = exported(&fused(StepForm::EVERY));
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &EngineOptions { batch: 2, ..one_thread() }).unwrap();
        let timings =
            sample_timed(engine.as_mut(), &request(SamplerKind::Ddpm), None, &mut |_| {}).unwrap().timings;
        let runs: Vec<_> = timings.steps.iter().map(|step| step.predictions).collect();
        assert_eq!(runs, [1; 10]);
        for step in &timings.steps {
            let parts = step.network_ms + step.copies_ms + step.sampler_ms;
            assert!((parts - step.wall_ms).abs() < 1e-6 && step.network_ms > 0.0, "{step:?}");
        }
    }
}

#[test]
fn a_prediction_that_is_not_a_number_is_named_by_its_step() {
    let folder = exported(&fused(StepForm::EVERY));
    change(folder.path(), |model| {
        let tensor = model
            .graph_mut()
            .initializer
            .iter_mut()
            .find(|tensor| tensor.name() == "final_audio.linear.bias");
        let tensor = tensor.unwrap();
        *tensor = avdit_onnx::tensor::f32s("final_audio.linear.bias", &[3], &[0.0, f32::NAN, 0.0]).unwrap();
    });
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let error =
            sample_timed(engine.as_mut(), &request(SamplerKind::Ddpm), None, &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "step 1 of 10, latents, audio: value 1 is NaN, not a finite number");
    }
}

#[test]
fn a_configuration_that_promises_another_step_is_refused() {
    let folder = exported(&fused(StepForm::EVERY));
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let edits = [
        (
            "\"history\": 3",
            "\"history\": 2",
            "input video_state: config.json expects Float (batch, 4, 3, 2, 4, 4)",
        ),
        ("\"noise\": true", "\"noise\": false", "input audio_coefficients"),
        ("\"history\": 3", "\"history\": 4", "history of the fused step: 4 is not allowed"),
        ("\"step\"", "\"stop\"", "inputs: config.json expects one named video"),
    ];
    for (from, to, says) in edits {
        assert!(text.contains(from));
        std::fs::write(&path, text.replace(from, to)).unwrap();
        for kind in engines() {
            let Err(error) = open(folder.path(), kind, &one_thread()) else { panic!("{kind} opened it") };
            let message = error.to_string();
            assert!(
                message.contains(says) || (says.contains("audio_co") && message.contains("coefficients")),
                "{message}"
            );
        }
    }
}
