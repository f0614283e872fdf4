//! Pictures for people: gif and png, and what the built-in decoders read of them.

use crate::support::{ball, has_ffmpeg, psnr_db};
use avdit_media::picture::{Picture, read_png, write_png};
use avdit_media::{
    DecodeOptions, Preference, Rational, decode, decode_with, write_gif, write_sheet, write_wav,
};

/// Of 256 colours for a clip that has a few hundred; measured 41 dB.
const PALETTE_DB: f64 = 35.0;

#[test]
fn a_gif_with_a_wav_beside_it_is_a_clip() {
    let folder = tempfile::tempdir().unwrap();
    let clip = ball(64, 48, 17, Rational::new(8, 1), 16_000);
    let (video, audio) = (clip.video.unwrap(), clip.audio.unwrap());
    let path = folder.path().join("ball.gif");
    write_gif(&path, &video, 1).unwrap();
    write_wav(&folder.path().join("ball.wav"), &audio).unwrap();
    let back = decode(&path, Preference::BuiltIn).unwrap();
    assert_eq!(back.decoder, "gif");
    let seen = back.clip.video.unwrap();
    // 12.5 hundredths of a second a frame are written as 13 and 12 in turn: 17 of them last 213.
    assert_eq!((seen.frames.len(), seen.duration_s()), (17, 2.13));
    let psnr = psnr_db(&video.frames, &seen.frames);
    assert!(psnr > PALETTE_DB, "{psnr:.1} dB");
    assert_eq!(back.clip.audio.unwrap().samples.len(), audio.samples.len());
    if has_ffmpeg() {
        let theirs = decode(&path, Preference::Ffmpeg).unwrap().clip.video.unwrap();
        assert!((theirs.duration_s() - seen.duration_s()).abs() < 0.1);
    }
}

#[test]
fn a_folder_of_png_is_a_clip_bit_for_bit() {
    let folder = tempfile::tempdir().unwrap();
    let clip = ball(40, 24, 12, Rational::new(8, 1), 16_000);
    let (video, audio) = (clip.video.unwrap(), clip.audio.unwrap());
    let frames = folder.path().join("ball");
    std::fs::create_dir(&frames).unwrap();
    for (index, rgb) in video.frames.iter().enumerate() {
        let picture = Picture { width: 40, height: 24, rgb: rgb.clone() };
        write_png(&frames.join(format!("frame-{index}.png")), &picture).unwrap();
    }
    let options = DecodeOptions { folder_fps: Rational::new(8, 1), ..DecodeOptions::default() };
    let silent = decode_with(&frames, &options).unwrap();
    assert_eq!((silent.clip.video.as_ref(), silent.clip.audio), (Some(&video), None));
    write_wav(&folder.path().join("ball.wav"), &audio).unwrap();
    let beside = decode_with(&frames, &options).unwrap().clip.audio.unwrap();
    write_wav(&frames.join("sound.wav"), &audio).unwrap();
    let inside = decode_with(&frames, &options).unwrap().clip.audio.unwrap();
    assert_eq!((beside.samples.len(), beside.samples == inside.samples), (audio.samples.len(), true));

    let odd = Picture::filled(41, 24, [0; 3]);
    write_png(&frames.join("frame-12.png"), &odd).unwrap();
    let error = decode_with(&frames, &options).unwrap_err().to_string();
    assert!(
        error.contains("frame-12.png") && error.contains("41 × 24") && error.contains("40 × 24"),
        "{error}"
    );
}

#[test]
fn a_sheet_is_a_png_of_the_size_it_says() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sheet.png");
    write_sheet(&path, &ball(64, 64, 17, Rational::new(8, 1), 16_000)).unwrap();
    let (rgb, (width, height)) = read_png(&path).unwrap();
    assert_eq!(rgb.len(), width * height * 3);
    assert_eq!(width, 9 * 128 + 8 * 4 + 16);
}
