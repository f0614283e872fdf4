//! A learned codec from clips to clips.

use crate::fixture::{avdit, fixture, small_config, text};
use avdit_media::{Preference, decode};
use serde_json::Value;

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
