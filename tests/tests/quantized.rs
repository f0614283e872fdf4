//! Quantized graphs on every engine of the CPU: they compute what the source does, as nearly as their bits allow.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::sampler::SamplerKind;
use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, ScheduleKind, Target, Task};
use avdit_export::{
    ExportOptions, Lowering, ModelConfig, ModelFolder, Provenance, RandomWeights, export_denoiser,
};
use avdit_nets::{AvDitConfig, AvditConfig, NetworkConfig};
use avdit_onnx::{DataType, Model, tensor};
use avdit_quantize::half_precision::{Half, convert, convert_with_ports, kept, simulate};
use avdit_quantize::quality::{Errors, errors, trajectory, worst_db};
use avdit_quantize::states::{State, Trajectories, walk};
use avdit_quantize::{
    Calibration, Dialect, Failure, Form, Gathered, Integers, Precision, Ranges, Recipe, Search, Settings,
    Unit, Workbench, probe, units,
};
use avdit_runtime::{EngineKind, EngineOptions};
use std::collections::BTreeMap;
use std::path::Path;

/// What predictions keep at least, in decibels, on the network below; 4 to 9 less than was measured. Measured on tract and
/// on ONNX Runtime, on a processor without VNNI: 62.0 and 66.7 (fp16), 61.5 and 62.0 (fp16 by rounding), 43.9 on the
/// latter (bf16 by rounding), 44.3 and 40.5 (weights in 8 bits), 20.5 on the latter (in 4 bits), 39.3 on the former (8
/// bits), 35.9 and 36.0 (8 bits, weights in 7) and 35.7 on both (the same with known ranges).
const KEEPS: [(Kind, f64); 8] = [
    (Kind::Half, 57.0),
    (Kind::Simulated(Half::Fp16), 57.0),
    (Kind::Simulated(Half::Bf16), 39.0),
    (Kind::Form(Form::Int8Weight, 8), 36.0),
    (Kind::Form(Form::Int4Weight, 8), 16.0),
    (Kind::Form(Form::Int8Dynamic, 8), 30.0),
    (Kind::Form(Form::Int8Dynamic, 7), 31.0),
    (Kind::Form(Form::Int8Static, 7), 31.0),
];
/// The same for fp16 with inputs and outputs in it.
const HALF_PORTS_KEEP: f64 = 57.0;
/// Nothing in fewer bits is exact: what keeps more than this was not quantized.
const NOT_EXACT: f64 = 110.0;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Half,
    Simulated(Half),
    Form(Form, u8),
}

struct Setting {
    folder: tempfile::TempDir,
    spec: DenoiserSpec,
    model: Model,
}

fn setting(kind: EngineKind) -> Setting {
    let lowering = if kind == EngineKind::OrtCpu { Lowering::OrtCpu } else { Lowering::Portable };
    let config = AvditConfig { width: 64, depth: 2, heads: 4, ..AvditConfig::preset("tiny").unwrap() };
    setting_of(config.into(), lowering)
}

fn setting_of(config: NetworkConfig, lowering: Lowering) -> Setting {
    let spec = DenoiserSpec {
        layout: config.layout(),
        target: Target::V,
        schedule: ScheduleKind::Cosine,
        timesteps: 1000,
    };
    let options = ExportOptions { lowering, ..ExportOptions::default() };
    let model = export_denoiser(&config, &RandomWeights::new(&config, 5), &spec, &options).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let staged = ModelFolder::begin(&folder.path().join("model")).unwrap();
    let config = ModelConfig::of(config, spec.clone(), Provenance::default());
    let record = staged.write(&model, &config, &options).unwrap();
    staged.commit(&record).unwrap();
    Setting { folder, spec, model }
}

/// Opens graphs beside the configuration of a model.
struct Bench<'a> {
    folder: &'a Path,
    kind: EngineKind,
}

