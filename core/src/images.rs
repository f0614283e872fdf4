//! Sampling of images from a network of one noise level and one class: respaced chains, learned variance,
//! classifier-free guidance (Ho & Salimans 2022, arXiv:2207.12598), as DiT samples (Peebles & Xie 2023).
//!
//! Each image is made by itself, so that its bits depend on the seed and its index alone.

use crate::denoiser::no_variance;
use crate::error::{Error, Result};
use crate::latents::Latents;
use crate::layout::{AudioLayout, Layout, VideoLayout};
use crate::noise::{Noise, Purpose, Stream};
use crate::respace::space_timesteps;
use crate::sampler::{Extras, Method, Move, Point, SamplerKind, Stepper, Variance};
use crate::sampling::Event;
use crate::schedule::{NoiseSchedule, ScheduleKind};
use crate::target::Target;

/// The levels that DiT is trained at.
pub const TIMESTEPS: usize = 1000;

/// A network that says what noise is in some latents of a class.
pub trait ImageDenoiser {
    /// Channels, rows and columns of the latents of an image.
    fn shape(&self) -> [usize; 3];

    /// Whether it says a variance beside the noise.
    fn has_variance(&self) -> bool;

    /// Predicts for the same latents under each of some labels, at a timestep (0…T−1, 0 with a little noise).
    ///
    /// # Shapes
    /// `latents`: `(C, H, W)`; results: one of `latents`' shape for each label.
    /// # Errors
    /// The network's own.
    fn predict(&mut self, latents: &[f32], timestep: f32, labels: &[usize]) -> Result<Vec<ImagePrediction>>;
}

/// What a network says of the latents of an image, each `(C, H, W)`.
#[derive(Clone, Debug, PartialEq)]
pub struct ImagePrediction {
    /// The noise in them.
    pub noise: Vec<f32>,
    /// v of a learned range (Nichol & Dhariwal 2021, eq. 15 as (v + 1)/2), where the network has it.
    pub variance: Option<Vec<f32>>,
}

/// Guidance away from no class.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageGuidance {
    /// s of ε_u + s·(ε_c − ε_u); 1 is off, and costs no second prediction.
    pub scale: f64,
    /// How many channels of the noise are guided, the first ones. DiT's program guides 3 of 4, which its authors did not
    /// intend and keep; diffusers guides all.
    pub channels: usize,
    /// The label of no class.
    pub null: usize,
}

/// How images are made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageRequest {
    /// Of all noise.
    pub seed: u64,
    /// Steps, 2 to 1000, at indices of the chain as [`space_timesteps`] picks them.
    pub steps: usize,
    /// Which sampler; DDPM takes the learned variance where there is one.
    pub sampler: SamplerKind,
    /// Guidance.
    pub guidance: ImageGuidance,
}

/// Replaces a conditional prediction of noise by the guided one in its first channels, of `plane` values each.
///
/// # Shapes
/// Both `(C, H, W)`.
pub fn guide(conditional: &mut [f32], unconditional: &[f32], plane: usize, guidance: ImageGuidance) {
    let scale = guidance.scale as f32;
    let pairs = conditional.iter_mut().zip(unconditional).take(guidance.channels * plane);
    pairs.for_each(|(conditional, &unconditional)| {
        *conditional = unconditional + scale * (*conditional - unconditional);
    });
}

