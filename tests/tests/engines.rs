//! The same network on every engine: the same latents from the same seed, given cells untouched.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::sampler::SamplerKind;
use avdit_core::sampling::sample;
use avdit_core::{
    Denoiser, DenoiserSpec, Latents, Modality, Noise, Purpose, SampleRequest, ScheduleKind, Stream, Target,
    Task,
};
use avdit_export::{
    ExportOptions, Lowering, ModelConfig, ModelFolder, Provenance, export_denoiser, weight_map,
};
use avdit_nets::av_dit::FusionForm;
use avdit_nets::{AvDitConfig, AvditConfig, NetworkConfig};
use avdit_runtime::{EngineKind, EngineOptions};
use avdit_trainer::{CandleDenoiser, Weights};

/// Relative distance of latents after 20 steps that float32 engines may have; 2e-6 was measured.
const SAME_TRAJECTORY: f64 = 1e-3;

fn config() -> NetworkConfig {
    NetworkConfig::from(AvditConfig { width: 64, depth: 3, heads: 4, ..AvditConfig::preset("tiny").unwrap() })
}

/// A network that learns the variance of its steps.
fn av_dit(fusion_form: FusionForm) -> NetworkConfig {
    let text = r#"{"width":32,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    AvDitConfig { fusion_form, ..serde_json::from_str(text).unwrap() }.into()
}

/// Weights of a size at which every part of the network matters, the zeros of adaLN-Zero included.
fn weights(config: &NetworkConfig) -> Weights {
    let mut weights = Weights::new();
    for (i, parameter) in config.parameters().into_iter().enumerate() {
        let mut values = vec![0.0; parameter.len()];
        Noise::new(11).normals(Stream::new(Purpose::Parameters, 0, i as u32), &mut values);
        let scale = if parameter.shape.len() == 2 { 1.0 / (parameter.shape[1] as f32).sqrt() } else { 0.1 };
        values.iter_mut().for_each(|x| *x *= scale);
        weights.insert(parameter.name, values);
    }
    weights
}