impl Bench<'_> {
    fn engine(&self, model: &Model) -> Result<Box<dyn avdit_runtime::Engine>, Failure> {
        let folder = tempfile::tempdir_in(self.folder)?;
        model.write(folder.path().join("model.onnx"), &avdit_onnx::WriteOptions::default())?;
        std::fs::copy(self.folder.join("model/config.json"), folder.path().join("config.json"))?;
        let options = EngineOptions { threads: 1, ..EngineOptions::default() };
        Ok(avdit_runtime::open(folder.path(), self.kind, &options)?)
    }
}

impl Workbench for Bench<'_> {
    fn open(&mut self, model: &Model) -> Result<Box<dyn Denoiser>, Failure> {
        Ok(self.engine(model)?)
    }

    fn probe(
        &mut self,
        model: &Model,
        states: &[(&Latents, &Levels)],
        show: &mut dyn FnMut(&str, &[f32]),
    ) -> Result<(), Failure> {
        let mut engine = self.engine(model)?;
        let mut out = Latents::zeros(&engine.spec().layout.clone(), 1);
        for (noisy, levels) in states {
            for extra in engine.predict_with_extras(noisy, levels, &mut out)? {
                show(&extra.name, &extra.values);
            }
        }
        Ok(())
    }
}

fn plan() -> Trajectories {
    Trajectories {
        tasks: vec![Task::Joint, Task::AudioToVideo, Task::Inpaint],
        sampler: SamplerKind::DpmSolver { order: 2 },
        steps: 4,
        seed: 3,
        per_stratum: 2,
        grid: true,
    }
}

fn engines() -> Vec<EngineKind> {
    match avdit_runtime::engine::load_onnx_runtime(None) {
        Ok(_) => vec![EngineKind::Tract, EngineKind::OrtCpu],
        Err(error) if std::env::var_os("AVDIT_REQUIRE_ORT").is_some() => panic!("{error}"),
        Err(_) => {
            eprintln!("not run on ort-cpu: no ONNX Runtime here (`cargo xtask fetch-ort` gets it)");
            vec![EngineKind::Tract]
        }
    }
}

/// A recipe that quantizes every unit that can have the form, smoothed where that helps.
fn everything(
    units: &[Unit],
    form: Form,
    weight_bits: u8,
    calibration: &Calibration,
    on: EngineKind,
) -> Recipe {
    let dialect = if on == EngineKind::OrtCpu { Dialect::OrtCpu } else { Dialect::Portable };
    let strength = |unit: &Unit| Some(calibration.values.get(unit.input()?)?.smoothing.alpha);
    let smoothing = units.iter().filter_map(|unit| Some((unit.name.clone(), strength(unit)?)));
    Recipe {
        half_ports: false,
        schema: Recipe::SCHEMA.into(),
        precision: Precision::Int8Static,
        budget_snr_db: 0.0,
        integers: Integers { weight_bits, dialect, ..Integers::default() },
        units: units.iter().filter(|unit| form.fits(unit)).map(|unit| (unit.name.clone(), form)).collect(),
        ranges: Ranges::Mse,
        smoothing: smoothing.filter(|(_, alpha)| *alpha > 0.0).collect(),
        kept: BTreeMap::new(),
    }
}

fn quantized(model: &Model, kind: Kind, calibration: &Calibration, on: EngineKind) -> Model {
    let mut made = model.clone();
    let found = units(&mut made).unwrap();
    match kind {
        Kind::Half => {
            let kept = kept(&made, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
            convert(&mut made, Half::Fp16, &kept).unwrap();
        }
        Kind::Simulated(half) => {
            let kept = kept(&made, half, &BTreeMap::new(), 4.0).unwrap();
            simulate(&mut made, half, &kept, false).unwrap();
        }
        Kind::Form(form, weight_bits) => {
            everything(&found, form, weight_bits, calibration, on).apply(&mut made, calibration).unwrap();
        }
    }
    made
}

fn calibrated(bench: &mut Bench<'_>, model: &Model, states: &[State]) -> Calibration {
    let mut model = model.clone();
    let found = units(&mut model).unwrap();
    let (mut calibration, mut groups, mut share) = (Calibration::default(), 0, 0.0);
    let mut watch = |gathered: Gathered<'_>| {
        match gathered {
            Gathered::Share(now) => assert!(std::mem::replace(&mut share, now) < now),
            Gathered::Values(_) => groups += 1,
        }
        Ok(())
    };
    calibration.gather(bench, (&model, &found), states, (1 << 15, 63), &mut watch).unwrap();
    assert!(groups > 1 && share == 1.0, "{groups} groups in 32 KiB, and {share} of the work");
    calibration
}