/// Makes the latents of one image, `(C, H, W)`: the one of index `item` of a run, of the class `label`.
///
/// # Errors
/// [`Error::Value`] for a request that does not fit the network or the chain; [`Error::NotFinite`] naming the step whose
/// prediction is not finite; the network's own.
pub fn sample_image(
    denoiser: &mut dyn ImageDenoiser,
    request: &ImageRequest,
    [item, label]: [usize; 2],
    on_event: &mut dyn FnMut(Event),
) -> Result<Vec<f32>> {
    let ImageRequest { seed, steps, sampler, guidance } = *request;
    let [channels, height, width] = denoiser.shape();
    check(request, channels)?;
    let kept = space_timesteps(TIMESTEPS, &steps.to_string())?;
    let schedule = NoiseSchedule::new(ScheduleKind::Linear, TIMESTEPS)?.respaced(&kept)?;
    let method = match sampler.method(false) {
        Method::Ddpm { noisy_end, .. } if sampler == SamplerKind::Ddpm && denoiser.has_variance() => {
            Method::Ddpm { variance: Variance::LearnedRange, noisy_end }
        }
        method => method,
    };
    if method.needs_variance() && !denoiser.has_variance() {
        return Err(no_variance());
    }
    // An image is a clip of one frame; its sound is one value that nobody hears.
    let video = VideoLayout { frames: 1, channels, height, width, segments: vec![1] };
    let layout = Layout::new(video, AudioLayout { frames: 1, channels: 1, segments: vec![1] })?;
    let of = |video: Vec<f32>| Latents { batch: 1, video, audio: vec![0.0] };
    let len = channels * height * width;
    let draw = |purpose, step: usize| {
        let mut values = vec![0.0; len];
        Noise::new(seed).normals(Stream::new(purpose, step as u32, item as u32), &mut values);
        of(values)
    };
    let labels = if guidance.scale == 1.0 { vec![label] } else { vec![label, guidance.null] };
    let mut stepper = Stepper::<f32>::new(method, Target::Epsilon, None, &layout, 1)?;
    let mut x = draw(Purpose::Initial, 0);
    for index in 0..steps {
        on_event(Event::StepStart { index, steps });
        let level = (steps - index) as f64;
        let (from, to) = (Point::at(&schedule, level), Point::at(&schedule, level - 1.0));
        let step = Move { max_order: method.order_at(index, steps), ..Move::new(from, to) };
        stepper.begin(&vec![step; layout.cells()])?;
        let noise = method.is_stochastic().then(|| draw(Purpose::Step, index));
        loop {
            // A level of the respaced chain is an index of the original one; its level 0 is never asked about.
            let place = (stepper.levels().video[0].round() as usize).clamp(1, steps) - 1;
            on_event(Event::NetworkStart);
            let mut made = denoiser.predict(&x.video, kept[place] as f32, &labels)?.into_iter();
            on_event(Event::NetworkEnd);
            let none = || Error::value("predictions for an image", labels.len().to_string(), "fewer");
            let ImagePrediction { noise: mut epsilon, variance } = made.next().ok_or_else(none)?;
            if labels.len() > 1 {
                let unconditional = made.next().ok_or_else(none)?;
                guide(&mut epsilon, &unconditional.noise, height * width, guidance);
            }
            for (what, values) in [("noise", Some(&epsilon)), ("variance", variance.as_ref())] {
                if let Some((i, got)) = values.into_iter().flatten().enumerate().find(|(_, x)| !x.is_finite())
                {
                    let what = format!("step {} of {steps}, predicted {what}", index + 1);
                    return Err(Error::NotFinite { what, index: i, got: f64::from(*got) });
                }
            }
            let variance = variance.map(of);
            let extras = Extras { noise: noise.as_ref(), variance: variance.as_ref() };
            if !stepper.advance(&mut x, &of(epsilon), extras)? {
                break;
            }
        }
        on_event(Event::StepEnd { index });
    }
    Ok(x.video)
}

