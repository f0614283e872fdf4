//! Every target, schedule, weighting and strategy trains.

use crate::made_up::{MadeUp, config};
use avdit_trainer::{Result, StartOptions, StepMetrics, TrainConfig, train};

const STEPS: usize = 4;

fn losses(objective: &str) -> Result<Vec<f64>> {
    let folder = tempfile::tempdir().unwrap();
    let base = config(folder.path(), STEPS);
    let mut table: toml::Table = base.to_toml().unwrap().parse().unwrap();
    table.insert("objective".into(), objective.parse::<toml::Table>().unwrap().into());
    let config = TrainConfig::parse(&toml::to_string(&table).unwrap(), "test.toml".as_ref())?;
    let mut losses = Vec::new();
    let mut push = |step: &StepMetrics| losses.push(step.loss);
    train(&config, &MadeUp::new(), StartOptions::default(), &mut push, &|| false)?;
    Ok(losses)
}

fn assert_trains(objective: &str) {
    let losses = losses(objective).unwrap_or_else(|error| panic!("{objective}: {error}"));
    let sound = losses.len() == STEPS && losses.iter().all(|loss| loss.is_finite() && *loss > 0.0);
    assert!(sound, "{objective}: {losses:?}");
}

#[test]
fn every_target_trains_on_every_schedule_with_every_weighting() {
    for target in ["epsilon", "v", "x0", "flow"] {
        for schedule in ["linear", "cosine", "scaled_linear", "flow"] {
            for weighting in ["uniform", "min-snr"] {
                let text =
                    format!("target = '{target}'\nschedule = '{schedule}'\nweighting = '{weighting}'\n");
                if (target, schedule) == ("epsilon", "flow") {
                    let refused = losses(&text).unwrap_err().to_string();
                    assert!(refused.contains("objective.target is epsilon"), "{refused}");
                } else {
                    assert_trains(&text);
                }
            }
        }
    }
}

#[test]
fn every_strategy_trains_with_weights_and_for_any_task() {
    for strategy in ["monl", "vanilla", "per-modality", "per-segment", "per-segment-and-modality"] {
        assert_trains(&format!("target = 'v'\nstrategy = '{strategy}'\nclean_fraction = 0.2\n"));
    }
    assert_trains("target = 'v'\nstrategy = 'monl'\nmonl_weights = [0, 1, 1, 2]\n");
    for task in ["joint", "a2v", "v2a", "continue", "continue:1", "video:0", "video:1;audio:0", "audio:all"] {
        assert_trains(&format!("target = 'v'\nstrategy = 'conditional'\ntask = '{task}'\n"));
    }
    for (task, said) in [("inpaint", "all given"), ("video:2", "'2'"), ("dub", "'dub'")] {
        let objective = format!("target = 'v'\nstrategy = 'conditional'\ntask = '{task}'\n");
        let refused = losses(&objective).unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn weights_of_modalities_and_gamma_scale_the_loss() {
    let first = |objective: &str| losses(&format!("target = 'v'\n{objective}")).unwrap()[0];
    let (video, audio) = (first("audio_weight = 0"), first("video_weight = 0"));
    let both = first("video_weight = 2\naudio_weight = 0.5");
    assert!((both - 2.0 * video - 0.5 * audio).abs() < 1e-5 * both, "{video} {audio} {both}");
    let gamma = |gamma: &str| first(&format!("weighting = 'min-snr'\nsnr_gamma = {gamma}"));
    assert!(gamma("0.5") < gamma("5") && gamma("5") < gamma("50"));
    let refused = losses("video_weight = 0\naudio_weight = 0").unwrap_err().to_string();
    assert!(refused.contains("objective.video_weight is 0"), "{refused}");
}
