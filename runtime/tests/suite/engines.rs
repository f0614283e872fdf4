//! Predictions.

use crate::support::{
    config, engines, exported, exported_as, latents, model, one_thread, relative, spec, weights,
};
use avdit_core::{Latents, Levels};
use avdit_export::{ExportOptions, Reference, Tolerance, validate_batches, validate_graph};
use avdit_nets::AvditConfig;
use avdit_runtime::graph::Batch;
use avdit_runtime::{Engine, EngineKind, EngineOptions, Error, open};

/// Levels that differ between all cells.
fn levels(batch: usize) -> Levels {
    Levels::from_rows(&(0..batch).map(|i| vec![10.0 + i as f32, 400.0, 0.0, 999.0]).collect::<Vec<_>>())
}

fn predict(engine: &mut dyn Engine, noisy: &Latents, levels: &Levels) -> Latents {
    let mut out = Latents::zeros(&engine.spec().layout, noisy.batch);
    engine.predict(noisy, levels, &mut out).unwrap();
    out
}

#[test]
fn engines_predict_the_same() {
    let folder = model();
    let mut reference = open(folder.path(), EngineKind::Tract, &one_thread()).unwrap();
    for kind in engines() {
        for batch in [1, 3] {
            let mut engine = open(folder.path(), kind, &EngineOptions { batch, ..one_thread() }).unwrap();
            let report =
                validate_batches(reference.as_mut(), engine.as_mut(), 7, 3, batch, Tolerance::SAME_MATH)
                    .unwrap();
            assert!(report.passed, "{kind} {:?}", report.worst());
        }
    }
}

#[test]
fn engines_predict_what_the_network_is_in_double_precision() {
    for adaln_rank in [None, Some(3)] {
        let config = AvditConfig { adaln_rank, ..config() };
        let weights = weights(&config);
        let mut reference = Reference::new(&config, &weights, &spec(&config)).unwrap();
        for freeze in [None, Some(20)] {
            let options = ExportOptions { freeze, ..ExportOptions::default() };
            let folder = exported_as(config.clone(), &options);
            for kind in engines() {
                let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
                let report = validate_graph(&mut reference, engine.as_mut(), &options, 14, 2).unwrap();
                assert!(report.passed, "{kind} {adaln_rank:?} {freeze:?} {:?}", report.worst());
            }
        }
    }
}

#[test]
fn levels_of_every_cell_reach_the_network() {
    let folder = model();
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let noisy = latents(engine.spec(), 1);
        let before = predict(engine.as_mut(), &noisy, &levels(1));
        for cell in 0..4 {
            let mut changed = levels(1);
            let level = if cell < 2 { &mut changed.video[cell] } else { &mut changed.audio[cell - 2] };
            *level = 700.0;
            let after = predict(engine.as_mut(), &noisy, &changed);
            assert!(relative(&before.video, &after.video) > 1e-4, "{kind}, cell {cell}");
            assert!(relative(&before.audio, &after.audio) > 1e-4, "{kind}, cell {cell}");
        }
    }
}

