use super::*;
use crate::world::{World, WorldKind};
use crate::{Clip, ClipGrid, Rational};
use avdit_core::{Noise, Purpose, Stream};
use rayon::prelude::*;

const GRID: ClipGrid =
    ClipGrid { frames: 17, fps: Rational { num: 8, den: 1 }, width: 64, height: 64, sample_rate_hz: 16_000 };
const CLIPS: usize = 72;

fn normal(item: u32, n: usize, d: usize, shift: f64) -> Features {
    let mut values = vec![0f32; n * d];
    Noise::new(9).normals(Stream::new(Purpose::Check, 0, item), &mut values);
    Features::new(d, values.into_iter().map(|x| f64::from(x) + shift).collect()).unwrap()
}

#[test]
fn the_distance_of_two_normals_is_the_formula() {
    // One dimension: (m1 - m2)^2 + (s1 - s2)^2.
    let a = Features::new(1, vec![-1.0, 1.0, -1.0, 1.0]).unwrap();
    let b = Features::new(1, vec![1.0, 5.0, 1.0, 5.0]).unwrap();
    let s = (4.0f64 / 3.0).sqrt();
    let meant = 9.0 + (2.0 * s - s).powi(2);
    assert!((frechet(&a, &b).unwrap() - meant).abs() < 1e-12);
    assert!(frechet(&a, &a).unwrap().abs() < 1e-12);
}

#[test]
fn fewer_clips_than_dimensions_have_a_distance_too() {
    let (a, b) = (normal(0, 8, 24, 0.0), normal(1, 6, 24, 0.0));
    let (there, back) = (frechet(&a, &b).unwrap(), frechet(&b, &a).unwrap());
    assert!(there > 0.0 && (there - back).abs() < 1e-6 * there, "{there} {back}");
    assert!(frechet(&a, &a).unwrap().abs() < 1e-5);
}

#[test]
fn features_that_cannot_be_compared_are_told() {
    let message = |a: &Features, b: &Features| frechet(a, b).unwrap_err().to_string();
    assert!(message(&normal(0, 4, 2, 0.0), &normal(1, 4, 3, 0.0)).contains("expected 2, got 3"));
    assert!(message(&normal(0, 1, 2, 0.0), &normal(1, 4, 2, 0.0)).contains("at least 2"));
    assert!(polynomial_mmd(&normal(0, 1, 2, 0.0), &normal(1, 4, 2, 0.0)).is_err());
    assert!(Features::new(2, vec![0.0; 3]).is_err() && Features::new(1, vec![f64::NAN]).is_err());
}

#[test]
fn in_the_units_of_a_reference_it_has_mean_0_and_variance_1_in_every_dimension() {
    let reference = Features::new(2, vec![1.0, 100.0, 3.0, 300.0, 5.0, 200.0]).unwrap();
    let own = Standard::of(&reference).unwrap().apply(&reference).unwrap();
    for d in 0..2 {
        let column: Vec<f64> = own.rows().map(|row| row[d]).collect();
        let squares: f64 = column.iter().map(|x| x * x).sum();
        assert!(
            column.iter().sum::<f64>().abs() < 1e-12 && (squares / 2.0 - 1.0).abs() < 1e-12,
            "{column:?}"
        );
    }
}

/// The difference of two sets' distances from a third, over resamples of the triples of clips.
fn apart(truth: &Features, a: &Features, b: &Features) -> Interval {
    let difference = |truth: &Features, a: &Features, b: &Features| {
        let reference = Reference::new(truth).unwrap();
        reference.frechet(a).unwrap() - reference.frechet(b).unwrap()
    };
    let of = |indices: &[usize]| difference(&truth.select(indices), &a.select(indices), &b.select(indices));
    let rounds: Vec<f64> = (0..200).map(|round| of(&resample(3, round, truth.len()))).collect();
    recentred(difference(truth, a, b), &rounds)
}

#[test]
fn a_difference_on_the_same_clips_excludes_0_where_there_is_one_alone() {
    let truth = normal(0, 120, 6, 0.0);
    let far = apart(&truth, &normal(1, 120, 6, 0.5), &normal(2, 120, 6, 0.0));
    assert!(far.low > 0.0 && far.excludes_zero(), "{far:?}");
    let same = apart(&truth, &normal(1, 120, 6, 0.0), &normal(2, 120, 6, 0.0));
    assert!(!same.excludes_zero(), "{same:?}");
}

#[test]
fn resamples_are_centred_on_what_was_measured() {
    let resamples: Vec<f64> = (0..101).map(|i| 10.0 + f64::from(i) * 0.01).collect();
    let found = recentred(3.0, &resamples);
    assert!((found.low - 2.52).abs() < 0.02 && (found.high - 3.48).abs() < 0.02, "{found:?}");
    assert_eq!(found.mean, 3.0);
    assert!(recentred(3.0, &[]).low.is_nan());
}

