//! What must not change a bit of a run, and what a run keeps.

use crate::made_up::{MadeUp, config};
use avdit_trainer::checkpoint::{LATEST_FILE, Values, clean, list};
use avdit_trainer::{Checkpoint, StartOptions, StepMetrics, TrainConfig, train};
use std::path::Path;

/// The losses of a run and all that its last checkpoint holds of it, as bytes.
fn bits(config: &TrainConfig) -> (Vec<f64>, Vec<Vec<u8>>) {
    let mut losses = Vec::new();
    let mut push = |step: &StepMetrics| losses.push(step.loss);
    let outcome = train(config, &MadeUp::new(), StartOptions::default(), &mut push, &|| false).unwrap();
    let files = ["model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"];
    let read = |file| std::fs::read(outcome.checkpoint.join(file)).unwrap();
    (losses, files.map(read).to_vec())
}

#[test]
fn threads_batches_ahead_and_checkpoints_by_the_clock_do_not_change_the_bits() {
    let folder = tempfile::tempdir().unwrap();
    let variant = |name: &str, threads: usize, set: &dyn Fn(&mut TrainConfig)| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let mut config = config(&folder.path().join(name), 12);
        config.run.chunk = 1;
        set(&mut config);
        pool.install(|| bits(&config))
    };
    let expected = variant("one thread", 1, &|config| config.run.prefetch = 0);
    assert!(variant("three threads", 3, &|_| {}) == expected);
    for (prefetch, loaders) in [(1, 1), (2, 1), (3, 2), (5, 4), (1, 3), (4096, 1)] {
        let got = variant(&format!("{prefetch} {loaders}"), 2, &|config| {
            (config.run.prefetch, config.run.loaders) = (prefetch, loaders);
        });
        assert!(got == expected, "{prefetch} batches ahead on {loaders} threads");
    }
    let clock = variant("clock", 2, &|config| {
        (config.run.checkpoint_minutes, config.run.sample_every) = (1e-9, 5);
    });
    assert!(clock == expected, "checkpoints after every step, samples every five");
}

#[test]
fn checkpoints_of_every_so_many_steps_stay_and_the_newest_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 23);
    (config.run.checkpoint_every, config.run.keep_every, config.run.keep_last) = (5, 8, 1);
    bits(&config);
    let names = |folder: &Path| -> Vec<String> {
        list(folder).unwrap().iter().map(|path| path.file_name().unwrap().to_str().unwrap().into()).collect()
    };
    assert_eq!(names(folder.path()), ["step-000008", "step-000016", "step-000023"]);
    let checkpoints = folder.path().join("checkpoints");
    let latest = || std::fs::read_to_string(checkpoints.join(LATEST_FILE)).unwrap();
    assert_eq!(latest(), "step-000023\n");

    // What a process leaves that is killed while it writes, removes or replaces a checkpoint.
    for name in [".step-000024.part", ".step-000005.gone", ".step-000016.old"] {
        std::fs::create_dir(checkpoints.join(name)).unwrap();
    }
    std::fs::rename(checkpoints.join("step-000023"), checkpoints.join(".step-000023.old")).unwrap();
    std::fs::write(checkpoints.join(LATEST_FILE), "step-000016\n").unwrap();
    clean(folder.path()).unwrap();
    assert_eq!(names(folder.path()), ["step-000008", "step-000016", "step-000023"]);
    assert_eq!((latest().as_str(), std::fs::read_dir(&checkpoints).unwrap().count()), ("step-000023\n", 4));
}

#[test]
fn several_moving_averages_are_kept_and_the_first_is_the_one_of_a_run_that_has_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let run = |name: &str, decays: &str| {
        let mut config = config(&folder.path().join(name), 6);
        config.optimizer.ema_decay = serde_json::from_str(decays).unwrap();
        train(&config, &MadeUp::new(), StartOptions::default(), &mut |_: &StepMetrics| {}, &|| false)
            .unwrap()
            .checkpoint
    };
    let (one, other) = (run("one", "0.9"), run("other", "0.5"));
    let both = run("both", "[0.9, 0.5]");
    let read = |folder: &Path, file: &str| std::fs::read(folder.join(file)).unwrap();
    assert!(read(&both, "ema.safetensors") == read(&one, "ema.safetensors"));
    assert!(read(&both, "ema-0.5.safetensors") == read(&other, "ema.safetensors"));
    assert!(!one.join("ema-0.9.safetensors").exists());

    let values = |values| {
        let (_, file) = Checkpoint::open_values(&both, values).unwrap();
        file.load("video_embed.weight").unwrap()
    };
    assert_eq!(values(Values::Ema), values(Values::EmaOf(0.9)));
    assert_ne!(values(Values::EmaOf(0.5)), values(Values::Ema));
    assert_ne!(values(Values::EmaOf(0.5)), values(Values::Raw));
    let refused = Checkpoint::open_values(&both, Values::EmaOf(0.99)).err().unwrap().to_string();
    assert!(refused.contains("decay 0.99") && refused.contains("[0.9, 0.5]"), "{refused}");

    // A run goes on with all of them.
    let mut config = config(&folder.path().join("halves"), 6);
    config.optimizer.ema_decay = serde_json::from_str("[0.9, 0.5]").unwrap();
    for (resume, until) in [(false, 3), (true, 6)] {
        let start = StartOptions { resume, until: Some(until), ..StartOptions::default() };
        train(&config, &MadeUp::new(), start, &mut |_: &StepMetrics| {}, &|| false).unwrap();
    }
    let halves = folder.path().join("halves/checkpoints/step-000006");
    for file in ["ema.safetensors", "ema-0.5.safetensors"] {
        assert!(read(&halves, file) == read(&both, file), "{file}");
    }
}

#[test]
fn weight_decay_can_leave_biases_and_norms_alone() {
    let folder = tempfile::tempdir().unwrap();
    // With gradients clipped to almost nothing, decay alone moves a parameter.
    let weights = |name: &str, decay: &str| {
        let mut config = config(&folder.path().join(name), 3);
        (config.optimizer.lr, config.optimizer.weight_decay) = (0.1, 1.0);
        (config.optimizer.clip_norm, config.optimizer.eps) = (1e-6, 1.0);
        config.optimizer.decay = serde_json::from_str(decay).unwrap();
        let start = StartOptions::default();
        let outcome = train(&config, &MadeUp::new(), start, &mut |_: &StepMetrics| {}, &|| false).unwrap();
        Checkpoint::read(&outcome.checkpoint).unwrap().weights
    };
    let (all, matrices) = (weights("all", "\"all\""), weights("matrices", "\"matrices\""));
    for name in ["blocks.0.attn.q_norm.weight", "blocks.0.attn.k_norm.weight"] {
        assert!(matrices[name].iter().all(|&x| (x - 1.0).abs() < 1e-6), "{name}");
        assert!(all[name].iter().all(|&x| x < 0.95), "{name}");
    }
    let name = "blocks.0.attn.qkv.weight";
    assert!(all[name].iter().zip(&matrices[name]).all(|(a, b)| (a - b).abs() < 1e-5), "{name}");
}
