//! Files of other writers: what ffmpeg makes from our clips, read by the built-in decoders.

use crate::support::{ball, best_lag, ffmpeg, has_ffmpeg, psnr_db};
use avdit_media::{Clip, EncodeOptions, Preference, Rational, decode, write_clip};
use std::path::{Path, PathBuf};

/// Through a second lossy coding with chroma at half resolution; measured 34 dB and more.
const RECODED_DB: f64 = 32.0;

/// A clip of one second and a bit, and the file that holds it.
fn source(folder: &Path) -> (Clip, PathBuf) {
    let clip = ball(96, 64, 40, Rational::new(30, 1), 44_100);
    let path = folder.join("source.mp4");
    write_clip(&path, &clip, None, EncodeOptions::default()).unwrap();
    (clip, path)
}

fn recoded(arguments: &[&str], name: &str) -> Option<(tempfile::TempDir, Clip, PathBuf)> {
    if !has_ffmpeg() {
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let (clip, path) = source(folder.path());
    let input = path.to_str().unwrap().to_owned();
    let output = folder.path().join(name);
    ffmpeg(&[&["-i", input.as_str()], arguments].concat(), &output);
    Some((folder, clip, output))
}

fn assert_close(meant: &Clip, path: &Path, preference: Preference) {
    let decoded = decode(path, preference).unwrap();
    let (meant_video, meant_audio) = (meant.video.as_ref().unwrap(), meant.audio.as_ref().unwrap());
    let video = decoded.clip.video.unwrap();
    assert_eq!((video.width, video.height, video.fps), (96, 64, Rational::new(30, 1)));
    let psnr = psnr_db(&meant_video.frames, &video.frames);
    assert!(psnr > RECODED_DB, "{}: {psnr:.1} dB", decoded.decoder);
    let audio = decoded.clip.audio.unwrap();
    let (lag, correlation) = best_lag(&meant_audio.samples, &audio.samples, 2000);
    println!(
        "{}: {psnr:.1} dB, sound {correlation:.4} at lag {lag}, {} samples",
        decoded.decoder,
        audio.samples.len()
    );
    assert!(lag.abs() <= 44 && correlation > 0.98, "{}: {correlation:.4} at {lag}", decoded.decoder);
}

#[test]
fn high_profile_with_b_frames_and_stereo_sound_is_read() {
    let coding = [
        "-c:v",
        "libx264",
        "-profile:v",
        "high",
        "-bf",
        "3",
        "-g",
        "30",
        "-crf",
        "12",
        "-pix_fmt",
        "yuv420p",
    ];
    let sound = ["-c:a", "aac", "-ac", "2", "-ar", "44100", "-b:a", "160k"];
    for name in ["high.mp4", "high.mov"] {
        let Some((_folder, clip, path)) = recoded(&[&coding[..], &sound].concat(), name) else { return };
        assert_close(&clip, &path, Preference::BuiltIn);
        assert_close(&clip, &path, Preference::Ffmpeg);
    }
}

#[test]
fn main_and_baseline_profiles_are_read() {
    for profile in ["main", "baseline"] {
        let coding =
            ["-c:v", "libx264", "-profile:v", profile, "-crf", "12", "-pix_fmt", "yuv420p", "-c:a", "aac"];
        let Some((_folder, clip, path)) = recoded(&coding, "profile.mp4") else { return };
        assert_close(&clip, &path, Preference::BuiltIn);
    }
}

#[test]
fn what_the_built_in_decoder_cannot_read_is_named_and_ffmpeg_reads_it() {
    let cases: [(&[&str], &str, &str); 6] = [
        (&["-c:v", "libx264", "-pix_fmt", "yuv444p", "-c:a", "aac"], "444.mp4", "YUV444"),
        (&["-c:v", "libx264", "-pix_fmt", "yuv420p10le", "-c:a", "aac"], "ten.mp4", "10 bits"),
        (
            &["-c:v", "libx264", "-flags", "+ildct+ilme", "-x264opts", "tff=1", "-c:a", "aac"],
            "fields.mp4",
            "interlaced",
        ),
        (&["-c:v", "mpeg4", "-c:a", "aac"], "part2.mp4", "mp4v"),
        (
            &["-c:v", "copy", "-c:a", "copy", "-movflags", "frag_keyframe+empty_moov"],
            "pieces.mp4",
            "fragmented",
        ),
        (&["-c:v", "mpeg4", "-c:a", "pcm_s16le"], "old.avi", ".avi"),
    ];
    for (arguments, name, what) in cases {
        let Some((_folder, clip, path)) = recoded(arguments, name) else { return };
        let error = decode(&path, Preference::BuiltIn).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("hint: install ffmpeg"), "{name}: {error}");
        let decoded = decode(&path, Preference::Auto).unwrap();
        assert_eq!(decoded.decoder, "ffmpeg");
        let (got, meant) = (decoded.clip.video.unwrap().frames.len(), clip.video.unwrap().frames.len());
        assert!(got.abs_diff(meant) <= 1, "{name}: {got} frames of {meant}");
    }
}

