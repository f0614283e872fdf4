//! What is told of a step, and to whom.

use crate::made_up::{MadeUp, config};
use avdit_core::{Denoiser, Latents, Levels};
use avdit_trainer::config::StrategyName;
use avdit_trainer::{
    CandleDenoiser, Checkpoint, Observer, Result, RunFacts, StartOptions, StepMetrics, TrainConfig, train,
};
use std::path::{Path, PathBuf};

fn steps_of(config: &TrainConfig) -> Vec<StepMetrics> {
    let mut steps = Vec::new();
    let mut push = |step: &StepMetrics| steps.push(step.clone());
    train(config, &MadeUp::new(), StartOptions::default(), &mut push, &|| false).unwrap();
    let lines = std::fs::read_to_string(config.out.join("metrics.jsonl")).unwrap();
    let lines: Vec<StepMetrics> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines == steps, "the log is what was told");
    steps
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-5 * b.abs()
}

#[test]
fn a_strategys_loss_is_the_loss_where_there_is_no_other() {
    for name in ["uniform", "min-snr"] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config(folder.path(), 3);
        config.objective.strategy = StrategyName::PerSegment;
        config.objective.weighting = serde_json::from_value(name.into()).unwrap();
        (config.objective.video_weight, config.objective.audio_weight) = (0.5, 2.0);
        for step in steps_of(&config) {
            assert_eq!(step.by_strategy.keys().collect::<Vec<_>>(), ["per-segment"]);
            let only = step.by_strategy["per-segment"];
            assert!(only.examples == 4 && close(only.loss, step.loss), "{name}: {step:?}");
            assert!(close(step.loss_video + step.loss_audio, step.loss));
        }
    }
}

#[test]
fn the_errors_of_the_cells_are_told_by_level() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 40);
    (config.objective.strategy, config.run.batch) = (StrategyName::Vanilla, 1);
    let mut seen = [false; 10];
    for step in steps_of(&config) {
        // One example, one level: the errors of one bin are the loss.
        let filled: Vec<usize> = (0..10).filter(|&i| step.by_level_bin[i].cells > 0).collect();
        let [bin] = filled[..] else { panic!("{step:?}") };
        let found = step.by_level_bin[bin];
        assert_eq!((found.cells, found.low, found.high), (4, 100.0 * bin as f64, 100.0 * (bin + 1) as f64));
        assert!(close(found.video.unwrap(), step.loss_video), "{step:?}");
        assert!(close(found.audio.unwrap(), step.loss_audio), "{step:?}");
        assert!(step.by_level_bin.iter().all(|other| other.cells > 0 || other.video.is_none()));
        seen[bin] = true;
    }
    assert!(seen.iter().filter(|&&seen| seen).count() > 5);
}

#[test]
fn the_rate_is_that_of_three_forward_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 3);
    config.run.measure_matmul = true;
    let mut watcher = Watcher::default();
    train(&config, &MadeUp::new(), StartOptions::default(), &mut watcher, &|| false).unwrap();
    let facts = watcher.facts.unwrap();
    let machine = facts.matmul_gflops.unwrap();
    assert!(machine > 0.0 && facts.step == 0 && facts.steps == 3 && facts.parameters > 0);
    for step in watcher.steps {
        let operations = 6.0 * 4.0 * facts.multiply_adds as f64;
        assert!(close(step.gflops * step.step_ms * 1e6, operations), "{step:?}");
        assert!(close(step.share.unwrap() * machine, step.gflops) && step.wait_ms <= step.step_ms);
        assert!(close(step.steps_per_s * step.step_ms, 1e3));
    }
}

#[derive(Default)]
struct Watcher {
    facts: Option<RunFacts>,
    steps: Vec<StepMetrics>,
    samples: Vec<(usize, Latents)>,
    checkpoints: Vec<(usize, PathBuf)>,
}

fn predicted(denoiser: &mut CandleDenoiser) -> Latents {
    let layout = denoiser.spec().layout.clone();
    let (mut out, ones) = (Latents::zeros(&layout, 1), Latents::zeros(&layout, 1));
    let levels = Levels::from_rows(&[vec![500.0; layout.cells()]]);
    denoiser.predict(&ones, &levels, &mut out).unwrap();
    out
}

impl Observer for Watcher {
    fn start(&mut self, facts: &RunFacts) -> Result<()> {
        self.facts = Some(facts.clone());
        Ok(())
    }

    fn step(&mut self, metrics: &StepMetrics) -> Result<()> {
        self.steps.push(metrics.clone());
        Ok(())
    }

    fn sample(&mut self, step: usize, denoiser: &mut CandleDenoiser) -> Result<()> {
        self.samples.push((step, predicted(denoiser)));
        Ok(())
    }

    fn checkpoint(&mut self, step: usize, folder: &Path) -> Result<()> {
        self.checkpoints.push((step, folder.to_owned()));
        Ok(())
    }
}

#[test]
fn an_observer_samples_from_the_moving_average_and_sees_every_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 10);
    (config.run.sample_every, config.run.checkpoint_every) = (4, 4);
    let mut watcher = Watcher::default();
    train(&config, &MadeUp::new(), StartOptions::default(), &mut watcher, &|| false).unwrap();
    assert_eq!(watcher.steps.len(), 10);
    assert_eq!(watcher.samples.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [4, 8]);
    assert_eq!(watcher.checkpoints.iter().map(|(step, _)| *step).collect::<Vec<_>>(), [4, 8, 10]);
    let saved = Checkpoint::read(&watcher.checkpoints[1].1).unwrap();
    let again = |weights| {
        let spec = saved.config.spec.clone();
        predicted(&mut CandleDenoiser::new(&saved.config.network, weights, spec).unwrap())
    };
    assert!(again(&saved.ema) == watcher.samples[1].1 && again(&saved.weights) != watcher.samples[1].1);
}

#[test]
fn an_observers_error_stops_the_run() {
    struct Full;
    impl Observer for Full {
        fn step(&mut self, _: &StepMetrics) -> Result<()> {
            Err(avdit_trainer::Error::Config("no room for a picture".into()))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let stopped =
        train(&config(folder.path(), 5), &MadeUp::new(), StartOptions::default(), &mut Full, &|| false);
    assert!(stopped.unwrap_err().to_string().contains("no room for a picture"));
}
