//! Properties of the sampling loop, over samplers × targets × tasks × level plans.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use avdit_core::sampling::{Event, SampleRequest, sample};
use avdit_core::{
    AudioLayout, CellMask, Denoiser, DenoiserSpec, Error, Latents, Layout, LevelPlanKind, Levels, Modality,
    Noise, NoiseSchedule, Purpose, Result, SamplerKind, ScheduleKind, Stream, Target, Task, VideoLayout,
};

const PLANS: [LevelPlanKind; 3] =
    [LevelPlanKind::Uniform, LevelPlanKind::Autoregressive, LevelPlanKind::Pyramid(2)];
const TARGETS: [Target; 4] = [Target::Epsilon, Target::V, Target::X0, Target::Flow];

fn layout() -> Layout {
    Layout::new(
        VideoLayout { frames: 4, channels: 2, height: 1, width: 3, segments: vec![1, 2, 1] },
        AudioLayout { frames: 6, channels: 2, segments: vec![2, 2, 2] },
    )
    .unwrap()
}

fn latents(batch: usize, item: u32) -> Latents {
    let mut latents = Latents::zeros(&layout(), batch);
    let noise = Noise::new(77);
    noise.normals(Stream::new(Purpose::Check, 0, item), &mut latents.video);
    noise.normals(Stream::new(Purpose::Check, 1, item), &mut latents.audio);
    latents
}

/// Applies `f(x, level, element of the clip)` to every element.
fn each(noisy: &Latents, levels: &Levels, out: &mut Latents, f: impl Fn(Modality, f32, f64, usize) -> f64) {
    let layout = layout();
    for modality in Modality::ALL {
        let (len, n) = (layout.len(modality), layout.segments());
        for (segment, range) in layout.segment_ranges(modality).into_iter().enumerate() {
            for item in 0..noisy.batch {
                let level = f64::from(levels.get(modality)[item * n + segment]);
                for element in range.clone() {
                    let index = item * len + element;
                    out.get_mut(modality)[index] =
                        f(modality, noisy.get(modality)[index], level, element) as f32;
                }
            }
        }
    }
}

/// Knows the clean latents of every clip and predicts them from any noise.
struct Perfect {
    spec: DenoiserSpec,
    schedule: NoiseSchedule,
    clean: Latents,
}

impl Perfect {
    fn new(target: Target, schedule: ScheduleKind) -> Self {
        let spec = DenoiserSpec { layout: layout(), target, schedule, timesteps: 1000 };
        Self { schedule: spec.noise_schedule().unwrap(), spec, clean: latents(1, 3) }
    }
}

impl Denoiser for Perfect {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        each(noisy, levels, out, |modality, x, level, element| {
            let rates = self.schedule.rates(level);
            let x0 = f64::from(self.clean.get(modality)[element]);
            let epsilon = if level == 0.0 { 0.0 } else { (f64::from(x) - rates.alpha * x0) / rates.sigma };
            self.spec.target.of(rates, x0, epsilon)
        });
        Ok(())
    }
}

/// Mixes x, level and a neighbour's value: nothing about it is linear or the same in two cells.
struct Odd {
    spec: DenoiserSpec,
    poison: Option<usize>,
    calls: usize,
}

impl Odd {
    fn new(target: Target) -> Self {
        let spec = DenoiserSpec { layout: layout(), target, schedule: ScheduleKind::Linear, timesteps: 1000 };
        Self { spec, poison: None, calls: 0 }
    }
}

impl Denoiser for Odd {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        let layout = layout();
        each(noisy, levels, out, |_, x, level, element| {
            (0.7 * f64::from(x)).sin() + 0.2 * (level / 300.0 + element as f64).cos()
        });
        // Sound looks at the first picture element of its own clip.
        let (video, audio) = (layout.len(Modality::Video), layout.len(Modality::Audio));
        for item in 0..noisy.batch {
            let seen = noisy.video[item * video];
            out.audio[item * audio..(item + 1) * audio].iter_mut().for_each(|p| *p += 0.1 * seen.tanh());
        }
        if self.poison == Some(self.calls) {
            out.audio[5] = f32::NAN;
        }
        self.calls += 1;
        Ok(())
    }
}