#[test]
fn a_clip_is_predicted_the_same_alone_and_in_a_batch() {
    let folder = model();
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let (noisy, layout) = (latents(engine.spec(), 6), engine.spec().layout.clone());
        let together = predict(engine.as_mut(), &noisy, &levels(6));
        // More batches than plans are kept, and back to the first.
        for batch in [1, 2, 3, 4, 5, 1] {
            let part = Latents::concat(&(0..batch).map(|i| noisy.item(&layout, i)).collect::<Vec<_>>());
            let alone = predict(engine.as_mut(), &part, &levels(batch));
            assert!(
                relative(&together.item(&layout, 0).video, &alone.item(&layout, 0).video) < 1e-5,
                "{kind}"
            );
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let folder = model();
    for kind in engines() {
        let run = |threads| {
            let options = EngineOptions { threads, ..EngineOptions::default() };
            let mut engine = open(folder.path(), kind, &options).unwrap();
            let noisy = latents(engine.spec(), 2);
            predict(engine.as_mut(), &noisy, &levels(2))
        };
        assert_eq!(run(1), run(2), "{kind}");
    }
}

#[test]
fn a_fixed_batch_is_the_only_one_taken() {
    let folder = exported(&ExportOptions { batch: Some(2), ..ExportOptions::default() });
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        assert_eq!(engine.facts().graph.batch, Batch::Fixed(2));
        let noisy = latents(engine.spec(), 2);
        predict(engine.as_mut(), &noisy, &levels(2));
        let (noisy, mut out) = (latents(engine.spec(), 3), latents(engine.spec(), 3));
        let message = engine.predict(&noisy, &levels(3), &mut out).unwrap_err().to_string();
        assert!(message.ends_with("expected 2, got 3"), "{message}");
    }
}

#[test]
fn buffers_of_a_wrong_size_are_named() {
    let folder = model();
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let noisy = latents(engine.spec(), 2);
        let mut out = latents(engine.spec(), 1);
        let message = engine.predict(&noisy, &levels(2), &mut out).unwrap_err().to_string();
        assert_eq!(message, "batch of the prediction: expected 2, got 1");
        let mut out = latents(engine.spec(), 2);
        let message = engine.predict(&noisy, &levels(1), &mut out).unwrap_err().to_string();
        assert_eq!(message, "levels of the video cells (batch 2): expected 4, got 2");
    }
}

#[test]
fn taps_come_out_beside_the_prediction() {
    let folder = exported(&ExportOptions { taps: true, ..ExportOptions::default() });
    let mut all = Vec::new();
    for kind in engines() {
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        let noisy = latents(engine.spec(), 2);
        let mut out = Latents::zeros(&engine.spec().layout, 2);
        let extras = engine.predict_with_extras(&noisy, &levels(2), &mut out).unwrap();
        let names: Vec<_> = extras.iter().map(|extra| extra.name.as_str()).collect();
        assert_eq!(names, ["tokens", "condition", "block0", "block1"]);
        assert_eq!(extras[0].shape, [2, 17, 16]);
        assert_eq!(out, predict(engine.as_mut(), &noisy, &levels(2)));
        all.push(extras);
    }
    for (one, other) in all[0].iter().zip(all.last().unwrap()) {
        assert!(relative(&one.values, &other.values) < 1e-5, "{}", one.name);
    }
}

#[test]
fn facts_tell_what_runs() {
    let folder = model();
    for kind in engines() {
        let engine = open(folder.path(), kind, &one_thread()).unwrap();
        let facts = engine.facts();
        assert_eq!((engine.name(), facts.threads, facts.graph.opset), (kind.name(), 1, 20));
        assert_eq!(facts.library.is_some(), kind == EngineKind::OrtCpu);
        assert!(facts.version.starts_with(|c: char| c.is_ascii_digit()), "{}", facts.version);
        assert!(facts.load_ms > 0.0 && facts.session_ms > 0.0 && facts.graph.nodes > 50);
        let size = |name: &str| std::fs::metadata(folder.path().join(name)).unwrap().len();
        assert_eq!(facts.graph.bytes, size("model.onnx") + size("model.onnx_data"));
        assert!(facts.placement.len() == 1 && facts.placement[0].device.starts_with("CPU"));
        let nodes = facts.placement[0].nodes;
        match kind {
            // What is left of the graph once it is optimised.
            EngineKind::OrtCpu => {
                assert!(nodes.is_some_and(|n| (50..=facts.graph.nodes).contains(&n)), "{nodes:?}")
            }
            _ => assert!(nodes.is_none_or(|n| n > 0)),
        }
    }
}

