//! One prediction of a network with random weights, on one thread of every engine that is here.
#![allow(missing_docs)]
#![allow(clippy::print_stderr, reason = "an engine that is not here is told")]

use avdit_core::{
    Denoiser, DenoiserSpec, Latents, Levels, Modality, Noise, Purpose, ScheduleKind, Stream, Target,
};
use avdit_export::{ExportOptions, ModelConfig, ModelFolder, Provenance, RandomWeights, export_denoiser};
use avdit_nets::AvditConfig;
use avdit_runtime::{EngineKind, EngineOptions, open};
use avdit_trainer::CandleDenoiser;
use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use std::path::Path;

const SEED: u64 = 1;

/// A small network on the grid of `tiny` (46 tokens), and one of `small`'s width on its grid (426 tokens).
fn networks() -> [(&'static str, AvditConfig); 2] {
    let preset = |name| AvditConfig::preset(name).expect("a known preset");
    [("tiny", preset("tiny")), ("small, 2 blocks", AvditConfig { depth: 2, ..preset("small") })]
}

fn write(config: &AvditConfig, spec: &DenoiserSpec, target: &Path) -> avdit_export::Result<()> {
    let options = ExportOptions { batch: Some(1), ..ExportOptions::default() };
    let model = export_denoiser(config, &RandomWeights::new(config, SEED), spec, &options)?;
    let staged = ModelFolder::begin(target)?;
    let provenance = Provenance::default();
    let record =
        staged.write(&model, &ModelConfig::of(config.clone(), spec.clone(), provenance), &options)?;
    staged.commit(&record)
}

fn steps(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let options = EngineOptions { threads: 1, ..EngineOptions::default() };
    for (name, config) in networks() {
        let layout = config.layout();
        let spec = DenoiserSpec {
            layout: layout.clone(),
            target: Target::V,
            schedule: ScheduleKind::Linear,
            timesteps: 1000,
        };
        let model = folder.path().join(name);
        write(&config, &spec, &model).expect("a network that can be exported");
        let mut group = criterion.benchmark_group(format!("prediction/{name}"));
        group.sample_size(20);
        let mut measure = |engine: &str, denoiser: &mut dyn Denoiser| {
            let mut noisy = Latents::zeros(&layout, 1);
            for modality in Modality::ALL {
                let stream = Stream::new(Purpose::Check, 0, modality as u32);
                Noise::new(SEED).normals(stream, noisy.get_mut(modality));
            }
            let levels = Levels::repeat(&vec![500.0; layout.cells()], 1);
            let mut out = Latents::zeros(&layout, 1);
            group.bench_function(BenchmarkId::from_parameter(engine), |bencher| {
                bencher.iter(|| denoiser.predict(&noisy, &levels, &mut out).expect("latents of the layout"));
            });
        };
        for kind in EngineKind::ON_CPU {
            match open(&model, kind, &options) {
                Ok(mut engine) => measure(kind.name(), engine.as_mut()),
                Err(error) => eprintln!("{name} on {kind}: not measured: {error}"),
            }
        }
        let values = RandomWeights::new(&config, SEED);
        let mut candle = CandleDenoiser::load(&config, spec, &mut |parameter| Ok(values.of(parameter)))
            .expect("a network that can be built");
        measure("candle, threads as its environment says", &mut candle);
        group.finish();
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