fn request(sampler: SamplerKind) -> SampleRequest {
    SampleRequest { batch: 2, seed: 9, steps: 6, sampler, ..SampleRequest::new(3) }
}

fn samplers() -> Vec<SamplerKind> {
    let more = ["ddim:0.5", "ddim:1", "unipc:1", "unipc:3"];
    SamplerKind::all().into_iter().chain(more.map(|name| name.parse().unwrap())).collect()
}

fn tasks() -> Vec<Task> {
    Task::named().into_iter().chain([Task::Custom("video:1;audio:0,2".to_owned())]).collect()
}

fn run(denoiser: &mut dyn Denoiser, request: &SampleRequest, given: Option<&Latents>) -> Latents {
    sample(denoiser, request, given, &mut |_| {}).unwrap()
}

#[test]
fn a_perfect_denoiser_recovers_the_clean_latents() {
    for sampler in samplers() {
        for (target, schedule) in TARGETS
            .into_iter()
            .flat_map(|t| [ScheduleKind::Linear, ScheduleKind::Cosine, ScheduleKind::Flow].map(|s| (t, s)))
            .filter(|(t, s)| (*t, *s) != (Target::Epsilon, ScheduleKind::Flow))
        {
            let mut perfect = Perfect::new(target, schedule);
            for plan in PLANS {
                let made = run(&mut perfect, &SampleRequest { plan, ..request(sampler) }, None);
                for item in 0..2 {
                    let made = made.item(&layout(), item);
                    let pairs = made.video.iter().zip(&perfect.clean.video);
                    let error =
                        pairs.chain(made.audio.iter().zip(&perfect.clean.audio)).map(|(a, b)| (a - b).abs());
                    let worst = error.fold(0f32, f32::max);
                    // The last step divides f32 rounding by α of its level.
                    assert!(worst < 2e-4, "{sampler} {target:?} {schedule:?} {plan}: {worst}");
                }
            }
        }
    }
}

#[test]
fn noise_without_signal_says_nothing_about_clean_latents() {
    let mut perfect = Perfect::new(Target::Epsilon, ScheduleKind::Flow);
    let error = sample(&mut perfect, &request(SamplerKind::Euler), None, &mut |_| {}).unwrap_err();
    assert!(error.to_string().starts_with("prediction target: epsilon"), "{error}");
}