struct Engines {
    _folder: tempfile::TempDir,
    denoisers: Vec<(&'static str, Box<dyn Denoiser>)>,
}

fn engines(config: &NetworkConfig) -> Engines {
    engines_of(config, Lowering::Portable)
}

fn engines_of(config: &NetworkConfig, lowering: Lowering) -> Engines {
    let folder = tempfile::tempdir().unwrap();
    let spec = DenoiserSpec {
        layout: config.layout(),
        target: Target::V,
        schedule: ScheduleKind::Cosine,
        timesteps: 1000,
    };
    let weights = weights(config);
    let map = weight_map(config.parameters(), weights.clone()).unwrap();
    let options = ExportOptions { lowering, ..ExportOptions::default() };
    let model = export_denoiser(config, &map, &spec, &options).unwrap();
    let target = folder.path().join("model");
    let staged = ModelFolder::begin(&target).unwrap();
    let record =
        staged.write(&model, &ModelConfig::of(config.clone(), spec.clone(), Provenance::default()), &options);
    staged.commit(&record.unwrap()).unwrap();
    let mut denoisers: Vec<(&'static str, Box<dyn Denoiser>)> =
        vec![("candle", Box::new(CandleDenoiser::new(config, &weights, spec).unwrap()))];
    for kind in [EngineKind::Tract, EngineKind::OrtCpu] {
        // Operators of ONNX Runtime's own are for it alone.
        if kind == EngineKind::Tract && !lowering.is_plain_onnx() {
            continue;
        }
        match avdit_runtime::open(&target, kind, &EngineOptions { threads: 1, ..EngineOptions::default() }) {
            Ok(engine) => denoisers.push((kind.name(), engine)),
            Err(error) if std::env::var_os("AVDIT_REQUIRE_ORT").is_none() && kind == EngineKind::OrtCpu => {
                eprintln!("not run on ort-cpu: {error}");
            }
            Err(error) => panic!("{error}"),
        }
    }
    Engines { _folder: folder, denoisers }
}

/// Relative distance of the pictures, which are made; the sound is given and the same by definition.
fn distance(a: &Latents, b: &Latents) -> f64 {
    let difference: f64 = a.video.iter().zip(&b.video).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (difference / b.video.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>()).sqrt()
}

fn given(layout: &avdit_core::Layout, batch: usize) -> Latents {
    let mut latents = Latents::zeros(layout, batch);
    for modality in Modality::ALL {
        Noise::new(4).normals(Stream::new(Purpose::Check, 0, modality as u32), latents.get_mut(modality));
    }
    latents
}

#[test]
fn twenty_steps_on_every_engine_end_in_the_same_latents() {
    let mut engines = engines(&config());
    let layout = config().layout();
    let kinds = ["ddim", "ddpm", "dpm++2m", "unipc", "heun"].map(|name| name.parse::<SamplerKind>().unwrap());
    for sampler in kinds {
        let mut reference: Option<Latents> = None;
        for (name, denoiser) in &mut engines.denoisers {
            let request = SampleRequest {
                steps: 20,
                seed: 9,
                sampler,
                given: Task::AudioToVideo.given(layout.segments()).unwrap(),
                ..SampleRequest::new(layout.segments())
            };
            let made = sample(denoiser.as_mut(), &request, Some(&given(&layout, 1)), &mut |_| {}).unwrap();
            let spread = made.video.iter().fold(0f32, |max, x| max.max(x.abs()));
            assert!(spread > 0.1, "{name} {sampler}: nothing was made");
            match &reference {
                None => reference = Some(made),
                Some(reference) => {
                    let error = distance(&made, reference);
                    assert!(error <= SAME_TRAJECTORY, "{name} {sampler}: {error:e}");
                    eprintln!("{name} {sampler}: {error:.1e}");
                }
            }
        }
    }
}

#[test]
fn given_cells_come_out_of_every_engine_bit_for_bit() {
    let mut engines = engines(&config());
    let layout = config().layout();
    let given = given(&layout, 2);
    for task in Task::named() {
        let mask = task.given(layout.segments()).unwrap();
        for (name, denoiser) in &mut engines.denoisers {
            let request = SampleRequest {
                batch: 2,
                steps: 3,
                guidance: 1.5,
                given: mask.clone(),
                ..SampleRequest::new(layout.segments())
            };
            let made = sample(denoiser.as_mut(), &request, Some(&given), &mut |_| {}).unwrap();
            for modality in Modality::ALL {
                for (n, range) in layout.segment_ranges(modality).into_iter().enumerate() {
                    for item in 0..2 {
                        let cell = |x: &Latents| x.item(&layout, item).get(modality)[range.clone()].to_vec();
                        let same = cell(&made) == cell(&given);
                        assert_eq!(
                            same,
                            mask.is_given(modality, n),
                            "{task} on {name}: {} {n}",
                            modality.name()
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_variance_that_a_network_has_learnt_is_sampled_with_alike_on_every_engine() {
    for form in [FusionForm::Lora, FusionForm::Frozen, FusionForm::Cross] {
        for lowering in [Lowering::Portable, Lowering::OrtCpu] {
            sampled_alike(&av_dit(form), lowering);
        }
    }
}

fn sampled_alike(config: &NetworkConfig, lowering: Lowering) {
    let mut engines = engines_of(config, lowering);
    let layout = config.layout();
    let sampled = |denoiser: &mut dyn Denoiser, sampler: &str| {
        let sampler = sampler.parse().unwrap();
        let given = Task::AudioToVideo.given(layout.segments()).unwrap();
        let request = SampleRequest { steps: 6, sampler, given, ..SampleRequest::new(layout.segments()) };
        sample(denoiser, &request, Some(&self::given(&layout, 1)), &mut |_| {}).unwrap()
    };
    let (_, candle) = engines.denoisers.remove(0);
    let mut candle = candle;
    let reference = sampled(candle.as_mut(), "ddpm-learned");
    for fixed in ["ddpm", "ddpm-large"] {
        let other = sampled(candle.as_mut(), fixed);
        assert!(distance(&other, &reference) > 10.0 * SAME_TRAJECTORY, "{fixed}");
    }
    for (name, denoiser) in &mut engines.denoisers {
        let error = distance(&sampled(denoiser.as_mut(), "ddpm-learned"), &reference);
        assert!(error <= SAME_TRAJECTORY, "{name} {lowering}: {error:e}");
    }
}
