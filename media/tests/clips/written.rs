//! What this crate writes returns as it was meant.

use crate::support::{ball, best_lag, has_ffmpeg, psnr_db};
use avdit_media::encode::encode_mp4;
use avdit_media::{Clip, EncodeOptions, Preference, Rational, decode, read_recipe, write_clip};
use std::path::Path;

/// Below this a trained eye begins to see the loss; measured 43 dB at 64 × 64 by either decoder.
const NEAR_LOSSLESS_DB: f64 = 38.0;
/// Of sound through AAC at four bits a sample; measured 0.999.
const SAME_SOUND: f64 = 0.99;

fn assert_same(meant: &Clip, path: &Path, preference: Preference) {
    let decoded = decode(path, preference).unwrap();
    let (meant_video, meant_audio) = (meant.video.as_ref().unwrap(), meant.audio.as_ref().unwrap());
    let (video, audio) = (decoded.clip.video.unwrap(), decoded.clip.audio.unwrap());
    assert_eq!((video.width, video.height), (meant_video.width, meant_video.height));
    assert_eq!(video.fps, meant_video.fps);
    assert_eq!(audio.sample_rate_hz, meant_audio.sample_rate_hz);
    let half_frame_s = 0.5 / video.fps.value();
    assert!((video.duration_s() - meant_video.duration_s()).abs() < half_frame_s);
    assert!((audio.duration_s() - meant_audio.duration_s()).abs() < half_frame_s);
    let psnr = psnr_db(&meant_video.frames, &video.frames);
    assert!(psnr > NEAR_LOSSLESS_DB, "{}: {psnr:.1} dB", decoded.decoder);
    let millisecond = i64::from(audio.sample_rate_hz) / 1000;
    let (lag, correlation) = best_lag(&meant_audio.samples, &audio.samples, 40 * millisecond);
    println!(
        "{}: {psnr:.1} dB, sound {correlation:.4} at lag {lag}, {} of {} samples",
        decoded.decoder,
        audio.samples.len(),
        meant_audio.samples.len()
    );
    assert!(lag.abs() <= millisecond, "{}: sound is {lag} samples late", decoded.decoder);
    assert!(correlation > SAME_SOUND, "{}: {correlation:.4}", decoded.decoder);
}

#[test]
fn an_mp4_returns_as_it_was_meant() {
    let folder = tempfile::tempdir().unwrap();
    for (index, (width, height, frames, fps, rate)) in [
        (64, 64, 17, Rational::new(8, 1), 16_000),
        (96, 48, 50, Rational::new(30_000, 1001), 44_100),
        (98, 66, 3, Rational::new(25, 1), 48_000),
        (130, 98, 120, Rational::new(24, 1), 22_050),
    ]
    .into_iter()
    .enumerate()
    {
        let clip = ball(width, height, frames, fps, rate);
        let path = folder.path().join(format!("{index}.mp4"));
        write_clip(&path, &clip, None, EncodeOptions::default()).unwrap();
        assert_same(&clip, &path, Preference::BuiltIn);
        if has_ffmpeg() {
            assert_same(&clip, &path, Preference::Ffmpeg);
        }
    }
}

#[test]
fn a_scaled_clip_shows_each_pixel_as_a_square() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("scaled.mp4");
    let clip = ball(33, 31, 9, Rational::new(8, 1), 16_000);
    write_clip(&path, &clip, None, EncodeOptions { scale: 4 }).unwrap();
    let video = decode(&path, Preference::BuiltIn).unwrap().clip.video.unwrap();
    assert_eq!((video.width, video.height), (132, 124));
    let fitted: Vec<Vec<u8>> = video
        .frames
        .iter()
        .map(|frame| avdit_media::grid::crop_and_scale(frame.clone(), (132, 124), (33, 31)))
        .collect();
    let psnr = psnr_db(&clip.video.unwrap().frames, &fitted);
    assert!(psnr > 30.0, "{psnr:.1} dB");
}

#[test]
fn an_odd_size_is_refused_with_the_way_out() {
    let clip = ball(33, 31, 2, Rational::new(8, 1), 16_000);
    let error =
        write_clip(Path::new("odd.mp4"), &clip, None, EncodeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("33 × 31") && error.contains("\n\nhint: "), "{error}");
    assert!(!Path::new("odd.mp4").exists());
}

#[test]
fn sound_of_another_length_is_refused_with_both_lengths() {
    let mut clip = ball(64, 64, 17, Rational::new(8, 1), 16_000);
    clip.audio.as_mut().unwrap().samples.truncate(32_900);
    let error =
        write_clip(Path::new("uneven.mp4"), &clip, None, EncodeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("2.1250 s") && error.contains("2.0562 s"), "{error}");
}

#[test]
fn either_track_alone_makes_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let clip = ball(64, 64, 9, Rational::new(8, 1), 16_000);
    let silent = folder.path().join("silent.mp4");
    write_clip(&silent, &Clip { audio: None, ..clip.clone() }, None, EncodeOptions::default()).unwrap();
    let back = decode(&silent, Preference::BuiltIn).unwrap().clip;
    assert_eq!((back.video.unwrap().frames.len(), back.audio), (9, None));
    let sound = folder.path().join("sound.m4a");
    write_clip(&sound, &Clip { video: None, ..clip }, None, EncodeOptions::default()).unwrap();
    let back = decode(&sound, Preference::BuiltIn).unwrap().clip;
    assert_eq!((back.video, back.audio.unwrap().samples.len()), (None, 18_000));
}

#[test]
fn the_recipe_returns_from_the_file_and_from_the_sidecar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("with recipe.mp4");
    let recipe = serde_json::json!({"model": "tiny", "task": "a2v", "seed": 7, "note": "ä – “quoted”\n"});
    let clip = ball(64, 64, 5, Rational::new(8, 1), 16_000);
    write_clip(&path, &clip, Some(&recipe), EncodeOptions::default()).unwrap();
    let sidecar = folder.path().join("with recipe.json");
    let text = std::fs::read(&sidecar).unwrap();
    assert_eq!(serde_json::from_slice::<serde_json::Value>(&text).unwrap(), recipe);
    std::fs::remove_file(&sidecar).unwrap();
    assert_eq!(read_recipe(&path).unwrap(), Some(recipe));
    write_clip(&path, &clip, None, EncodeOptions::default()).unwrap();
    assert_eq!(read_recipe(&path).unwrap(), None);
}

#[test]
fn the_same_clip_makes_the_same_file() {
    let clip = ball(64, 64, 9, Rational::new(8, 1), 16_000);
    let bytes = || encode_mp4(Path::new("same.mp4"), &clip, None, EncodeOptions::default()).unwrap();
    assert!(bytes() == bytes());
}
