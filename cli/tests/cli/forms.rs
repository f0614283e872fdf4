//! Graphs in other forms: frozen schedules and fused steps, from the checkpoint to a clip.

use crate::fixture::{avdit, fixture, text};
use serde_json::Value;

#[test]
fn a_frozen_fused_step_is_checked_samples_and_is_measured_like_any_other() {
    let (fixture, place) = (fixture(), tempfile::tempdir().unwrap());
    let (run, model) = (text(&fixture.at("run")), text(&place.path().join("model")));
    let export = ["export", &run, "-o", &model, "--freeze-schedule", "6", "--fused-step=dpm++2m"];
    let said = avdit(&export).ok();
    assert!(said.out.contains("tract against candle"), "{}", said.out);
    let config = std::fs::read_to_string(place.path().join("model/config.json")).unwrap();
    let config: Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["frozen"]["steps"], 6);
    assert_eq!(config["frozen"]["levels"].as_array().unwrap().len(), 7);
    assert_eq!(config["step"], serde_json::json!({ "history": 1, "saved": false, "noise": false }));

    let out = text(&place.path().join("a.mp4"));
    let sample = |model: &str, out: &str, more: &[&str]| {
        avdit(&[&["sample", model, "--task", "joint", "-o", out], more].concat())
    };
    let six = ["--steps", "6", "--sampler", "dpm++2m"];
    sample(&model, &out, &six).ok();
    let plain = text(&place.path().join("plain.mp4"));
    sample(&text(&fixture.at("model")), &plain, &six).ok();
    let size = |path: &str| std::fs::metadata(path).unwrap().len() as f64;
    assert!((size(&out) / size(&plain) - 1.0).abs() < 0.05, "{} {}", size(&out), size(&plain));

    let bench = ["bench", &model, "--steps", "6", "--min-runs", "1", "--duration-s", "0", "--json"];
    let report: Value = serde_json::from_str(&avdit(&bench).ok().out).unwrap();
    assert!(report.is_object(), "{report}");

    sample(&model, &out, &["--steps", "9"])
        .refused(3, &["6-step schedule", "--steps 6", "--freeze-schedule"]);
    sample(&model, &out, &["--steps", "6", "--sampler", "unipc"]).refused(3, &["sampler on this fused step"]);
}
