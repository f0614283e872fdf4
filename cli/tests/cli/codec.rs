//! A learned codec from clips to clips.

use crate::fixture::{avdit, fixture, small_config, text, write_clips};
use avdit_media::picture::{Picture, write_png};
use avdit_media::{Preference, decode};
use serde_json::Value;
use std::path::Path;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_learned_codec_is_trained_resumed_exported_and_used_from_clips_to_clips() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let at = |name: &str| text(&folder.path().join(name));
    let (clips, codec, again) = (text(&fixture.at("clips")), at("codec"), at("again"));
    let train = |out: &str| {
        let steps = ["--video-steps", "2", "--audio-steps", "2", "--batch", "1", "--json"];
        avdit(&[&["train", "codec", &clips, "-o", out], &steps[..]].concat())
    };
    let report = json(&train(&codec).ok().out);
    assert_eq!(report["schema"], "avdit-codec-report/1");
    let rows = report["rows"].as_array().unwrap();
    let names: Vec<_> = rows.iter().map(|row| row["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["learned", "linear, same latents", "linear, preset tiny"]);
    for row in rows {
        assert_eq!(
            (&row["clips"], row["video_psnr_db"].is_f64()),
            (&1.into(), true),
            "one of 24 is held out"
        );
    }
    let held_out = report["held_out_files"].as_array().unwrap();
    assert!(held_out.len() == 1 && held_out[0].as_str().unwrap().ends_with("clip-0012.mp4"), "{held_out:?}");
    assert_eq!(report["held_out_how"], "all 1 clips of 1 of 24 files, of which none is trained on");
    assert_eq!(report["left_out"], serde_json::json!([]));
    assert_eq!((&rows[0]["video_latents"], &rows[0]["audio_latents"]), (&1280.into(), &856.into()));
    let names = ["video-encoder", "video-decoder", "audio-encoder", "audio-decoder"];
    for file in names.map(|name| format!("{name}.onnx")).iter().chain(&["compare-0.png".into()]) {
        assert!(folder.path().join("codec").join(file).is_file(), "{file}");
    }
    // Nothing is left to do, and the codec is the same.
    let bytes = |out: &str| std::fs::read(folder.path().join(out).join("codec.safetensors")).unwrap();
    let before = bytes("codec");
    train(&codec).ok();
    assert!(bytes("codec") == before);
    // Another's state is not gone on with.
    avdit(&["train", "codec", &clips, "-o", &codec, "--video-steps", "3", "--batch", "1"])
        .refused(3, &["was made with other config", "hint"]);

    let record = json(&avdit(&["export", &codec, "-o", &again, "--json"]).ok().out);
    assert_eq!(record["files"].as_array().unwrap().len(), 4);
    assert!(bytes("again") == before);
    avdit(&["export", &codec, "-o", &again]).ok();
    // What means nothing for a codec is not passed over.
    avdit(&["export", &codec, "-o", &again, "--raw", "--target", "ort-cpu", "--check", "none"])
        .refused(2, &["--target, --check, --raw: of no effect on a codec", "hint: leave out"]);
    avdit(&["export", &codec, "-o", &again, "--external-data", "always", "--ema", "0.9", "--merge"])
        .refused(2, &["--external-data, --merge, --ema: of no effect"]);
    // Nobody's codec is overwritten by another's.
    avdit(&["train", "codec", &clips, "-o", &again]).refused(3, &["again: holds an exported model"]);
    avdit(&["export", &again, "-o", &codec])
        .refused(3, &["codec: holds a learned codec and the state of its training"]);
    let strangers = [
        ("data", ["a dataset"; 2]),
        ("run", ["a run"; 2]),
        ("model", ["an exported model", "the codec of something else"]),
    ];
    for (name, what) in strangers {
        let place = fixture.copy_of(name, folder.path().join("strangers").as_path());
        let path = text(&place);
        let own = std::fs::read(place.join("codec.safetensors")).unwrap();
        let [trained, exported] = what.map(|what| format!("{name}: holds {what}"));
        avdit(&["train", "codec", "--world", "ball", "-o", &path])
            .refused(3, &[&trained, "hint: name another folder"]);
        avdit(&["export", &codec, "-o", &path]).refused(3, &[&exported]);
        assert!(std::fs::read(place.join("codec.safetensors")).unwrap() == own, "{name}");
        assert!(!place.join("video.train.safetensors").exists(), "{name}");
    }
    let (data, run, model, out) = (at("data"), at("run"), at("model"), at("out.mp4"));
    let prepared = json(&avdit(&["prepare", &clips, "-o", &data, "--codec", &codec, "--json"]).ok().out);
    assert_eq!(prepared["dataset"]["codec"]["kind"], "learned");
    assert_eq!(prepared["dataset"]["layout"]["audio"]["segments"], serde_json::json!([7, 25, 25, 25, 25]));
    let config = small_config(folder.path().join("data").as_path(), folder.path().join("run").as_path(), 2);
    std::fs::write(folder.path().join("run.toml"), config).unwrap();
    avdit(&["train", &at("run.toml")]).ok();
    avdit(&["export", &run, "-o", &model]).ok();
    avdit(&["sample", &model, "--task", "joint", "-o", &out, "--steps", "2"]).ok();
    let made = decode(&folder.path().join("out.mp4"), Preference::BuiltIn).unwrap().clip;
    assert_eq!(made.video.unwrap().frames.len(), 17);
}

#[test]
fn other_clips_of_as_many_bytes_are_not_gone_on_with_and_what_is_left_out_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (clips, codec) = (folder.path().join("clips"), text(&folder.path().join("codec")));
    write_clips(&clips, 0..3);
    std::fs::write(clips.join("broken.mp4"), b"no film").unwrap();
    // A folder of pictures is one clip, here without sound.
    std::fs::create_dir(clips.join("frames")).unwrap();
    for i in 0..2 {
        let picture = Picture::filled(4, 4, [i, 0, 0]);
        write_png(&clips.join(format!("frames/{i}.png")), &picture).unwrap();
    }
    let steps = ["--video-steps", "1", "--audio-steps", "1", "--batch", "1"];
    let train = || avdit(&[&["train", "codec", &text(&clips), "-o", &codec], &steps[..]].concat());
    let said = train().ok().out;
    let told = ["held out: all 1 clips of 1 of 3 files", "  left out: 1 × undecodable\n"];
    assert!(told.iter().all(|line| said.contains(line)), "{said}");
    let report = json(&std::fs::read_to_string(Path::new(&codec).join("codec-report.json")).unwrap());
    assert_eq!(
        report["left_out"],
        serde_json::json!([{ "reason": "undecodable", "count": 1 }, { "reason": "no_sound", "count": 1 }])
    );
    let file = std::fs::File::options().write(true).open(clips.join("clip-0001.mp4")).unwrap();
    file.set_modified(std::time::SystemTime::now() + std::time::Duration::from_secs(60)).unwrap();
    train().refused(3, &["was made with other clips", "hint"]);
}