fn check(request: &ImageRequest, channels: usize) -> Result<()> {
    let ImageRequest { steps, guidance, .. } = request;
    if !(2..=TIMESTEPS).contains(steps) {
        return Err(Error::value("sampling steps of an image", format!("2 to {TIMESTEPS}"), steps));
    }
    if !guidance.scale.is_finite() {
        return Err(Error::value("guidance", "a finite number", guidance.scale));
    }
    if !(1..=channels).contains(&guidance.channels) {
        return Err(Error::value("guided channels", format!("1 to {channels}"), guidance.channels));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Noise ε = 0.3x + 0.01·label, variance v = 0.5.
    struct Linear {
        asked: Vec<(f32, Vec<usize>)>,
        variance: bool,
    }

    impl ImageDenoiser for Linear {
        fn shape(&self) -> [usize; 3] {
            [4, 1, 2]
        }

        fn has_variance(&self) -> bool {
            self.variance
        }

        fn predict(&mut self, x: &[f32], timestep: f32, labels: &[usize]) -> Result<Vec<ImagePrediction>> {
            self.asked.push((timestep, labels.to_vec()));
            let noise = |label: usize| x.iter().map(|x| 0.3 * x + 0.01 * label as f32).collect();
            let variance = self.variance.then(|| vec![0.5; x.len()]);
            let made = labels
                .iter()
                .map(|&label| ImagePrediction { noise: noise(label), variance: variance.clone() });
            Ok(made.collect())
        }
    }

    fn request(sampler: &str, steps: usize, scale: f64, channels: usize) -> ImageRequest {
        let guidance = ImageGuidance { scale, channels, null: 10 };
        ImageRequest { seed: 5, steps, sampler: sampler.parse().unwrap(), guidance }
    }

    fn made(request: &ImageRequest, place: [usize; 2]) -> (Vec<f32>, Linear) {
        let mut network = Linear { asked: Vec::new(), variance: true };
        let image = sample_image(&mut network, request, place, &mut |_| {}).unwrap();
        (image, network)
    }

    #[test]
    fn three_channels_or_four_are_guided_and_the_fourth_else_stays_conditional() {
        let (conditional, unconditional) = ([1.0, 2.0, 3.0, 4.0], [0.5, 0.5, 5.0, 1.0]);
        let guided = |channels| {
            let mut made = conditional;
            guide(&mut made, &unconditional, 1, ImageGuidance { scale: 4.0, channels, null: 0 });
            made
        };
        // ε_u + 4·(ε_c − ε_u)
        assert_eq!(guided(3), [2.5, 6.5, -3.0, 4.0]);
        assert_eq!(guided(4), [2.5, 6.5, -3.0, 13.0]);
    }

    /// Improved DDPM's step in plain numbers, over the chain of the indices 0 and 999.
    #[test]
    fn two_steps_of_ddpm_are_those_of_the_formulas() {
        for channels in [3, 4] {
            let (image, network) = made(&request("ddpm", 2, 4.0, channels), [7, 3]);
            assert_eq!(network.asked, [(999.0, vec![3, 10]), (0.0, vec![3, 10])]);
            let bars = NoiseSchedule::new(ScheduleKind::Linear, 1000).unwrap();
            let bars = [1.0, bars.alpha_bars()[1], bars.alpha_bars()[1000]];
            let draw = |purpose| {
                let mut values = [0f32; 8];
                Noise::new(5).normals(Stream::new(purpose, 0, 7), &mut values);
                values.map(f64::from)
            };
            let (start, fresh) = (draw(Purpose::Initial), draw(Purpose::Step));
            for i in 0..8 {
                let epsilon = |x: f64| {
                    let (conditional, unconditional) = (0.3 * x + 0.03, 0.3 * x + 0.1);
                    let guided = unconditional + 4.0 * (conditional - unconditional);
                    if i / 2 < channels { guided } else { conditional }
                };
                let mut x = start[i];
                for step in [2, 1] {
                    let (bar, last) = (bars[step], bars[step - 1]);
                    let beta = 1.0 - bar / last;
                    let clean = (x - (1.0 - bar).sqrt() * epsilon(x)) / bar.sqrt();
                    let mean =
                        (last.sqrt() * beta * clean + (bar / last).sqrt() * (1.0 - last) * x) / (1.0 - bar);
                    let posterior = beta * (1.0 - last) / (1.0 - bar);
                    // v = 0.5 is three quarters of the way from the posterior's variance to β.
                    let log = 0.75 * beta.ln() + 0.25 * posterior.max(1e-300).ln();
                    x = mean + if step == 2 { (0.5 * log).exp() * fresh[i] } else { 0.0 };
                }
                assert!(
                    (f64::from(image[i]) - x).abs() < 1e-4 * x.abs().max(1.0),
                    "{channels}: {} {x}",
                    image[i]
                );
            }
        }
    }

    #[test]
    fn an_image_depends_on_its_index_and_no_guidance_asks_once() {
        for sampler in ["ddpm", "ddpm-large", "ddim", "dpm++2m", "unipc", "heun", "euler"] {
            let request = request(sampler, 6, 1.0, 3);
            let (first, network) = made(&request, [0, 3]);
            assert!(network.asked.iter().all(|(_, labels)| labels == &[3]), "{sampler}");
            assert_eq!(network.asked[0].0, 999.0, "{sampler}");
            assert_eq!(made(&request, [0, 3]).0, first, "{sampler}");
            assert_ne!(made(&request, [1, 3]).0, first, "{sampler}");
            assert!(first.iter().all(|x| x.is_finite()), "{sampler}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_both_sides() {
        let mut network = Linear { asked: Vec::new(), variance: false };
        for (request, part) in [
            (request("ddpm", 1, 1.0, 3), "2 to 1000"),
            (request("ddpm", 1001, 1.0, 3), "1001"),
            (request("ddpm", 4, 1.0, 5), "guided channels: 5"),
            (request("ddpm", 4, f64::NAN, 3), "guidance"),
        ] {
            let error = sample_image(&mut network, &request, [0, 0], &mut |_| {}).unwrap_err().to_string();
            assert!(error.contains(part), "{error}");
        }
        let learned = request("ddpm-learned", 4, 1.0, 3);
        let error = sample_image(&mut network, &learned, [0, 0], &mut |_| {}).unwrap_err().to_string();
        assert!(error.contains("ddpm-learned"), "{error}");
        // Without a learned variance DDPM takes the small one.
        sample_image(&mut network, &request("ddpm", 4, 1.0, 3), [0, 0], &mut |_| {}).unwrap();
    }
}