/// Why an engine does not run a form here.
fn not_here(on: EngineKind, kind: Kind) -> bool {
    match kind {
        // 7 bits are for processors whose products of bytes saturate; there, 8 bits are not for ONNX Runtime.
        Kind::Form(Form::Int8Dynamic, 8) => on == EngineKind::OrtCpu && saturates(),
        // It has neither MatMulNBits nor bf16.
        Kind::Form(Form::Int4Weight, _) | Kind::Simulated(Half::Bf16) => on == EngineKind::Tract,
        _ => false,
    }
}

fn walked(bench: &mut Bench<'_>, model: &Model) -> (Vec<State>, Vec<avdit_quantize::states::Run>) {
    let mut source = bench.open(model).unwrap();
    walk(source.as_mut(), &plan(), &[], &mut || ()).unwrap()
}

fn saturates() -> bool {
    #[cfg(target_arch = "x86_64")]
    return !std::arch::is_x86_feature_detected!("avx512vnni")
        && !std::arch::is_x86_feature_detected!("avxvnni");
    #[cfg(not(target_arch = "x86_64"))]
    false
}

#[test]
fn every_form_keeps_what_its_bits_allow_on_every_engine() {
    for kind in engines() {
        let Setting { folder, model, .. } = setting(kind);
        let mut bench = Bench { folder: folder.path(), kind };
        let (states, runs) = walked(&mut bench, &model);
        let calibration = calibrated(&mut bench, &model, &states);
        for (form, keeps) in KEEPS.into_iter().filter(|(form, _)| !not_here(kind, *form)) {
            let mut candidate = bench.open(&quantized(&model, form, &calibration, kind)).unwrap();
            let found = worst_db(&errors(candidate.as_mut(), &states).unwrap());
            eprintln!("{kind} {form:?}: {found:.1} dB");
            assert!((keeps..NOT_EXACT).contains(&found), "{kind} {form:?}: {found:.1} dB, at least {keeps}");
            for run in &runs {
                let (quality, latents) = trajectory(candidate.as_mut(), run).unwrap();
                assert!(quality.snr_db() > keeps - 12.0, "{kind} {form:?}: {quality:?}");
                assert_eq!(latents.batch, 1);
            }
        }
    }
}

#[test]
fn the_search_keeps_its_budget_and_leaves_out_what_harms() {
    let Setting { folder, model, .. } = setting(EngineKind::Tract);
    let mut bench = Bench { folder: folder.path(), kind: EngineKind::Tract };
    let (states, _) = walked(&mut bench, &model);
    let found = units(&mut model.clone()).unwrap().into_iter().filter(|unit| Form::Int8Weight.fits(unit));
    let found: Vec<_> = found.map(|unit| (unit.clone(), unit.len() as u64)).collect();
    let all: Vec<String> = found.iter().map(|(unit, _)| unit.name.clone()).collect();
    let settings = Settings::default();
    let mut search = Search {
        model: &model,
        units: &found,
        states: &states,
        form: Form::Int8Weight,
        settings: &settings,
        budget_db: 0.0,
    };
    let everything = worst_db(&search.measure(&mut bench, &all).unwrap());
    search.budget_db = everything + 6.0;
    let alone = search.sensitivities(&mut bench, &BTreeMap::new(), &mut |_, _| Ok(())).unwrap();
    let known = alone.iter().map(|unit| (unit.unit.clone(), unit.errors.clone())).collect();
    let mut silent = Bench { folder: Path::new("/nowhere"), kind: EngineKind::Tract };
    let again = search.sensitivities(&mut silent, &known, &mut |_, _| Ok(())).unwrap();
    assert_eq!(alone, again, "what is known is not measured again");
    let chosen = search.choose(&mut bench, alone, &mut |_| ()).unwrap();
    assert!((1..all.len()).contains(&chosen.chosen.len()), "{} of {}", chosen.chosen.len(), all.len());
    let measured: Errors = search.measure(&mut bench, &chosen.chosen).unwrap();
    assert!(worst_db(&measured) >= search.budget_db);
}

