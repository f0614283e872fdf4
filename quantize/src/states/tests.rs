use super::*;
use avdit_core::{AudioLayout, Layout, ScheduleKind, Target, VideoLayout};

fn spec() -> DenoiserSpec {
    let video = VideoLayout { frames: 2, channels: 1, height: 1, width: 1, segments: vec![1, 1] };
    let audio = AudioLayout { frames: 3, channels: 1, segments: vec![1, 2] };
    let layout = Layout::new(video, audio).unwrap();
    DenoiserSpec { layout, target: Target::V, schedule: ScheduleKind::Cosine, timesteps: 1000 }
}

/// The levels of the states that a stratum keeps of a video whose levels are offered one after another.
fn kept(most: usize, offered: &[(&str, f32)]) -> Vec<(String, f32)> {
    let spec = spec();
    let mut reservoir = Reservoir { most, states: BTreeMap::new() };
    let none = Latents::zeros(&spec.layout, 1);
    for (task, level) in offered {
        let levels = Levels { video: vec![*level; 2], audio: vec![900.0; 2] };
        reservoir.offer(none.clone(), levels, none.clone(), task, &spec);
    }
    let states = reservoir.into_states().into_iter();
    states.map(|state| (state.task.clone(), state.levels.video[0])).collect()
}

#[test]
fn a_stratum_keeps_of_each_task_what_lies_nearest_to_its_middle() {
    let offered = [("joint", 990.0), ("joint", 890.0), ("joint", 755.0), ("a2v", 770.0), ("a2v", 860.0)];
    let owned = |pairs: &[(&str, f32)]| -> Vec<(String, f32)> {
        pairs.iter().map(|(task, level)| ((*task).to_owned(), *level)).collect()
    };
    assert_eq!(kept(2, &offered), owned(&[("joint", 890.0), ("a2v", 860.0)]));
    assert_eq!(kept(3, &offered), owned(&[("joint", 890.0), ("joint", 990.0), ("a2v", 860.0)]));
    assert_eq!(kept(1, &offered), owned(&[("joint", 890.0)]));
}

#[test]
fn clean_cells_are_not_asked_for_and_a_stratum_without_noisy_ones_gets_some() {
    let (spec, most) = (spec(), 1);
    let none = Latents::zeros(&spec.layout, 1);
    let mut reservoir = Reservoir { most, states: BTreeMap::new() };
    let given = Levels { video: vec![0.0, 0.0], audio: vec![0.0, 990.0] };
    reservoir.offer(none.clone(), given, none.clone(), "v2a", &spec);
    let noisy = Levels { video: vec![125.0; 2], audio: vec![375.0; 2] };
    reservoir.fill(none.clone(), noisy.clone(), none.clone(), &spec);
    reservoir.fill(none.clone(), noisy, none.clone(), &spec);
    let states = reservoir.into_states();
    assert_eq!(states.iter().map(|state| state.task.as_str()).collect::<Vec<_>>(), ["v2a", "grid"]);
    let asked =
        |state: &State| Modality::ALL.map(|modality| [0, 1].map(|segment| state.is_asked(modality, segment)));
    assert_eq!(asked(&states[0]), [[false, false], [false, true]]);
    assert_eq!(asked(&states[1]), [[true; 2]; 2]);
}

/// Predicts nothing, and says a variance.
struct Varied(DenoiserSpec);

impl Denoiser for Varied {
    fn spec(&self) -> &DenoiserSpec {
        &self.0
    }

    fn predict(&mut self, _: &Latents, _: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        out.video.fill(0.5);
        Ok(())
    }

    fn has_variance(&self) -> bool {
        true
    }

    fn predict_with_variance(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        variance: &mut Latents,
    ) -> avdit_core::Result<()> {
        variance.video.fill(-0.3);
        self.predict(noisy, levels, out)
    }
}

#[test]
fn trajectories_of_a_learned_variance_are_listened_to_like_others() {
    let plan = |sampler: &str| Trajectories {
        tasks: vec![Task::Joint],
        sampler: sampler.parse().unwrap(),
        steps: 4,
        seed: 0,
        per_stratum: 1,
        grid: false,
    };
    let states = |sampler| walk(&mut Varied(spec()), &plan(sampler), &[], &mut || {}).unwrap().0.len();
    assert_eq!(states("ddpm-learned"), states("ddpm"));
    assert!(states("ddpm-learned") > 1);
}
