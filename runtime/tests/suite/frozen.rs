//! Graphs whose modulation was computed beforehand for the levels of a schedule.

use crate::support::{engines, exported, latents, one_thread};
use avdit_core::{FrozenSchedule, Latents, Levels, SampleRequest};
use avdit_export::{Cases, ExportOptions, Tolerance, validate_levels};
use avdit_runtime::{open, sample_timed};

fn frozen() -> ExportOptions {
    ExportOptions { freeze: Some(20), ..ExportOptions::default() }
}

#[test]
fn at_every_level_of_the_schedule_the_prediction_is_the_same() {
    let (plain, folder) = (exported(&ExportOptions::default()), exported(&frozen()));
    let schedule = FrozenSchedule::new(20, 1000).unwrap();
    for kind in engines() {
        let mut reference = open(plain.path(), kind, &one_thread()).unwrap();
        let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
        assert_eq!(engine.facts().graph.frozen.as_ref(), Some(&schedule));
        for batch in [1, 3] {
            // Both sides round, each within SAME_MATH of the exact network: 2.03e-5 was measured.
            let tolerance = Tolerance { relative: 2.0 * Tolerance::SAME_MATH.relative };
            let levels = Some(schedule.levels.as_slice());
            let cases = Cases { count: 21, seed: 3, batch, levels };
            let report = validate_levels(reference.as_mut(), engine.as_mut(), &cases, tolerance).unwrap();
            assert!(report.passed, "{kind} {:?}", report.worst());
        }
        // Every row of the table, in every cell.
        let noisy = latents(engine.spec(), 1);
        for i in 0..schedule.levels.len() {
            let level = |cell: usize| schedule.levels[(i + 5 * cell) % schedule.levels.len()];
            let levels = Levels::from_rows(&[(0..4).map(level).collect()]);
            let mut out = [0, 1].map(|_| Latents::zeros(&engine.spec().layout, 1));
            reference.predict(&noisy, &levels, &mut out[0]).unwrap();
            engine.predict(&noisy, &levels, &mut out[1]).unwrap();
            assert!(crate::support::relative(&out[0].video, &out[1].video) < 2e-5, "{kind} row {i}");
            assert!(crate::support::relative(&out[0].audio, &out[1].audio) < 2e-5, "{kind} row {i}");
        }
    }
}

#[test]
fn a_level_off_the_schedule_is_refused_before_anything_runs() {
    for options in [frozen(), ExportOptions { step: Some(avdit_core::sampler::StepForm::EVERY), ..frozen() }]
    {
        let folder = exported(&options);
        for kind in engines() {
            let mut engine = open(folder.path(), kind, &one_thread()).unwrap();
            let sample = |engine: &mut dyn avdit_runtime::Engine, steps| {
                let request = SampleRequest { steps, ..SampleRequest::new(2) };
                sample_timed(engine, &request, None, &mut |_| {}).map(drop).map_err(|error| error.to_string())
            };
            assert_eq!(sample(engine.as_mut(), 20), Ok(()));
            // Half as many steps visit every other level.
            assert_eq!(sample(engine.as_mut(), 10), Ok(()));
            assert_eq!(
                sample(engine.as_mut(), 30).unwrap_err(),
                "level of video cell 0: 967 is not allowed, expected one of the 20-step schedule that the graph was \
                 frozen for (sample with --steps 20, or export without --freeze-schedule)"
            );
        }
    }
}

#[test]
fn the_weights_of_adaln_are_not_in_the_graph() {
    let bytes = |options: &ExportOptions| {
        let folder = exported(options);
        let model = avdit_onnx::Model::read(folder.path().join("model.onnx")).unwrap();
        let names: Vec<_> = model.graph().initializer.iter().map(|tensor| tensor.name().to_owned()).collect();
        (model.data_bytes(), names)
    };
    let few = ExportOptions { freeze: Some(2), ..ExportOptions::default() };
    let ((plain, _), (frozen, names)) = (bytes(&ExportOptions::default()), bytes(&few));
    assert!(frozen < plain, "{frozen} {plain}");
    assert!(!names.iter().any(|name| name.contains("adaLN") || name.contains("t_embedder")), "{names:?}");
    assert!(names.contains(&"blocks.1.modulation.mlp_gate".to_owned()), "{names:?}");
}

#[test]
fn a_schedule_that_is_none_is_an_unsound_configuration() {
    let folder = exported(&frozen());
    let path = folder.path().join("config.json");
    let text = std::fs::read_to_string(&path).unwrap().replace("1000.0", "940.0");
    std::fs::write(&path, text).unwrap();
    for kind in engines() {
        let Err(error) = open(folder.path(), kind, &one_thread()) else { panic!("{kind} opened it") };
        assert!(error.to_string().contains("levels of the frozen schedule"), "{error}");
    }
}
