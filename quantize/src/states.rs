//! What a network is asked on its own trajectories: noisy latents with their levels, and what it answers.
//!
//! A network trained with a mixture of levels sees clean and noisy cells at once, so states are sorted into strata by
//! the mean level of sight and of sound, and each stratum keeps a few. What is predicted of clean cells is nothing that a
//! sampler takes, and nobody is judged by it.

use crate::error::{Error, Result};
use avdit_core::Stream;
use avdit_core::{
    CellMask, Denoiser, DenoiserSpec, Latents, Levels, Modality, Noise, NoiseSchedule, Purpose,
    SampleRequest, SamplerKind, Task, sample,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Strata of a modality: quarters of 0…T.
pub const BINS: usize = 4;

/// Levels of sight and of sound, each in quarters from clean to noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Stratum {
    /// Of sight, 0 to 3.
    pub video: usize,
    /// Of sound, 0 to 3.
    pub audio: usize,
}

impl Stratum {
    /// Of the levels of one clip.
    pub fn of(levels: &Levels, timesteps: usize) -> Self {
        let bin = |levels: &[f32]| {
            let mean = levels.iter().sum::<f32>() / levels.len().max(1) as f32 / timesteps as f32;
            ((mean * BINS as f32) as usize).min(BINS - 1)
        };
        Self { video: bin(&levels.video), audio: bin(&levels.audio) }
    }
}

impl Stratum {
    /// How far levels are from the middle of the stratum, in strata.
    fn distance(self, levels: &Levels, timesteps: usize) -> f32 {
        let off = |levels: &[f32], bin: usize| {
            let mean = levels.iter().sum::<f32>() / levels.len().max(1) as f32 / timesteps as f32;
            (mean * BINS as f32 - bin as f32 - 0.5).abs()
        };
        off(&levels.video, self.video) + off(&levels.audio, self.audio)
    }
}

impl fmt::Display for Stratum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quarter = |bin: usize| format!("{}–{} %", 100 * bin / BINS, 100 * (bin + 1) / BINS);
        write!(f, "picture {}, sound {}", quarter(self.video), quarter(self.audio))
    }
}

/// A question to the network and its answer.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// Noisy latents of one clip.
    pub noisy: Latents,
    /// Their levels.
    pub levels: Levels,
    /// What the network predicts.
    pub prediction: Latents,
    /// Where its levels lie.
    pub stratum: Stratum,
    /// The task whose trajectory it lies on.
    pub task: String,
}

impl State {
    /// Whether a cell is one that the network is asked for: clean cells are given.
    pub fn is_asked(&self, modality: Modality, segment: usize) -> bool {
        self.levels.get(modality).get(segment).is_some_and(|level| *level > 0.0)
    }

    /// Whether any cell of a modality is asked for.
    fn asks(&self, modality: Modality) -> bool {
        self.levels.get(modality).iter().any(|level| *level > 0.0)
    }
}

/// Trajectories to walk.
#[derive(Clone, Debug)]
pub struct Trajectories {
    /// Tasks, each on its own clip.
    pub tasks: Vec<Task>,
    /// The sampler.
    pub sampler: SamplerKind,
    /// Its steps.
    pub steps: usize,
    /// Of the noise.
    pub seed: u64,
    /// States that each stratum keeps at most.
    pub per_stratum: usize,
    /// Whether levels are asked for that no trajectory visits; a graph for a fixed schedule knows none.
    pub grid: bool,
}

impl Trajectories {
    /// The request of a task: the same for the network and for whatever is compared with it.
    ///
    /// # Errors
    /// If the task does not fit the layout.
    pub fn request(&self, spec: &DenoiserSpec, task: &Task, clip: u32) -> Result<SampleRequest> {
        let given = task.given(spec.layout.segments())?;
        let (seed, sampler, steps) = (self.seed, self.sampler, self.steps);
        let first_item = clip;
        Ok(SampleRequest {
            seed,
            sampler,
            steps,
            given,
            first_item,
            ..SampleRequest::new(spec.layout.segments())
        })
    }
}

/// A trajectory's end, to compare with.
#[derive(Clone, Debug)]
pub struct Run {
    /// The task.
    pub task: Task,
    /// What was sampled.
    pub request: SampleRequest,
    /// Its clean latents, given cells included.
    pub latents: Latents,
}

/// Walks all trajectories. `given` are clean latents of clips that tasks are given parts of, one after another; without
/// any, the network's own joint sample is given. `on_step` hears of every evaluation.
///
/// # Errors
/// [`Error::Mismatch`] if there are no tasks; [`Error::Core`] if sampling fails or given latents are not finite.
pub fn walk(
    network: &mut dyn Denoiser,
    plan: &Trajectories,
    given: &[Latents],
    on_step: &mut dyn FnMut(),
) -> Result<(Vec<State>, Vec<Run>)> {
    let spec = network.spec().clone();
    if plan.tasks.is_empty() || plan.per_stratum == 0 {
        return Err(Error::mismatch(
            "trajectories to calibrate on",
            "at least one task and one state",
            "none",
        ));
    }
    for latents in given {
        latents.check(&spec.layout)?;
        latents.check_finite("latents to calibrate on")?;
    }
    let (mut states, mut runs) = (Reservoir::new(plan), Vec::new());
    let mut own: Option<Latents> = None;
    for (clip, task) in plan.tasks.iter().enumerate() {
        let request = plan.request(&spec, task, clip as u32)?;
        let needs = request.given.cells().contains(&true);
        if needs && given.is_empty() && own.is_none() {
            let joint = SampleRequest { given: CellMask::none(spec.layout.segments()), ..request.clone() };
            own = Some(sample(network, &joint, None, &mut |_| ())?);
        }
        let clean = match given.len() {
            0 => own.as_ref(),
            n => given.get(clip % n),
        };
        let mut heard = Listening { network, states: &mut states, task, on_step };
        let latents = sample(&mut heard, &request, clean.filter(|_| needs), &mut |_| ())?;
        if !needs && own.is_none() {
            own = Some(latents.clone());
        }
        runs.push(Run { task: task.clone(), request, latents });
    }
    // Levels that no trajectory visits: the grid over both modalities.
    let clean = given.first().cloned().or(own).unwrap_or_else(|| runs[0].latents.clone());
    let grid = if plan.grid { BINS } else { 0 };
    for (video, audio) in (0..grid).flat_map(|video| (0..grid).map(move |audio| (video, audio))) {
        let (noisy, levels) = noised(&spec, &clean, Stratum { video, audio }, plan.seed)?;
        let mut prediction = Latents::zeros(&spec.layout, 1);
        network.predict(&noisy, &levels, &mut prediction)?;
        on_step();
        states.fill(noisy, levels, prediction, &spec);
    }
    Ok((states.into_states(), runs))
}