#[test]
fn a_delayed_sound_track_stays_in_its_place() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (clip, path) = source(folder.path());
    let input = path.to_str().unwrap();
    let late = folder.path().join("late.mp4");
    let arguments =
        ["-i", input, "-itsoffset", "0.25", "-i", input, "-map", "0:v", "-map", "1:a", "-c", "copy"];
    ffmpeg(&arguments, &late);
    let meant = clip.audio.unwrap().samples;
    for preference in [Preference::BuiltIn, Preference::Ffmpeg] {
        let audio = decode(&late, preference).unwrap().clip.audio.unwrap();
        let (lag, correlation) = best_lag(&meant, &audio.samples, 12_000);
        assert!(
            (lag - 11_025).abs() <= 44 && correlation > 0.98,
            "{preference:?}: {correlation:.3} at {lag}"
        );
    }
}

#[test]
fn a_turned_picture_is_turned_as_players_do() {
    const ONE: i32 = 1 << 16;
    let folder = tempfile::tempdir().unwrap();
    let (clip, path) = source(folder.path());
    let upright = clip.video.unwrap().frames;
    let whole = std::fs::read(&path).unwrap();
    // Behind the four letters of a version 1 track header: 52 bytes, then the matrix a b u c d v x y w.
    let matrix = whole.windows(4).position(|kind| kind == b"tkhd").unwrap() + 4 + 52;
    for (quarters, [a, b, c, d]) in [(1, [0, ONE, -ONE, 0]), (2, [-ONE, 0, 0, -ONE]), (3, [0, -ONE, ONE, 0])]
    {
        let mut bytes = whole.clone();
        for (index, value) in [(0, a), (1, b), (3, c), (4, d)] {
            bytes[matrix + 4 * index..][..4].copy_from_slice(&value.to_be_bytes());
        }
        let turned = folder.path().join(format!("turned{quarters}.mp4"));
        std::fs::write(&turned, bytes).unwrap();
        let ours = decode(&turned, Preference::BuiltIn).unwrap().clip.video.unwrap();
        assert_eq!((ours.width, ours.height), if quarters == 2 { (96, 64) } else { (64, 96) });
        // Turned clockwise once, the pixel at the bottom left comes to the top left.
        let corner = [(64 - 1) * 96, 64 * 96 - 1, 96 - 1][quarters - 1] * 3;
        let (meant, got) = (&upright[0][corner..corner + 3], &ours.frames[0][..3]);
        assert!(meant.iter().zip(got).all(|(a, b)| a.abs_diff(*b) < 6), "{quarters}: {meant:?} {got:?}");
        if has_ffmpeg() {
            let theirs = decode(&turned, Preference::Ffmpeg).unwrap().clip.video.unwrap();
            assert_eq!((ours.width, ours.height), (theirs.width, theirs.height), "{quarters}");
            let psnr = psnr_db(&theirs.frames, &ours.frames);
            assert!(psnr > RECODED_DB, "{quarters}: {psnr:.1} dB");
        }
    }
}

#[test]
fn gif_and_flac_and_mp3_of_ffmpeg_are_read() {
    let Some((_folder, clip, path)) = recoded(&["-c:a", "flac", "-vn"], "sound.flac") else { return };
    let meant = clip.audio.unwrap().samples;
    let folder = path.parent().unwrap();
    let source = folder.join("source.mp4");
    let mp3 = folder.join("sound.mp3");
    ffmpeg(&["-i", source.to_str().unwrap(), "-vn", "-c:a", "libmp3lame", "-b:a", "192k"], &mp3);
    for file in [&path, &mp3] {
        let decoded = decode(file, Preference::BuiltIn).unwrap().clip;
        assert_eq!(decoded.video, None);
        let (lag, correlation) = best_lag(&meant, &decoded.audio.unwrap().samples, 3000);
        println!("{}: {correlation:.4} at lag {lag}", file.display());
        assert!(correlation > 0.97, "{}: {correlation:.3}", file.display());
    }
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() * 2 / 3]).unwrap();
    let error = decode(&path, Preference::BuiltIn).unwrap_err().to_string();
    assert!(
        error.contains("sound.flac: ") && (error.contains("end of file") || error.contains("truncated")),
        "{error}"
    );
    let gif = folder.join("sound.gif");
    ffmpeg(&["-i", source.to_str().unwrap(), "-vf", "fps=10"], &gif);
    let [ours, theirs] = [Preference::BuiltIn, Preference::Ffmpeg]
        .map(|preference| decode(&gif, preference).unwrap().clip.video.unwrap());
    assert_eq!(ours.fps, theirs.fps);
    assert!(psnr_db(&theirs.frames, &ours.frames) > 40.0);
}
