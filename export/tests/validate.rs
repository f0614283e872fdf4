//! Validation tells denoisers that agree from those that do not.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use avdit_core::{Denoiser, DenoiserSpec, Latents, Levels, Result};
use avdit_export::{ParityReport, Tolerance, validate, validate_batches};
use support::{config, spec};

/// A denoiser that multiplies what it gets by its factor and the first level, changed by `change`.
struct Fake<F> {
    spec: DenoiserSpec,
    change: F,
    seen: Vec<Levels>,
}

impl<F: FnMut(&mut Latents)> Denoiser for Fake<F> {
    fn spec(&self) -> &DenoiserSpec {
        &self.spec
    }

    fn predict(&mut self, noisy: &Latents, levels: &Levels, out: &mut Latents) -> Result<()> {
        noisy.check(&self.spec.layout)?;
        levels.check(&self.spec.layout, noisy.batch)?;
        let factor = 1.0 + levels.video[0] / 1000.0 + levels.audio[0] / 500.0;
        out.video = noisy.video.iter().map(|x| x * factor).collect();
        out.audio = noisy.audio.iter().map(|x| x * factor).collect();
        (self.change)(out);
        self.seen.push(levels.clone());
        Ok(())
    }
}

fn fake<F: FnMut(&mut Latents)>(change: F) -> Fake<F> {
    Fake { spec: spec(&config(true, None)), change, seen: Vec::new() }
}

fn against(change: impl FnMut(&mut Latents)) -> ParityReport {
    validate(&mut fake(|_| {}), &mut fake(change), 7, 1).unwrap()
}

#[test]
fn a_denoiser_agrees_with_itself() {
    let report = against(|_| {});
    assert!(report.passed && report.cases.len() == 14);
    assert!(report.cases.iter().all(|case| case.relative_error == Some(0.0)));
}

#[test]
fn errors_are_held_against_the_largest_magnitude() {
    let relative = |error: f32| {
        against(move |out| {
            let largest = out.audio.iter().fold(0f32, |a, x| a.max(x.abs()));
            out.audio[3] += largest * error;
        })
    };
    assert!(relative(1e-5).passed);
    let report = relative(4e-5);
    assert!(!report.passed);
    let worst = report.worst().unwrap();
    assert_eq!(worst.output, "audio_noise");
    assert!((worst.relative_error.unwrap() - 4e-5).abs() < 2e-6, "{worst:?}");
    assert!(report.cases.iter().all(|case| case.passed == (case.output == "video_noise")));
}

#[test]
fn zeros_and_what_is_not_a_number_fail() {
    assert!(!against(|out| out.video.fill(0.0)).passed);
    assert!(!against(|out| out.audio.fill(0.0)).passed);
    assert!(!against(|out| out.audio[0] = f32::INFINITY).passed);
    let report = against(|out| out.video[7] = f32::NAN);
    assert!(!report.passed);
    assert_eq!(
        (report.worst().unwrap().output.as_str(), report.worst().unwrap().relative_error),
        ("video_noise", None)
    );
    // Nor does a comparison with nothing tell anything.
    let zero = |out: &mut Latents| {
        out.video.fill(0.0);
        out.audio.fill(0.0);
    };
    assert!(!validate(&mut fake(zero), &mut fake(zero), 1, 1).unwrap().passed);
    // An output that was never trained is zero on both sides, and says nothing against the other.
    let half = |out: &mut Latents| out.video.fill(0.0);
    assert!(validate(&mut fake(half), &mut fake(half), 1, 1).unwrap().passed);
    let short = |out: &mut Latents| out.video.truncate(10);
    assert!(!against(short).passed);
}

#[test]
fn levels_of_every_kind_are_tried_and_differ_between_clips_and_seeds() {
    let mut reference = fake(|_| {});
    let run = |reference: &mut Fake<_>, seed| {
        validate_batches(reference, &mut fake(|_| {}), 7, seed, 2, Tolerance::SAME_MATH).unwrap()
    };
    let report = run(&mut reference, 1);
    let kinds: Vec<_> = report.cases.iter().step_by(2).map(|case| case.case.as_str()).collect();
    assert_eq!(kinds, ["per-cell 0", "clean 1", "noise 2", "a2v 3", "v2a 4", "shared 5", "per-segment 6"]);
    let seen = reference.seen.clone();
    assert!(seen[0].video[..2] != seen[0].video[2..], "clips have their own levels");
    assert!(seen[1].video.iter().chain(&seen[1].audio).all(|&level| level == 0.0));
    assert!(seen[2].video.iter().chain(&seen[2].audio).all(|&level| level == 1000.0));
    assert!(seen[3].audio == [0.0; 4] && seen[3].video[0] > 0.0);
    assert!(seen[4].video == [0.0; 4] && seen[4].audio[0] > 0.0);
    assert!(seen[5].video == seen[5].audio && seen[6].video == seen[6].audio);
    assert!(seen[6].video[0] != seen[6].video[1]);
    run(&mut reference, 2);
    assert!(reference.seen[7] != seen[0]);
}

#[test]
fn denoisers_of_different_things_are_not_compared() {
    let mut other = fake(|_| {});
    other.spec.timesteps = 500;
    let error = validate(&mut fake(|_| {}), &mut other, 1, 1).unwrap_err();
    assert!(error.to_string().starts_with("denoiser under validation: expected "), "{error}");
    assert!(validate(&mut fake(|_| {}), &mut fake(|_| {}), 0, 1).is_err());
}

#[test]
fn a_report_comes_back_from_json() {
    let report = against(|out| out.video[0] = f32::NAN).between("candle", "ort");
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<ParityReport>(&text).unwrap(), report);
}