#[test]
fn engines_are_called_by_their_names() {
    for kind in EngineKind::ALL {
        assert_eq!(kind.name().parse::<EngineKind>().unwrap(), kind);
    }
    for (short, kind) in [
        ("ort", EngineKind::OrtCpu),
        ("cuda", EngineKind::OrtCuda),
        ("trt", EngineKind::OrtTensorRt),
        ("tensorrt", EngineKind::OrtTensorRt),
    ] {
        assert_eq!(short.parse::<EngineKind>().unwrap(), kind);
    }
    let message = "rocm".parse::<EngineKind>().unwrap_err().to_string();
    assert!(message.starts_with("engine: 'rocm' is not allowed, expected tract, ort-cpu"), "{message}");
}

#[test]
fn what_can_run_here_has_run() {
    let report = avdit_runtime::doctor::examine(None);
    let usable = report.engines.iter().filter(|e| e.usable).map(|e| e.engine);
    let without_gpu: Vec<_> = usable.filter(|engine| EngineKind::ON_CPU.contains(engine)).collect();
    assert_eq!(without_gpu, engines(), "{report:#?}");
    assert!(report.engines.iter().all(|e| e.usable == e.problem.is_none() && e.usable == e.remedy.is_none()));
    assert!(report.machine.threads > 0 && !report.machine.cpu.is_empty());
    assert_eq!(report.gpu.devices.is_empty(), report.gpu.problem.is_some());
}

#[test]
fn a_profile_is_written_where_it_was_asked_for_and_once() {
    let (folder, place) = (model(), tempfile::tempdir().unwrap());
    for kind in engines() {
        let options = EngineOptions { profile: Some(place.path().join("ort")), ..one_thread() };
        let mut engine = open(folder.path(), kind, &options).unwrap();
        let noisy = latents(engine.spec(), 1);
        predict(engine.as_mut(), &noisy, &levels(1));
        let file = engine.finish_profile().unwrap().unwrap();
        let text = std::fs::read_to_string(&file).unwrap();
        let names_nodes = text.contains("CPUExecutionProvider") || kind == EngineKind::Tract;
        assert!(file.starts_with(place.path()) && names_nodes && text.contains("blocks.1"), "{text}");
        assert_eq!(engine.finish_profile().unwrap(), None);
        assert_eq!(open(folder.path(), kind, &one_thread()).unwrap().finish_profile().unwrap(), None);
    }
}

#[test]
fn an_engine_that_cannot_run_here_says_why_and_what_to_do() {
    if !engines().contains(&EngineKind::OrtCpu) {
        return;
    }
    let folder = model();
    for kind in [EngineKind::OrtCuda, EngineKind::OrtTensorRt] {
        for allow_fallback in [false, true] {
            let options = EngineOptions { allow_fallback, ..one_thread() };
            match open(folder.path(), kind, &options) {
                Ok(engine) => assert!(!engine.facts().placement[0].device.starts_with("CPU")),
                // There is a GPU, but no engine was built.
                Err(Error::NoEngine { .. }) if kind == EngineKind::OrtTensorRt => {}
                Err(Error::Provider { engine, reason, remedy }) => {
                    assert_eq!(engine, kind.name());
                    assert!(!reason.is_empty() && !reason.contains("[ONNXRuntimeError]"), "{reason}");
                    assert!(remedy.contains("--engine ort-cpu") || remedy.contains("or ort-cpu"), "{remedy}");
                }
                Err(other) => panic!("{kind}: {other}"),
            }
        }
    }
    for kind in [EngineKind::OrtCuda, EngineKind::OrtTensorRt] {
        let mut options = one_thread();
        (options.cuda.graph, options.tensorrt.graph) = (true, true);
        let Err(error) = open(folder.path(), kind, &options) else { panic!("{kind} replays a prediction") };
        assert!(error.to_string().contains("--fused-step"), "{error}");
    }
    let Err(error) = open(folder.path(), EngineKind::Candle, &one_thread()) else { panic!("candle opened") };
    assert!(error.to_string().contains("opened through the trainer"), "{error}");
}