#[test]
fn vectors_are_the_same_every_time_and_of_the_length_stated() {
    let (space, clip) = (FeatureSpace::new(), World::new(1, GRID).clip(0));
    let (video, audio) = (clip.video.as_ref().unwrap(), clip.audio.as_ref().unwrap());
    let (seen, heard) = (space.video(video).unwrap(), space.audio(audio).unwrap());
    assert_eq!((seen.len(), heard.len()), (VIDEO_DIMS, AUDIO_DIMS));
    let again = FeatureSpace::new();
    assert!(again.video(video).unwrap() == seen && again.audio(audio).unwrap() == heard);
}

/// Clips of the index `from` on, changed by `change`.
fn clips(from: u32, change: impl Fn(u32, &mut Clip) + Sync) -> Vec<Clip> {
    let world = World::of(WorldKind::Monologue, 1, GRID);
    let made = |i: u32| {
        let mut clip = world.clip(i);
        change(i, &mut clip);
        clip
    };
    (from..from + CLIPS as u32).into_par_iter().map(made).collect()
}

fn seen(clips: &[Clip]) -> Features {
    video_features(&clips.iter().map(|clip| clip.video.as_ref().unwrap()).collect::<Vec<_>>()).unwrap()
}

fn heard(clips: &[Clip]) -> Features {
    audio_features(&clips.iter().map(|clip| clip.audio.as_ref().unwrap()).collect::<Vec<_>>()).unwrap()
}

fn distances(reference: &Features, sets: &[Features]) -> Vec<f64> {
    let units = Standard::of(reference).unwrap();
    let own = units.apply(reference).unwrap();
    sets.iter().map(|set| frechet(&own, &units.apply(set).unwrap()).unwrap()).collect()
}

fn frames(clip: &mut Clip) -> &mut Vec<Vec<u8>> {
    &mut clip.video.as_mut().unwrap().frames
}

fn noisy(strength: f32) -> impl Fn(u32, &mut Clip) + Sync {
    move |i, clip| {
        for (f, frame) in frames(clip).iter_mut().enumerate() {
            let mut noise = vec![0f32; frame.len()];
            Noise::new(7).normals(Stream::new(Purpose::Check, f as u32, i), &mut noise);
            frame.iter_mut().zip(noise).for_each(|(x, z)| *x = (f32::from(*x) + strength * z).round() as u8);
        }
    }
}

#[test]
fn pictures_are_the_further_away_the_more_is_wrong_with_them() {
    let held = |_: u32, clip: &mut Clip| {
        let first = frames(clip)[0].clone();
        frames(clip).fill(first);
    };
    let shuffled = |i: u32, clip: &mut Clip| {
        let order = Noise::new(5).permutation(Stream::new(Purpose::Check, 0, i), 17);
        let old = frames(clip).clone();
        *frames(clip) = order.into_iter().map(|f| old[f].clone()).collect();
    };
    let grey = |_: u32, clip: &mut Clip| {
        for pixel in frames(clip).iter_mut().flat_map(|frame| frame.chunks_exact_mut(3)) {
            pixel.fill(pixel[1]);
        }
    };
    let from = 1000;
    let sets = [
        clips(from, |_, _| {}),
        clips(from, noisy(16.0)),
        clips(from, noisy(32.0)),
        clips(from, held),
        clips(from, shuffled),
        clips(from, grey),
    ]
    .map(|set| seen(&set));
    let found = distances(&seen(&clips(0, |_, _| {})), &sets);
    let floor = found[0];
    assert!(found[1] > 1.5 * floor && found[2] > 2.0 * found[1], "noise: {found:?}");
    assert!(found[3..].iter().all(|&x| x > 5.0 * floor), "frozen, out of order, grey: {found:?}");
}

#[test]
fn sounds_are_the_further_away_the_more_is_wrong_with_them() {
    let samples = |clip: &mut Clip, change: &dyn Fn(&[f32], usize) -> f32| {
        let old = clip.audio.as_ref().unwrap().samples.clone();
        let new = &mut clip.audio.as_mut().unwrap().samples;
        new.iter_mut().enumerate().for_each(|(i, x)| *x = change(&old, i));
    };
    let higher = |times: f64| {
        move |_: u32, clip: &mut Clip| samples(clip, &|old, i| old[(i as f64 * times) as usize % old.len()])
    };
    let from = 1000;
    let sets = [
        clips(from, |_, _| {}),
        clips(from, higher(1.12)),
        clips(from, higher(1.5)),
        clips(from, |_, clip| samples(clip, &|old, i| 0.3 * old[i])),
        clips(from, |_, clip| samples(clip, &|_, _| 0.0)),
    ]
    .map(|set| heard(&set));
    let found = distances(&heard(&clips(0, |_, _| {})), &sets);
    let floor = found[0];
    assert!(found[1] > 1.1 * floor && found[2] > 2.0 * found[1], "pitch: {found:?}");
    assert!(found[3] > 2.0 * floor && found[4] > 2.0 * found[3], "faint, silent: {found:?}");
}
