//! An image network, and adapters that learn on it while it stays as it is.

use crate::made_up::{MadeUp, config};
use avdit_nets::NetworkConfig;
use avdit_nets::av_dit::{FusionForm, Parts};
use avdit_trainer::checkpoint::Values;
use avdit_trainer::{Base, Checkpoint, StartOptions, StepMetrics, TrainConfig, train};
use std::path::{Path, PathBuf};

/// Sound of a length that can be cut into patches.
fn clips() -> MadeUp {
    let text = r#"{"video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"channels":4,"segments":[2,4]}}"#;
    MadeUp { layout: serde_json::from_str(text).unwrap(), bad: None }
}

fn run(config: &TrainConfig, resume: bool, until: Option<usize>) -> (PathBuf, Vec<f64>) {
    let mut losses = Vec::new();
    let mut push = |step: &StepMetrics| losses.push(step.loss);
    let start = StartOptions { resume, until, ..StartOptions::default() };
    let outcome = train(config, &clips(), start, &mut push, &|| false).unwrap();
    (outcome.checkpoint, losses)
}

fn of(out: &Path, steps: usize, model: &str) -> TrainConfig {
    let mut config = config(out, steps);
    config.model = toml::from_str(model).unwrap();
    config.objective = toml::from_str("").unwrap();
    config
}

fn pictures(folder: &Path) -> PathBuf {
    let out = folder.join("pictures");
    let settings = "architecture = 'dit'\nwidth = 16\ndepth = 2\nheads = 2\npatch = 2";
    run(&of(&out, 30, settings), false, None);
    out
}

fn adapters(folder: &Path, name: &str, steps: usize, more: &str) -> TrainConfig {
    let base = folder.join("pictures");
    let settings = format!("architecture = 'av-dit'\nbase = '{}'\n[adapters]\n{more}", base.display());
    of(&folder.join(name), steps, &settings)
}

#[test]
fn adapters_learn_and_their_checkpoint_holds_them_alone_and_the_base_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let base = pictures(folder.path());
    let file = Base::open(&base).unwrap().weights.path().to_owned();
    let before = std::fs::read(&file).unwrap();
    let (checkpoint, losses) = run(&adapters(folder.path(), "all", 120, ""), false, None);
    let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
    assert!(mean(&losses[100..]) < 0.8 * mean(&losses[..20]), "{losses:?}");
    assert!(std::fs::read(&file).unwrap() == before);

    let (saved, weights) = Checkpoint::open_values(&checkpoint, Values::Raw).unwrap();
    let NetworkConfig::AvDit(network) = &saved.network else { panic!("{:?}", saved.network) };
    assert_eq!((network.audio_rank, network.audio.segments.as_slice()), (1, [1, 2].as_slice()));
    let trained = saved.network.trained_parameters();
    let mut expected: Vec<String> = trained.into_iter().map(|parameter| parameter.name).collect();
    expected.sort();
    assert_eq!(weights.names(), expected);
    assert!(!expected.iter().any(|name| name == "blocks.0.attn.qkv.weight"));

    // Another base under the same name is refused.
    let mut other = before;
    *other.last_mut().unwrap() ^= 1;
    std::fs::write(&file, other).unwrap();
    let error = Base::of(saved.base.as_ref().unwrap()).err().unwrap().to_string();
    assert!(error.contains(&saved.base.unwrap().weights_sha256), "{error}");
}

#[test]
fn a_run_of_adapters_that_is_resumed_has_the_bits_of_one_that_never_stopped() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    let (whole, losses) = run(&adapters(folder.path(), "whole", 12, ""), false, None);
    let parts = adapters(folder.path(), "parts", 12, "");
    let first = run(&parts, false, Some(7)).1;
    let (resumed, second) = run(&parts, true, None);
    assert!([first, second].concat() == losses);
    for file in ["model.safetensors", "ema.safetensors", "optimizer.safetensors"] {
        let read = |checkpoint: &Path| std::fs::read(checkpoint.join(file)).unwrap();
        assert!(read(&whole) == read(&resumed), "{file}");
    }
}

