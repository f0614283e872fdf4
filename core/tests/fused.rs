//! The fused step: the coefficients of a step, applied by their formula, are the sampler.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

use avdit_core::sampler::{Coefficients, StepForm};
use avdit_core::sampling::{SampleRequest, sample};
use avdit_core::{
    AudioLayout, Denoiser, DenoiserSpec, Latents, Layout, LevelPlanKind, Levels, Modality, Noise, Purpose,
    Result, SamplerKind, ScheduleKind, StepDenoiser, Stream, Target, Task, VideoLayout,
};

/// Both ways in single precision, over 12 steps.
const SAME_STEPS: f32 = 1e-5;

fn layout() -> Layout {
    Layout::new(
        VideoLayout { frames: 4, channels: 2, height: 1, width: 3, segments: vec![1, 2, 1] },
        AudioLayout { frames: 6, channels: 2, segments: vec![2, 2, 2] },
    )
    .unwrap()
}

fn spec(target: Target, schedule: ScheduleKind) -> DenoiserSpec {
    DenoiserSpec { layout: layout(), target, schedule, timesteps: 1000 }
}

/// A smooth function of x, its neighbour and the level, of about the size of what it predicts.
fn predict(noisy: &Latents, levels: &Levels, out: &mut Latents) {
    let layout = layout();
    for modality in Modality::ALL {
        let (len, n) = (layout.len(modality), layout.segments());
        for (segment, range) in layout.segment_ranges(modality).into_iter().enumerate() {
            for item in 0..noisy.batch {
                let level = levels.get(modality)[item * n + segment] / 1000.0;
                for i in range.clone().map(|element| item * len + element) {
                    let x = noisy.get(modality);
                    let neighbour = x[item * len + (i + 1 - item * len) % len];
                    out.get_mut(modality)[i] = 0.7 * x[i] + 0.2 * (neighbour * 2.0).sin() * (1.0 - level);
                }
            }
        }
    }
}

struct Plain(DenoiserSpec);

impl Denoiser for Plain {
    fn spec(&self) -> &DenoiserSpec {
        &self.0
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        predict(noisy, levels, out);
        Ok(())
    }
}

/// The documented formula, written out.
struct Formula {
    spec: DenoiserSpec,
    form: StepForm,
    batch: usize,
    state: [Vec<f32>; 2],
    broken: bool,
}

impl Formula {
    fn new(spec: DenoiserSpec, form: StepForm) -> Self {
        Self { spec, form, batch: 0, state: Default::default(), broken: false }
    }

    fn x(&self) -> Latents {
        let mut x = Latents::zeros(&self.spec.layout, self.batch);
        for modality in Modality::ALL {
            let len = self.spec.layout.len(modality);
            let items = self.state[modality as usize].chunks(self.form.entries() * len);
            x.get_mut(modality)
                .chunks_mut(len)
                .zip(items)
                .for_each(|(x, item)| x.copy_from_slice(&item[..len]));
        }
        x
    }
}

impl Denoiser for Formula {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, _: &Latents, _: &Levels, _: &mut Latents) -> Result<()> {
        panic!("it only steps")
    }

    fn as_step(&mut self) -> Option<&mut dyn StepDenoiser> {
        Some(self)
    }
}

impl StepDenoiser for Formula {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn form(&self) -> StepForm {
        self.form
    }

    fn begin(&mut self, x: &Latents) -> Result<()> {
        self.batch = x.batch;
        for modality in Modality::ALL {
            let len = self.spec.layout.len(modality);
            let rest = vec![0.0; (self.form.entries() - 1) * len];
            let items = x.get(modality).chunks(len).flat_map(|item| [item, &rest].concat());
            self.state[modality as usize] = items.collect();
        }
        Ok(())
    }