/// Clean latents with noise at the middle of a stratum.
fn noised(spec: &DenoiserSpec, clean: &Latents, stratum: Stratum, seed: u64) -> Result<(Latents, Levels)> {
    let schedule = NoiseSchedule::new(spec.schedule, spec.timesteps)?;
    let level = |bin: usize| ((bin as f64 + 0.5) / BINS as f64 * spec.timesteps as f64).round();
    let n = spec.layout.segments();
    let mut noisy = Latents::zeros(&spec.layout, 1);
    for (which, modality) in Modality::ALL.into_iter().enumerate() {
        let bin = if modality == Modality::Video { stratum.video } else { stratum.audio };
        let rates = schedule.rates(level(bin));
        let out = noisy.get_mut(modality);
        Noise::new(seed).normals(Stream::new(Purpose::Check, which as u32, 0), out);
        for (x, clean) in out.iter_mut().zip(clean.get(modality)) {
            *x = (rates.alpha * f64::from(*clean) + rates.sigma * f64::from(*x)) as f32;
        }
    }
    let levels =
        Levels { video: vec![level(stratum.video) as f32; n], audio: vec![level(stratum.audio) as f32; n] };
    Ok((noisy, levels))
}

/// The states of each stratum: of every task those nearest to the middle of it, so that they do not all lie at its edge,
/// where a trajectory enters.
struct Reservoir {
    most: usize,
    /// In the order of tasks; those of a task from the nearest to the farthest.
    states: BTreeMap<Stratum, Vec<State>>,
}

impl Reservoir {
    fn new(plan: &Trajectories) -> Self {
        Self { most: plan.per_stratum, states: BTreeMap::new() }
    }

    fn offer(
        &mut self,
        noisy: Latents,
        levels: Levels,
        prediction: Latents,
        task: &str,
        spec: &DenoiserSpec,
    ) {
        let stratum = Stratum::of(&levels, spec.timesteps);
        let kept = self.states.entry(stratum).or_default();
        let first = kept.iter().position(|state| state.task == task).unwrap_or(kept.len());
        // A task leaves room for others.
        let room = self.most.div_ceil(2).min(self.most.saturating_sub(first));
        let distance = |levels: &Levels| stratum.distance(levels, spec.timesteps);
        let nearer =
            kept[first..].iter().filter(|state| distance(&state.levels) <= distance(&levels)).count();
        if nearer < room {
            kept.insert(first + nearer, State { noisy, levels, prediction, stratum, task: task.to_owned() });
            kept.truncate(first + room);
        }
    }

    /// Adds a state of no task where a stratum has few, or none that asks for both modalities.
    fn fill(&mut self, noisy: Latents, levels: Levels, prediction: Latents, spec: &DenoiserSpec) {
        let stratum = Stratum::of(&levels, spec.timesteps);
        let kept = self.states.entry(stratum).or_default();
        let asked = |modality| kept.iter().any(|state| state.asks(modality));
        if kept.len() < self.most || !Modality::ALL.into_iter().all(asked) {
            kept.push(State { noisy, levels, prediction, stratum, task: "grid".to_owned() });
        }
    }

    fn into_states(self) -> Vec<State> {
        self.states.into_values().flatten().collect()
    }
}

/// A network that is listened to.
struct Listening<'a> {
    network: &'a mut dyn Denoiser,
    states: &'a mut Reservoir,
    task: &'a Task,
    on_step: &'a mut dyn FnMut(),
}

impl Denoiser for Listening<'_> {
    fn spec(&self) -> &DenoiserSpec {
        self.network.spec()
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> avdit_core::Result<()> {
        self.network.predict(noisy, levels, out)?;
        self.heard(noisy, levels, out);
        Ok(())
    }

    fn has_variance(&self) -> bool {
        self.network.has_variance()
    }

    fn predict_with_variance(
        &mut self,
        noisy: &Latents,
        levels: &Levels,
        out: &mut Latents,
        variance: &mut Latents,
    ) -> avdit_core::Result<()> {
        self.network.predict_with_variance(noisy, levels, out, variance)?;
        self.heard(noisy, levels, out);
        Ok(())
    }
}

impl Listening<'_> {
    fn heard(&mut self, noisy: &Latents, levels: &Levels, out: &Latents) {
        (self.on_step)();
        let spec = self.network.spec().clone();
        self.states.offer(noisy.clone(), levels.clone(), out.clone(), &self.task.to_string(), &spec);
    }
}

#[cfg(test)]
mod tests;
