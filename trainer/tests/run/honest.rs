//! What a run says when something is wrong, and how it looks for it.

use crate::made_up::{MadeUp, config};
use avdit_core::ScheduleKind;
use avdit_media::tensors::TensorFile;
use avdit_trainer::audit::GRADIENTS_FILE;
use avdit_trainer::config::StrategyName;
use avdit_trainer::failure::BAD_BATCH_FILE;
use avdit_trainer::objective::Weighting;
use avdit_trainer::{Error, Result, StartOptions, StepMetrics, TrainConfig, train};
use serde_json::Value;

fn run(config: &TrainConfig, examples: &MadeUp) -> Result<avdit_trainer::train::Outcome> {
    train(config, examples, StartOptions::default(), &mut |_: &StepMetrics| {}, &|| false)
}

#[test]
fn numbers_that_are_not_finite_stop_the_run_name_the_clip_and_keep_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    let examples = MadeUp { bad: Some(2), ..MadeUp::new() };
    let mut config = config(folder.path(), 10);
    config.run.checkpoint_every = 1;
    // Every cell is noisy, so that the clip spoils the first batch that it is in.
    config.objective.strategy = StrategyName::Vanilla;
    let error = run(&config, &examples).unwrap_err();
    let text = error.to_string();
    let Error::NotFinite { step, examples, parameters, kept, .. } = error else { panic!("{text}") };
    assert!(step <= 2 && examples.contains("example 2 (clip 2), levels of video ["), "{text}");
    assert!(examples.starts_with("1 of 4 examples"), "{text}");
    assert!(parameters.contains("parameters have a gradient that is not finite: video_embed"), "{text}");
    assert!(kept.contains(BAD_BATCH_FILE), "{text}");
    match step {
        1 => assert!(kept.contains("no checkpoint had been made"), "{text}"),
        _ => assert!(kept.contains("step-000001"), "{text}"),
    }
    let batch = TensorFile::read(&folder.path().join(BAD_BATCH_FILE)).unwrap();
    assert_eq!(batch.shape("noisy.video").unwrap(), [4, 3, 2, 2, 2]);
    assert_eq!(batch.shape("levels.audio").unwrap(), [4, 2]);
    assert!(batch.meta("examples").unwrap().contains("clip 2"));
    let (_, audio) = batch.tensor("noisy.audio").unwrap();
    assert!(audio.iter().any(|x| !x.is_finite()));
}

#[test]
fn the_audit_of_the_first_steps_knows_which_gradients_are_zero_and_that_all_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    type Change = fn(&mut TrainConfig);
    let variants: [(&str, Change); 6] = [
        ("plain", |_| {}),
        ("low rank", |config| config.model.adaln_rank = Some(4)),
        ("no norm of queries and keys", |config| config.model.qk_norm = Some(false)),
        ("deeper", |config| config.model.depth = Some(3)),
        ("task", |config| {
            config.objective.strategy = StrategyName::Conditional;
            config.objective.task = Some("a2v".into());
        }),
        ("one example", |config| config.run.batch = 1),
    ];
    for (name, set) in variants {
        let mut config = config(&folder.path().join(name), 8);
        set(&mut config);
        run(&config, &MadeUp::new()).unwrap();
        let path = config.out.join(GRADIENTS_FILE);
        let table: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let steps = table["steps"].as_array().unwrap();
        for entry in steps.iter().flat_map(|step| step["parameters"].as_array().unwrap()) {
            let zero = entry["gradient_norm"].as_f64().unwrap() == 0.0;
            assert_eq!(zero, entry["expected_zero"].as_bool().unwrap(), "{name}: {entry}");
        }
        let expected_zero = |step: &Value| -> Vec<String> {
            let rows = step["parameters"].as_array().unwrap().iter();
            let zero = rows.filter(|row| row["expected_zero"] == true);
            zero.map(|row| row["name"].as_str().unwrap().to_owned()).collect()
        };
        // At first only the last layers get one, in the end everything that is in the loss.
        assert!(expected_zero(&steps[0]).contains(&"blocks.0.attn.qkv.weight".to_owned()), "{name}");
        let left = expected_zero(steps.last().unwrap());
        let never = if name == "task" { vec!["final_audio"] } else { vec![] };
        let explained =
            |zero: &String| name == "one example" || never.iter().any(|prefix| zero.starts_with(prefix));
        assert!(left.iter().all(explained), "{name}: {left:?}");
        assert!(steps.len() >= 3 && (name == "one example" || steps.len() == 3), "{name}: {}", steps.len());
    }
}

#[test]
fn the_audit_asks_for_no_gradient_of_cells_that_weigh_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // min-SNR weighs a cell of pure noise by 0, and of two levels above 0 one is pure noise.
    for seed in 0..6 {
        let mut config = config(&folder.path().join(seed.to_string()), 8);
        (config.seed, config.run.batch) = (seed, 1);
        let objective = &mut config.objective;
        (objective.schedule, objective.timesteps) = (ScheduleKind::Flow, 2);
        (objective.weighting, objective.strategy) = (Weighting::MinSnr, StrategyName::Vanilla);
        run(&config, &MadeUp::new()).unwrap();
    }
}

#[test]
fn one_batch_is_learnt_by_heart() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 250);
    (config.run.overfit_one_batch, config.optimizer.lr, config.model.width) = (true, 1e-2, Some(32));
    let overfit = run(&config, &MadeUp::new()).unwrap().overfit.unwrap();
    assert!(overfit.learnt(), "{overfit:?}");
    config.run.overfit_one_batch = false;
    let resumed = StartOptions { resume: true, ..StartOptions::default() };
    let refused = train(&config, &MadeUp::new(), resumed, &mut |_: &StepMetrics| {}, &|| false);
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("run.overfit_one_batch: checkpoint has true"), "{message}");
}