/// Those of Tables 2, 3 and 7 that are settings of the adapters; another backbone is another base.
#[test]
fn the_papers_ablations_train() {
    let folder = tempfile::tempdir().unwrap();
    pictures(folder.path());
    for (name, settings) in [
        ("without temporal adapter", "temporal = false"),
        ("without audio FFN adapter", "audio_adapter = false"),
        ("without audio LoRA", "audio_lora = false"),
        ("without both", "audio_adapter = false\naudio_lora = false"),
        ("without fusion", "fusion = false"),
        ("without fusion LoRA", "fusion_form = 'frozen'"),
        ("cross-attention fusion", "fusion_form = 'cross'"),
        ("ratios 2, 2, 2", "temporal_ratio = 2"),
        ("ratios 4, 2, 2", "temporal_ratio = 4"),
    ] {
        let config = adapters(folder.path(), name, 60, settings);
        let (checkpoint, losses) = run(&config, false, None);
        let mean = |losses: &[f64]| losses.iter().sum::<f64>() / losses.len() as f64;
        assert!(mean(&losses[50..]) < 0.9 * mean(&losses[..10]), "{name}: {losses:?}");
        // What began at zero has moved, and the configuration is what was asked for.
        let (saved, weights) = Checkpoint::open_values(&checkpoint, Values::Raw).unwrap();
        let NetworkConfig::AvDit(network) = &saved.network else { panic!("{:?}", saved.network) };
        for parameter in network.marked_parameters().iter().filter(|(_, trained)| *trained) {
            let values = weights.load(&parameter.0.name).unwrap();
            assert!(values.iter().any(|x| *x != 0.0), "{name}: {}", parameter.0.name);
        }
        let said = |setting: &str| settings.contains(setting);
        let form = match () {
            () if said("'frozen'") => FusionForm::Frozen,
            () if said("'cross'") => FusionForm::Cross,
            () => FusionForm::Lora,
        };
        let ratio = settings.strip_prefix("temporal_ratio = ").map_or(8, |ratio| ratio.parse().unwrap());
        assert_eq!((network.fusion_form, network.temporal_ratio), (form, ratio), "{name}");
        let parts = Parts {
            temporal: !said("temporal = false"),
            audio_lora: !said("audio_lora = false"),
            fusion: !said("fusion = false"),
            audio_adapter: !said("audio_adapter = false"),
        };
        assert_eq!(network.parts, parts, "{name}");
    }
}

#[test]
fn every_part_can_be_left_out_and_what_does_not_belong_to_a_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let base = pictures(folder.path());
    for part in ["temporal", "audio_lora", "fusion", "audio_adapter"] {
        let config = adapters(folder.path(), part, 2, &format!("{part} = false\nfusion_rank = 2"));
        let checkpoint = run(&config, false, None).0;
        let (_, weights) = Checkpoint::open_values(&checkpoint, Values::Ema).unwrap();
        assert!(!weights.names().iter().any(|name| name.contains(&format!(".{part}"))), "{part}");
    }
    let base = format!("base = '{}'\n", base.display());
    for (settings, named) in [
        ("architecture = 'av-dit'", "model.base is absent"),
        (&format!("{base}width = 16"), "model.base is set"),
        (&format!("architecture = 'av-dit'\n{base}width = 16"), "model.width is set"),
        ("architecture = 'dit'\nqk_norm = true", "model.qk_norm is set"),
        (
            &format!("architecture = 'av-dit'\n{base}[adapters]\naudio_bins = 3"),
            "audio_bins is 3, expected a divisor",
        ),
        (
            &format!("architecture = 'av-dit'\n{base}[adapters]\nfusion_ratio = 4"),
            "model.adapters.fusion_ratio is 4, expected absent",
        ),
        (
            &format!("architecture = 'av-dit'\n{base}[adapters]\nfusion = false\nfusion_form = 'cross'"),
            "model.adapters.fusion_form is cross, expected absent",
        ),
    ] {
        let config = of(&folder.path().join("refused"), 2, settings);
        let mut push = |_: &StepMetrics| {};
        let error = train(&config, &clips(), StartOptions::default(), &mut push, &|| false).unwrap_err();
        assert!(error.to_string().contains(named), "{error}");
    }
    let mut config = adapters(folder.path(), "refused", 2, "");
    config.objective = toml::from_str("target = 'flow'\nschedule = 'flow'").unwrap();
    let mut push = |_: &StepMetrics| {};
    let error = train(&config, &clips(), StartOptions::default(), &mut push, &|| false).unwrap_err();
    assert!(error.to_string().contains("betas of a posterior"), "{error}");
}
