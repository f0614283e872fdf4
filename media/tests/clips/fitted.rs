//! Clips brought onto a grid: by time, not by counting.

use crate::support::{ball, best_lag};
use avdit_media::{
    Audio, Clip, ClipGrid, DecodeOptions, EncodeOptions, FitPolicy, FrameSize, Rational, Reject, Video,
};
use avdit_media::{decode_with, fit_to_grid, grid, write_clip};

const GRID: ClipGrid =
    ClipGrid { frames: 17, fps: Rational { num: 8, den: 1 }, width: 32, height: 32, sample_rate_hz: 16_000 };

/// Frames whose every value is their index.
fn counting(frames: usize, fps: Rational, rate: u32) -> Clip {
    let seconds = frames as f64 / fps.value();
    let video = Video { width: 4, height: 2, fps, frames: (0..frames).map(|i| vec![i as u8; 24]).collect() };
    let count = (seconds * f64::from(rate)).round() as usize;
    let samples = (0..count).map(|index| (index as f32 * 0.05).sin() * 0.5).collect();
    Clip { video: Some(video), audio: Some(Audio { sample_rate_hz: rate, samples }) }
}

#[test]
fn frames_are_taken_by_time_and_never_from_the_front_alone() {
    for fps in [Rational::new(24, 1), Rational::new(25, 1), Rational::new(30_000, 1001)] {
        let clips = fit_to_grid(&counting(150, fps, 16_000), &GRID, &FitPolicy::default()).unwrap();
        assert_eq!(clips.len(), 2, "{fps}");
        let shown: Vec<u8> =
            clips.iter().flat_map(|c| &c.video.as_ref().unwrap().frames).map(|f| f[0]).collect();
        // The middle of grid frame i is at (i + 1/2) / 8 s, in source frame (i + 1/2) · fps / 8.
        let expected: Vec<u8> = (0..34).map(|i| ((f64::from(i) + 0.5) * fps.value() / 8.0) as u8).collect();
        assert_eq!(shown, expected, "{fps}");
    }
}

#[test]
fn a_clip_on_the_grid_stays_as_it_is() {
    let clip = ball(32, 32, 34, Rational::new(8, 1), 16_000);
    let cut = fit_to_grid(&clip, &GRID, &FitPolicy::default()).unwrap();
    let (video, audio) = (clip.video.unwrap(), clip.audio.unwrap());
    assert_eq!(cut.len(), 2);
    for (index, part) in cut.iter().enumerate() {
        assert_eq!(part.video.as_ref().unwrap().frames, video.frames[index * 17..(index + 1) * 17]);
        assert_eq!(part.audio.as_ref().unwrap().samples, audio.samples[index * 34_000..(index + 1) * 34_000]);
    }
}

#[test]
fn sound_of_another_rate_keeps_its_place() {
    for rate in [8000, 11_025, 22_050, 44_100, 48_000] {
        let clip = ball(32, 32, 17, Rational::new(8, 1), rate);
        let meant = ball(32, 32, 17, Rational::new(8, 1), 16_000).audio.unwrap().samples;
        let cut = fit_to_grid(&clip, &GRID, &FitPolicy::default()).unwrap();
        let samples = &cut[0].audio.as_ref().unwrap().samples;
        assert_eq!(samples.len(), 34_000);
        let (lag, correlation) = best_lag(&meant, samples, 100);
        assert!(lag == 0 && correlation > 0.999, "{rate} Hz: {correlation:.5} at lag {lag}");
    }
}

#[test]
fn a_wide_picture_loses_its_sides_and_a_high_one_its_ends() {
    // 4 × 2: columns 0, 1, 2, 3; the middle 2 × 2 remains.
    let row = [0, 50, 100, 150].map(|value| [value; 3]).concat();
    let wide = [row.clone(), row].concat();
    assert_eq!(grid::crop_and_scale(wide, (4, 2), (2, 2)), [50, 50, 50, 100, 100, 100].repeat(2));
    let high: Vec<u8> = [0, 50, 100, 150].iter().flat_map(|value| [*value; 6]).collect();
    let fitted = grid::crop_and_scale(high, (2, 4), (2, 2));
    assert_eq!(fitted, [[50; 6], [100; 6]].concat());
    // Area is averaged: a checkerboard becomes gray.
    let board: Vec<u8> =
        (0..16 * 16).flat_map(|i| [if (i / 16 + i) % 2 == 0 { 0 } else { 255 }; 3]).collect();
    let gray = grid::crop_and_scale(board, (16, 16), (4, 4));
    assert!(gray.iter().all(|value| value.abs_diff(127) < 24), "{gray:?}");
}

#[test]
fn what_cannot_be_cut_is_told_why() {
    let policy = FitPolicy::default();
    let clip = counting(48, Rational::new(24, 1), 16_000);
    let reject = |clip: &Clip| fit_to_grid(clip, &GRID, &policy).unwrap_err();
    assert_eq!(reject(&clip), Reject::TooShort { got_s: 2.0, need_s: 2.125 });
    assert_eq!(reject(&Clip { video: None, ..clip.clone() }), Reject::NoPicture);
    assert_eq!(reject(&Clip { audio: None, ..clip.clone() }), Reject::NoSound);
    let mut uneven = counting(96, Rational::new(24, 1), 16_000);
    uneven.audio.as_mut().unwrap().samples.truncate(48_000);
    assert_eq!(reject(&uneven), Reject::LengthMismatch { video_s: 4.0, audio_s: 3.0 });
    let loose = FitPolicy { needs_audio: false, ..policy };
    let silent = Clip { audio: None, ..counting(96, Rational::new(24, 1), 16_000) };
    assert_eq!(fit_to_grid(&silent, &GRID, &loose).unwrap()[0].audio, None);
}

#[test]
fn half_a_frame_may_be_missing_at_the_end_and_no_more() {
    let mut clip = counting(51, Rational::new(24, 1), 16_000);
    let samples = &mut clip.audio.as_mut().unwrap().samples;
    samples.truncate(33_100);
    let cut = fit_to_grid(&clip, &GRID, &FitPolicy::default()).unwrap();
    let audio = cut[0].audio.as_ref().unwrap();
    assert_eq!(
        (audio.samples.len(), audio.samples[33_100..].iter().all(|value| *value == 0.0)),
        (34_000, true)
    );
    clip.audio.as_mut().unwrap().samples.truncate(32_900);
    assert!(matches!(fit_to_grid(&clip, &GRID, &FitPolicy::default()), Err(Reject::TooShort { .. })));
}

#[test]
fn frames_can_be_fitted_while_they_are_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wide.mp4");
    write_clip(&path, &ball(96, 48, 17, Rational::new(8, 1), 16_000), None, EncodeOptions::default())
        .unwrap();
    let whole = decode_with(&path, &DecodeOptions::default()).unwrap().clip;
    let size = FrameSize::Fit { width: 32, height: 32 };
    let small = decode_with(&path, &DecodeOptions { size, ..DecodeOptions::default() }).unwrap().clip;
    let policy = FitPolicy::default();
    assert_eq!(fit_to_grid(&whole, &GRID, &policy).unwrap(), fit_to_grid(&small, &GRID, &policy).unwrap());
}
