//! Damaged files give an error that names them: no panic, no clip made of rubbish.

use crate::support::{ball, has_ffmpeg};
use avdit_media::{Clip, EncodeOptions, Error, Preference, Rational, decode, write_clip};
use std::path::Path;

fn written(folder: &Path) -> Vec<u8> {
    let path = folder.join("whole.mp4");
    let recipe = serde_json::json!({"seed": 1});
    let clip = ball(64, 64, 17, Rational::new(8, 1), 16_000);
    write_clip(&path, &clip, Some(&recipe), EncodeOptions::default()).unwrap();
    std::fs::read(path).unwrap()
}

#[test]
fn a_truncated_mp4_is_an_error_wherever_it_is_cut() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(folder.path());
    let path = folder.path().join("cut.mp4");
    for length in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = decode(&path, Preference::BuiltIn).unwrap_err();
        assert!(
            matches!(&error, Error::Undecodable { path: named, .. } if *named == path),
            "{length}: {error}"
        );
    }
}

#[test]
fn flipped_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(folder.path());
    let path = folder.path().join("flipped.mp4");
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as usize
    };
    // Half of the damage goes to the header, where it does most.
    let header = whole.windows(4).position(|kind| kind == b"mdat").unwrap();
    for round in 0..400 {
        let mut bytes = whole.clone();
        for _ in 0..1 + round % 4 {
            let at = next() % if round % 2 == 0 { header } else { bytes.len() };
            bytes[at] ^= 1 << (next() % 8);
        }
        std::fs::write(&path, &bytes).unwrap();
        if let Err(error) = decode(&path, Preference::BuiltIn) {
            let text = error.to_string();
            assert!(text.contains("flipped.mp4") && !text.contains("broke on it"), "round {round}: {text}");
        }
    }
}

#[test]
fn what_is_no_clip_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, what) in [
        ("empty.mp4", &b""[..], "the file is empty"),
        ("text.mp4", b"this is a text and no film at all", "this is no mp4 or mov file"),
        ("text.gif", b"this is a text and no film at all", "gif"),
        ("text.wav", b"this is a text and no film at all", "wav"),
        ("text.mp3", b"this is a text and no film at all", "text.mp3"),
        ("short.mp4", b"\0\0", "truncated"),
        ("only.mp4", b"\0\0\0\x08ftyp", "no movie header"),
        ("text.txt", b"this is a text", "the file is a .txt"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let error = decode(&path, Preference::BuiltIn).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains(name), "{name}: {error}");
    }
    let error = decode(&folder.path().join("absent.mp4"), Preference::Auto).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    let hollow = folder.path().join("hollow");
    std::fs::create_dir(&hollow).unwrap();
    let error = decode(&hollow, Preference::Auto).unwrap_err().to_string();
    assert!(error.contains("no png files"), "{error}");
}

#[test]
fn a_damaged_file_is_not_handed_to_ffmpeg() {
    let folder = tempfile::tempdir().unwrap();
    let whole = written(folder.path());
    let path = folder.path().join("cut.mp4");
    std::fs::write(&path, &whole[..whole.len() - 2000]).unwrap();
    let error = decode(&path, Preference::Auto).unwrap_err().to_string();
    assert!(error.contains("truncated"), "{error}");
}

#[test]
fn a_sound_that_is_no_number_is_not_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nan.mp4");
    let mut clip = ball(64, 64, 8, Rational::new(8, 1), 16_000);
    clip.audio.as_mut().unwrap().samples[77] = f32::NAN;
    let error = write_clip(&path, &clip, None, EncodeOptions::default()).unwrap_err().to_string();
    assert!(error.contains("value 77"), "{error}");
    assert!(!path.exists());
    let empty = Clip { video: None, audio: None };
    assert!(write_clip(&path, &empty, None, EncodeOptions::default()).is_err());
}

#[test]
fn a_truncated_mp4_is_an_error_to_ffmpeg_too() {
    if !has_ffmpeg() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cut.mp4");
    let clip = Clip { audio: None, ..ball(64, 64, 17, Rational::new(8, 1), 16_000) };
    write_clip(&path, &clip, None, EncodeOptions::default()).unwrap();
    assert_eq!(decode(&path, Preference::Ffmpeg).unwrap().clip.audio, None);
    let whole = std::fs::read(&path).unwrap();
    for length in [whole.len() - 10, whole.len() / 2, 400] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let error = decode(&path, Preference::Ffmpeg).unwrap_err().to_string();
        assert!(error.contains("cut.mp4: ") && error.contains("ffmpeg: "), "{length}: {error}");
    }
}