#[test]
fn given_cells_come_out_bit_for_bit_as_they_went_in() {
    let given = latents(2, 5);
    for sampler in samplers() {
        for (task, plan) in tasks().into_iter().flat_map(|t| PLANS.map(|p| (t.clone(), p))) {
            for guidance in [1.0, 3.0] {
                let mask = task.given(3).unwrap();
                let request = SampleRequest { given: mask.clone(), plan, guidance, ..request(sampler) };
                let made = run(&mut Odd::new(Target::V), &request, Some(&given));
                for modality in Modality::ALL {
                    for (segment, range) in layout().segment_ranges(modality).into_iter().enumerate() {
                        for start in [0, layout().len(modality)] {
                            let bits = |latents: &Latents| -> Vec<u32> {
                                let part = &latents.get(modality)[start + range.start..start + range.end];
                                part.iter().map(|x| x.to_bits()).collect()
                            };
                            let same = bits(&made) == bits(&given);
                            assert_eq!(same, mask.is_given(modality, segment), "{sampler} {task} {plan}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_others() {
    for sampler in samplers() {
        let request = request(sampler);
        let first = run(&mut Odd::new(Target::Epsilon), &request, None);
        assert_eq!(first, run(&mut Odd::new(Target::Epsilon), &request, None));
        let other = SampleRequest { seed: 10, ..request };
        assert_ne!(first, run(&mut Odd::new(Target::Epsilon), &other, None), "{sampler}");
    }
}

#[test]
fn a_batch_and_its_parts_give_the_same_bits() {
    let given = latents(2, 5);
    for sampler in samplers() {
        let whole = SampleRequest {
            given: Task::VideoToAudio.given(3).unwrap(),
            guidance: 2.0,
            first_item: 4,
            plan: LevelPlanKind::Pyramid(1),
            ..request(sampler)
        };
        let made = run(&mut Odd::new(Target::Flow), &whole, Some(&given));
        let parts: Vec<Latents> = (0..2)
            .map(|item| {
                let request = SampleRequest { batch: 1, first_item: 4 + item, ..whole.clone() };
                run(&mut Odd::new(Target::Flow), &request, Some(&given.item(&layout(), item as usize)))
            })
            .collect();
        assert_eq!(made, Latents::concat(&parts), "{sampler}");
        assert_ne!(parts[0].audio, parts[1].audio);
    }
}

#[test]
fn guidance_of_one_runs_the_network_once_and_above_one_twice() {
    let calls = |guidance, task: Task| {
        let mut odd = Odd::new(Target::V);
        let request =
            SampleRequest { guidance, given: task.given(3).unwrap(), ..request(SamplerKind::Euler) };
        run(&mut odd, &request, Some(&latents(2, 5)));
        odd.calls
    };
    assert_eq!(calls(1.0, Task::AudioToVideo), 6);
    assert_eq!(calls(2.0, Task::AudioToVideo), 12);
    assert_eq!(calls(2.0, Task::Joint), 6, "nothing is given");
}

#[test]
fn events_frame_every_step_and_every_call() {
    let mut events = Vec::new();
    let request = SampleRequest { steps: 2, ..request(SamplerKind::Heun) };
    sample(&mut Odd::new(Target::V), &request, None, &mut |event| events.push(event)).unwrap();
    let call = [Event::NetworkStart, Event::NetworkEnd];
    let step = |index, calls: usize| {
        let start = [Event::StepStart { index, steps: 2 }];
        start.into_iter().chain(call.repeat(calls)).chain([Event::StepEnd { index }]).collect::<Vec<_>>()
    };
    // Heun needs two evaluations, but one where the step arrives at clean latents.
    assert_eq!(events, [step(0, 2), step(1, 1)].concat());
}

#[test]
fn a_prediction_that_is_not_a_number_is_named_by_step_and_modality() {
    let mut odd = Odd::new(Target::V);
    odd.poison = Some(2);
    let error = sample(&mut odd, &request(SamplerKind::Euler), None, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "step 3 of 6, prediction, audio: value 5 is NaN, not a finite number");
}

#[test]
fn requests_that_do_not_fit_are_refused() {
    let refused = |change: fn(&mut SampleRequest), given: Option<&Latents>| -> Error {
        let mut request = request(SamplerKind::Euler);
        change(&mut request);
        sample(&mut Odd::new(Target::V), &request, given, &mut |_| {}).unwrap_err()
    };
    let a2v = |request: &mut SampleRequest| request.given = Task::AudioToVideo.given(3).unwrap();
    assert!(refused(a2v, None).to_string().starts_with("given latents: none"));
    assert!(refused(a2v, Some(&latents(1, 0))).to_string().starts_with("clips in the given latents"));
    let mut broken = latents(2, 0);
    broken.audio[3] = f32::INFINITY;
    assert!(refused(a2v, Some(&broken)).to_string().starts_with("given latents, audio: value 3"));
    broken.audio.pop();
    assert!(refused(a2v, Some(&broken)).to_string().starts_with("elements of the audio latents"));
    assert!(refused(|r| r.steps = 0, None).to_string().starts_with("sampling steps"));
    assert!(refused(|r| r.batch = 0, None).to_string().starts_with("clips of a batch"));
    assert!(refused(|r| r.given = CellMask::none(2), None).to_string().starts_with("segments of the given"));
    assert!(refused(|r| r.guidance = f64::NAN, None).to_string().starts_with("guidance"));
}

/// Looks at each element alone.
struct Elementwise {
    spec: DenoiserSpec,
}

impl Elementwise {
    fn new(video: Vec<usize>, audio: Vec<usize>, schedule: ScheduleKind) -> Self {
        let mut layout = layout();
        (layout.video.segments, layout.audio.segments) = (video, audio);
        layout.check().unwrap();
        Self { spec: DenoiserSpec { layout, target: Target::V, schedule, timesteps: 1000 } }
    }
}

impl Denoiser for Elementwise {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        for modality in Modality::ALL {
            let (len, n) = (self.spec.layout.len(modality), self.spec.layout.segments());
            for (segment, range) in self.spec.layout.segment_ranges(modality).into_iter().enumerate() {
                for item in 0..noisy.batch {
                    let level = levels.get(modality)[item * n + segment];
                    for index in item * len + range.start..item * len + range.end {
                        let x = noisy.get(modality)[index];
                        out.get_mut(modality)[index] = (1.3 * x).sin() - 0.4 * x * (level / 1000.0);
                    }
                }
            }
        }
        Ok(())
    }
}

#[test]
fn a_constant_vector_of_levels_is_a_single_level() {
    for (sampler, schedule) in
        samplers().into_iter().flat_map(|s| [ScheduleKind::Cosine, ScheduleKind::Flow].map(|k| (s, k)))
    {
        let mut one = Elementwise::new(vec![4], vec![6], schedule);
        let mut three = Elementwise::new(vec![1, 2, 1], vec![2, 2, 2], schedule);
        let single = SampleRequest { given: CellMask::none(1), ..request(sampler) };
        assert_eq!(run(&mut one, &single, None), run(&mut three, &request(sampler), None), "{sampler}");
    }
}

#[test]
fn a_cell_goes_its_own_way_whatever_the_others_do() {
    // Without noise in between and without a look at other cells, when a cell moves changes nothing.
    let deterministic = samplers().into_iter().filter(|sampler| !sampler.method(false).is_stochastic());
    for sampler in deterministic {
        let mut network = Elementwise::new(vec![1, 2, 1], vec![2, 2, 2], ScheduleKind::Linear);
        let [uniform, others @ ..] =
            PLANS.map(|plan| run(&mut network, &SampleRequest { plan, ..request(sampler) }, None));
        for other in others {
            assert_eq!(uniform, other, "{sampler}");
        }
    }
}

/// A network with one answer for every variance.
struct Varied(Odd, f32);

impl Denoiser for Varied {
    fn spec(&self) -> &DenoiserSpec {
        &self.0.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        self.0.predict(noisy, levels, out)
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
    ) -> Result<()> {
        variance.video.fill(self.1);
        variance.audio.fill(self.1);
        self.predict(noisy, levels, out)
    }
}

#[test]
fn a_learned_variance_reaches_from_the_small_one_to_the_large_one() {
    let learned: SamplerKind = "ddpm-learned".parse().unwrap();
    let given = latents(2, 5);
    for task in tasks() {
        let mask = task.given(3).unwrap();
        let made = |denoiser: &mut dyn Denoiser, sampler| {
            let request = SampleRequest { given: mask.clone(), guidance: 1.5, ..request(sampler) };
            run(denoiser, &request, Some(&given))
        };
        let odd = || Odd::new(Target::Epsilon);
        let ends = [(-1.0, SamplerKind::Ddpm), (1.0, SamplerKind::DdpmLarge)];
        let [small, large] = ends.map(|(v, fixed)| {
            let (learned, fixed) = (made(&mut Varied(odd(), v), learned), made(&mut odd(), fixed));
            let pairs =
                learned.video.iter().chain(&learned.audio).zip(fixed.video.iter().chain(&fixed.audio));
            for (learned, fixed) in pairs {
                assert!((learned - fixed).abs() <= 1e-5 * fixed.abs().max(1.0), "{task}: {learned} {fixed}");
            }
            learned
        });
        let between = made(&mut Varied(odd(), 0.0), learned);
        assert!(between != small && between != large, "{task}");
        let error = sample(&mut odd(), &request(learned), None, &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("ddpm-learned"), "{error}");
    }
}