#[test]
fn a_graph_with_inputs_and_outputs_in_half_precision_takes_and_gives_what_others_do() {
    for kind in engines() {
        let Setting { folder, mut model, .. } = setting(kind);
        units(&mut model).unwrap();
        let mut bench = Bench { folder: folder.path(), kind };
        let (states, _) = walked(&mut bench, &model);
        let kept = kept(&model, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
        convert_with_ports(&mut model, Half::Fp16, &kept).unwrap();
        let inputs: Vec<_> = model.inputs().unwrap().into_iter().map(|(_, value)| value.data_type).collect();
        // Levels are told in single precision: 16 bits would only round them.
        assert_eq!(inputs, [DataType::Float16, DataType::Float16, DataType::Float, DataType::Float]);
        assert!(model.outputs().unwrap().iter().all(|(_, value)| value.data_type == DataType::Float16));
        let found = worst_db(&errors(bench.open(&model).unwrap().as_mut(), &states).unwrap());
        assert!((HALF_PORTS_KEEP..NOT_EXACT).contains(&found), "{kind}: {found:.1} dB");
    }
}

#[test]
fn a_variance_in_half_precision_is_read_as_one() {
    let text = r#"{"width":32,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    let config: AvDitConfig = serde_json::from_str(text).unwrap();
    for kind in engines() {
        let Setting { folder, spec, mut model } = setting_of(config.clone().into(), Lowering::Portable);
        let bench = Bench { folder: folder.path(), kind };
        let mut noisy = Latents::zeros(&spec.layout, 1);
        let values = noisy.video.iter_mut().chain(&mut noisy.audio).enumerate();
        values.for_each(|(i, x)| *x = (0.37 * i as f32).sin());
        let levels = Levels::repeat(&vec![400.0; spec.layout.cells()], 1);
        let variance = |model: &Model| {
            let [mut out, mut variance] = [0, 1].map(|_| Latents::zeros(&spec.layout, 1));
            let mut engine = bench.engine(model).unwrap();
            engine.predict_with_variance(&noisy, &levels, &mut out, &mut variance).unwrap();
            [variance.video, variance.audio].concat()
        };
        let source = variance(&model);
        let kept = kept(&model, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
        convert_with_ports(&mut model, Half::Fp16, &kept).unwrap();
        assert!(model.outputs().unwrap().iter().all(|(_, value)| value.data_type == DataType::Float16));
        let noise: f64 = source.iter().zip(variance(&model)).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let signal: f64 = source.iter().map(|a| f64::from(*a).powi(2)).sum();
        assert!((HALF_PORTS_KEEP..NOT_EXACT).contains(&(10.0 * (signal / noise).log10())), "{kind}");
    }
}

#[test]
fn a_network_that_overflows_in_half_precision_is_caught_named_and_kept() {
    for kind in engines() {
        let Setting { folder, mut model, .. } = setting(kind);
        units(&mut model).unwrap();
        scale(&mut model);
        let mut bench = Bench { folder: folder.path(), kind };
        let (states, _) = walked(&mut bench, &model);
        let by_default = kept(&model, Half::Fp16, &BTreeMap::new(), 4.0).unwrap();
        let mut broken = model.clone();
        convert(&mut broken, Half::Fp16, &by_default).unwrap();
        let node = probe::first_not_finite(&mut bench, &broken, &states, 1 << 20).unwrap();
        let node = node.expect("65504 is too little for this network");
        assert!(node.contains("blocks.0/mlp"), "{kind}: {node}");
        assert!(!by_default.contains_key(&node));

        let largest = probe::magnitudes(&mut bench, &model, &states, 1 << 20).unwrap();
        let measured = kept(&model, Half::Fp16, &largest, 4.0).unwrap();
        let added: Vec<_> = measured.iter().filter(|(name, _)| !by_default.contains_key(*name)).collect();
        assert!(!added.is_empty(), "{kind}: nothing was kept for {node}");
        for (name, reason) in added {
            assert!(name.contains("blocks.0/mlp"), "{kind}: {name} is kept as well");
            assert!(reason.contains("which float16 does not hold"), "{kind}: {reason}");
        }
        convert(&mut model, Half::Fp16, &measured).unwrap();
        assert_eq!(probe::first_not_finite(&mut bench, &model, &states, 1 << 20).unwrap(), None);
        let mut candidate = bench.open(&model).unwrap();
        let found = worst_db(&errors(candidate.as_mut(), &states).unwrap());
        assert!(found > 45.0, "{kind}: {found:.1} dB");
    }
}

/// Makes the first layer of the first block's MLP put out numbers beyond 65504, and the second one take them back.
fn scale(model: &mut Model) {
    let mut scaled = 0;
    for tensor in &mut model.graph_mut().initializer {
        let factor = match tensor.name() {
            name if name.starts_with("blocks.0.") && name.contains("fc1.") => 3e5,
            name if name.starts_with("blocks.0.") && name.ends_with("fc2.weight") => 1.0 / 3e5,
            _ => continue,
        };
        let dims = tensor::dims(tensor).unwrap();
        let values: Vec<f32> = tensor::to_f32s(tensor).unwrap().iter().map(|x| x * factor).collect();
        *tensor = tensor::f32s(tensor.name(), &dims, &values).unwrap();
        scaled += 1;
    }
    assert!(scaled >= 2, "the names of the MLP's layers have changed");
}

#[test]
fn latents_that_are_no_numbers_and_plans_without_tasks_are_refused() {
    let Setting { folder, spec, model } = setting(EngineKind::Tract);
    let mut bench = Bench { folder: folder.path(), kind: EngineKind::Tract };
    let mut source = bench.open(&model).unwrap();
    let mut given = Latents::zeros(&spec.layout, 1);
    given.audio[3] = f32::NAN;
    let error = walk(source.as_mut(), &plan(), &[given], &mut || ()).unwrap_err();
    assert_eq!(error.to_string(), "latents to calibrate on, audio: value 3 is NaN, not a finite number");
    let none = Trajectories { tasks: Vec::new(), ..plan() };
    let error = walk(source.as_mut(), &none, &[], &mut || ()).unwrap_err();
    assert!(error.to_string().contains("at least one task"), "{error}");
}

#[test]
fn calibration_without_states_or_with_values_that_are_no_numbers_is_refused() {
    let Setting { folder, mut model, .. } = setting(EngineKind::Tract);
    let mut bench = Bench { folder: folder.path(), kind: EngineKind::Tract };
    let (mut states, _) = walked(&mut bench, &model);
    states.truncate(1);
    let found = units(&mut model).unwrap();
    let mut gather = |states: &[State]| {
        Calibration::default().gather(&mut bench, (&model, &found), states, (1 << 30, 127), &mut |_| Ok(()))
    };
    gather(&states).unwrap();
    let error = gather(&[]).unwrap_err().to_string();
    assert_eq!(error, "states to calibrate on: expected at least one, got none");
    states[0].noisy.audio[0] = f32::NAN;
    let error = gather(&states).unwrap_err().to_string();
    assert!(error.starts_with("value ") && error.contains("is NaN, not a finite number"), "{error}");
}