    fn step(&mut self, levels: &Levels, coefficients: &Coefficients, noise: Option<&Latents>) -> Result<()> {
        let (x, mut p) = (self.x(), Latents::zeros(&layout(), self.batch));
        predict(&x, levels, &mut p);
        if self.broken {
            p.audio[5] = f32::NAN;
        }
        let (form, n) = (self.form, layout().segments());
        let (entries, terms) = (form.entries(), form.terms());
        for modality in Modality::ALL {
            let len = layout().len(modality);
            let state = &mut self.state[modality as usize];
            let (factors, moves) = (coefficients.factors(modality), coefficients.moves(modality));
            for item in 0..self.batch {
                for (segment, range) in layout().segment_ranges(modality).into_iter().enumerate() {
                    if moves[item * n + segment] == 0.0 {
                        continue;
                    }
                    for i in range {
                        let place = |entry: usize| (item * entries + entry) * len + i;
                        let mut all: Vec<f32> = (0..entries).map(|entry| state[place(entry)]).collect();
                        all.push(p.get(modality)[item * len + i]);
                        all.extend(
                            form.noise.then(|| noise.map_or(0.0, |z| z.get(modality)[item * len + i])),
                        );
                        let factor =
                            |sum, term| factors[((item * form.sums() + sum) * terms + term) * n + segment];
                        let sum = |sum| all.iter().enumerate().map(|(k, v)| factor(sum, k) * v).sum::<f32>();
                        state[place(0)] = sum(0);
                        for age in (1..=form.history).rev() {
                            state[place(age)] = if age == 1 { sum(1) } else { all[age - 1] };
                        }
                        if form.saved {
                            state[place(entries - 1)] = sum(form.sums() - 1);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn state(&mut self, modality: Modality) -> Option<&[f32]> {
        Some(&self.state[modality as usize])
    }

    fn finish(&mut self, x: &mut Latents) -> Result<()> {
        *x = self.x();
        Ok(())
    }
}

fn relative(a: &Latents, b: &Latents) -> f32 {
    let pairs = || Modality::ALL.into_iter().flat_map(|m| a.get(m).iter().zip(b.get(m)));
    let largest = pairs().fold(0f32, |most, (a, _)| most.max(a.abs()));
    pairs().fold(0f32, |most, (a, b)| most.max((a - b).abs())) / largest
}

fn given() -> Latents {
    let mut latents = Latents::zeros(&layout(), 2);
    Noise::new(3).normals(Stream::new(Purpose::Check, 0, 0), &mut latents.video);
    Noise::new(3).normals(Stream::new(Purpose::Check, 1, 0), &mut latents.audio);
    // A zero with a sign shows whether given cells were computed or kept.
    latents.audio[0] = -0.0;
    latents
}

fn samplers() -> Vec<SamplerKind> {
    let more = ["ddim:0.5", "unipc:1", "unipc:3"].map(|name| name.parse().unwrap());
    // Heun's method has no fused step.
    SamplerKind::all().into_iter().filter(|kind| *kind != SamplerKind::Heun).chain(more).collect()
}

#[test]
fn every_sampler_task_and_plan_gives_the_same_latents() {
    let plans = [LevelPlanKind::Uniform, LevelPlanKind::Autoregressive, LevelPlanKind::Pyramid(2)];
    let mut worst = (0.0, String::new());
    for (target, schedule) in [(Target::V, ScheduleKind::Cosine), (Target::Flow, ScheduleKind::Flow)] {
        for sampler in samplers() {
            for (task, plan) in
                Task::named().into_iter().flat_map(|task| plans.map(|plan| (task.clone(), plan)))
            {
                let mask = task.given(3).unwrap();
                let request = SampleRequest {
                    batch: 2,
                    steps: 12,
                    sampler,
                    plan,
                    given: mask.clone(),
                    ..SampleRequest::new(3)
                };
                let spec = spec(target, schedule);
                let run = |denoiser: &mut dyn Denoiser| {
                    sample(denoiser, &request, Some(&given()), &mut |_| {}).unwrap()
                };
                let expected = run(&mut Plain(spec.clone()));
                let method = sampler.method(schedule == ScheduleKind::Flow);
                for form in [StepForm::of(method), StepForm::EVERY] {
                    let got = run(&mut Formula::new(spec.clone(), form));
                    let what = format!("{sampler} {task} {plan} {target:?} with {form}");
                    let error = relative(&expected, &got);
                    assert!(error < SAME_STEPS, "{what}: {error}");
                    if error > worst.0 {
                        worst = (error, what);
                    }
                    for (cell, range) in layout().segment_ranges(Modality::Audio).into_iter().enumerate() {
                        if mask.is_given(Modality::Audio, cell) {
                            let bits = |x: &Latents| {
                                x.audio[range.clone()].iter().map(|v| v.to_bits()).collect::<Vec<_>>()
                            };
                            assert_eq!(bits(&got), bits(&given()));
                        }
                    }
                }
            }
        }
    }
    println!("{} at {}", worst.0, worst.1);
}

#[test]
fn a_form_that_holds_too_little_for_a_sampler_is_refused() {
    let refuse = |form: &str, sampler: &str| {
        let held = StepForm::of(form.parse::<SamplerKind>().unwrap().method(false));
        let request = SampleRequest { sampler: sampler.parse().unwrap(), ..SampleRequest::new(3) };
        let mut denoiser = Formula::new(spec(Target::V, ScheduleKind::Cosine), held);
        sample(&mut denoiser, &request, None, &mut |_| {}).map(drop).map_err(|error| error.to_string())
    };
    let message = refuse("ddim", "dpm++2m").unwrap_err();
    assert_eq!(
        message,
        "sampler on this fused step: 1 earlier evaluations is not allowed, expected a sampler that needs no more than \
         0 earlier evaluations (or a graph exported for this sampler)"
    );
    for (form, sampler) in [("ddim", "ddpm"), ("dpm++3m", "unipc"), ("unipc", "unipc:3"), ("dpm++3m", "heun")]
    {
        assert!(refuse(form, sampler).is_err(), "{sampler} on {form}");
    }
    for (form, sampler) in [("ddim", "euler"), ("ddpm", "ddim"), ("unipc:3", "dpm++2m")] {
        assert_eq!(refuse(form, sampler), Ok(()), "{sampler} on {form}");
    }
}

#[test]
fn guidance_is_refused_with_the_way_out() {
    let request = SampleRequest {
        guidance: 2.0,
        given: Task::Continue(1).given(3).unwrap(),
        batch: 2,
        ..SampleRequest::new(3)
    };
    let mut denoiser = Formula::new(spec(Target::V, ScheduleKind::Cosine), StepForm::EVERY);
    let message = sample(&mut denoiser, &request, Some(&given()), &mut |_| {}).unwrap_err().to_string();
    assert!(
        message.starts_with("guidance: 2 is not allowed") && message.contains("without --fused-step"),
        "{message}"
    );
}

#[test]
fn what_is_not_a_number_is_named_by_the_step_that_made_it() {
    let mut denoiser = Formula::new(spec(Target::V, ScheduleKind::Cosine), StepForm::EVERY);
    denoiser.broken = true;
    let request = SampleRequest { steps: 4, ..SampleRequest::new(3) };
    let message = sample(&mut denoiser, &request, None, &mut |_| {}).unwrap_err().to_string();
    assert_eq!(message, "step 1 of 4, latents, audio: value 5 is NaN, not a finite number");
}
