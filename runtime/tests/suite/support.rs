//! A small network as a model folder.

use avdit_core::{AudioLayout, DenoiserSpec, Latents, Noise, Purpose, ScheduleKind, Stream, Target};
use avdit_export::{ExportOptions, ModelConfig, ModelFolder, Provenance, WeightMap, export_denoiser};
use avdit_nets::AvditConfig;
use avdit_nets::avdit::VideoConfig;
use avdit_onnx::{ExternalData, Model, WriteOptions};
use avdit_runtime::engine::load_onnx_runtime;
use avdit_runtime::{EngineKind, EngineOptions};
use std::path::Path;
use tempfile::TempDir;

/// Two blocks of width 16 over 12 video and 5 audio tokens in two segments.
pub(crate) fn config() -> AvditConfig {
    AvditConfig {
        width: 16,
        depth: 2,
        heads: 2,
        mlp_ratio: 4.0,
        qk_norm: true,
        adaln_rank: None,
        video: VideoConfig { frames: 3, channels: 2, height: 4, width: 4, patch: 2, segments: vec![1, 2] },
        audio: AudioLayout { frames: 5, channels: 3, segments: vec![2, 3] },
    }
}

/// Weights of the size that training leaves: products neither vanish nor explode over 20 steps.
pub(crate) fn weights(config: &AvditConfig) -> WeightMap {
    let random = |(i, parameter): (usize, avdit_nets::Parameter)| {
        let mut values = vec![0.0; parameter.len()];
        Noise::new(5).normals(Stream::new(Purpose::Check, 0, i as u32), &mut values);
        values.iter_mut().for_each(|value| *value *= 0.2);
        (parameter.name, (parameter.shape, values))
    };
    config.parameters().into_iter().enumerate().map(random).collect()
}

/// A model folder in a temporary one, for any batch.
pub(crate) fn model() -> TempDir {
    exported(&ExportOptions { external_data: ExternalData::Always, ..ExportOptions::default() })
}

/// A model folder in a temporary one.
pub(crate) fn exported(options: &ExportOptions) -> TempDir {
    exported_as(config(), options)
}

pub(crate) fn spec(config: &AvditConfig) -> DenoiserSpec {
    let (target, schedule) = (Target::V, ScheduleKind::Cosine);
    DenoiserSpec { layout: config.layout(), target, schedule, timesteps: 1000 }
}

/// A model folder of any network in a temporary one.
pub(crate) fn exported_as(config: AvditConfig, options: &ExportOptions) -> TempDir {
    let (place, spec) = (tempfile::tempdir().unwrap(), spec(&config));
    let model = export_denoiser(&config, &weights(&config), &spec, options).unwrap();
    let folder = ModelFolder::begin(place.path()).unwrap();
    let record = folder.write(&model, &ModelConfig::of(config, spec, Provenance::new()), options).unwrap();
    folder.commit(&record).unwrap();
    place
}

/// Changes the graph of a model folder, and puts its weights inside.
pub(crate) fn change(folder: &Path, edit: impl FnOnce(&mut Model)) {
    let path = folder.join("model.onnx");
    let mut model = Model::read(&path).unwrap();
    edit(&mut model);
    let options = WriteOptions { external_data: ExternalData::Never, ..WriteOptions::default() };
    model.write(&path, &options).unwrap();
}

/// The engines that can run here without a GPU. With `AVDIT_REQUIRE_ORT=1` a missing ONNX Runtime is a failure.
pub(crate) fn engines() -> Vec<EngineKind> {
    match load_onnx_runtime(None) {
        Ok(_) => EngineKind::ON_CPU.to_vec(),
        Err(error) if std::env::var("AVDIT_REQUIRE_ORT").is_ok_and(|value| value == "1") => panic!("{error}"),
        Err(error) => {
            eprintln!("ort-cpu is not tested: {error}");
            vec![EngineKind::Tract]
        }
    }
}

/// Options that do not depend on the machine.
pub(crate) fn one_thread() -> EngineOptions {
    EngineOptions { threads: 1, ..EngineOptions::default() }
}

/// Random latents of the network's layout.
pub(crate) fn latents(spec: &DenoiserSpec, batch: usize) -> Latents {
    let mut latents = Latents::zeros(&spec.layout, batch);
    Noise::new(1).normals(Stream::new(Purpose::Check, 1, 0), &mut latents.video);
    Noise::new(1).normals(Stream::new(Purpose::Check, 2, 0), &mut latents.audio);
    latents
}

/// The largest difference over the largest magnitude of `a`.
pub(crate) fn relative(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    let largest = a.iter().fold(0f32, |m, x| m.max(x.abs()));
    assert!(largest > 0.0, "nothing but zeros");
    a.iter().zip(b).fold(0f32, |m, (x, y)| m.max((x - y).abs())) / largest
}
