//! From clips to clips, command by command.

use crate::fixture::{avdit, command, fixture, text, write_clips};
use avdit_core::{Latents, Levels, Modality, Noise, Purpose, Stream};
use avdit_export::ExportRecord;
use avdit_media::tensors::{TensorFile, TensorRef, write_tensors};
use avdit_media::{Preference, decode, read_recipe};
use avdit_runtime::{EngineKind, EngineOptions};
use serde_json::Value;
use std::path::Path;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn every_task_makes_an_mp4_whose_tracks_agree_and_which_carries_its_recipe() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let clip = text(&fixture.at("clips/clip-0000.mp4"));
    let cases: [(&str, &[&str]); 5] = [
        ("joint", &["--task", "joint"]),
        ("a2v", &["--task", "a2v", "--audio", &clip]),
        ("v2a", &["--task", "v2a", "--video", &clip]),
        ("continue", &["--task", "continue:2", "--video", &clip]),
        (
            "custom",
            &["--given", "video:0-1;audio:0", "--video", &clip, "--sampler", "dpm++2m", "--guidance", "1.5"],
        ),
    ];
    for (name, extra) in cases {
        let (model, out) = (text(&fixture.at("model")), folder.path().join(format!("{name}.mp4")));
        let path = text(&out);
        let mut args = vec![
            "sample",
            &model,
            "-o",
            &path,
            "--steps",
            "4",
            "--seed",
            "3",
            "--also",
            "gif,wav,png",
            "--json",
        ];
        args.extend(extra);
        let said = json(&avdit(&args).ok().out);
        assert_eq!(said["files"].as_array().unwrap().len(), 5, "{name}");
        let recipe = read_recipe(&out).unwrap().expect("a recipe in the file");
        let sidecar = json(&std::fs::read_to_string(out.with_extension("json")).unwrap());
        assert_eq!(recipe, sidecar);
        assert_eq!((&recipe["seed"], &recipe["steps"]), (&Value::from(3), &Value::from(4)), "{name}");
        let made = decode(&out, Preference::BuiltIn).unwrap().clip;
        let (video, audio) = (made.video.unwrap(), made.audio.unwrap());
        assert_eq!(video.frames.len(), 17);
        assert!((video.duration_s() - audio.duration_s()).abs() <= 0.5 / 8.0, "{name}");
    }
}

#[test]
fn given_sound_is_in_the_result_as_it_was_given() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let (clip, out) = (fixture.at("clips/clip-0001.mp4"), folder.path().join("a2v.mp4"));
    let (model, audio, path) = (text(&fixture.at("model")), text(&clip), text(&out));
    avdit(&["sample", &model, "--task", "a2v", "--audio", &audio, "-o", &path, "--steps", "2"]).ok();
    let sound = |path| decode(path, Preference::BuiltIn).unwrap().clip.audio.unwrap().samples;
    let (given, kept) = (sound(&clip), sound(&out));
    let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
    let correlation = dot(&given, &kept) / (dot(&given, &given) * dot(&kept, &kept)).sqrt();
    assert!(correlation > 0.9, "{correlation}");
}

#[test]
fn the_same_seed_makes_the_same_bytes_and_another_makes_others() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let make = |name: &str, seed: &str| {
        let out = folder.path().join(name);
        avdit(&[
            "sample",
            &text(&fixture.at("model")),
            "--task",
            "joint",
            "-o",
            &text(&out),
            "--steps",
            "3",
            "--seed",
            seed,
        ])
        .ok();
        std::fs::read(out).unwrap()
    };
    let first = make("a.mp4", "1");
    assert!(first == make("a.mp4", "1"));
    assert!(first != make("b.mp4", "2"));
}

#[test]
fn doctor_says_what_can_run() {
    let report = json(&avdit(&["doctor", "--json"]).ok().out);
    let engines = report["engines"].as_array().unwrap();
    let tract = engines.iter().find(|engine| engine["engine"] == "tract").unwrap();
    assert_eq!(tract["usable"], true);
    let ort = engines.iter().find(|engine| engine["engine"] == "ort-cpu").unwrap();
    assert!(ort["usable"] == true || ort["remedy"].as_str().unwrap().contains("onnxruntime"));
    if std::env::var_os("AVDIT_REQUIRE_ORT").is_some() {
        assert_eq!(ort["usable"], true, "{ort}");
    }
}

#[test]
fn prepare_leaves_out_bad_files_with_reasons_and_keeps_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let clips = folder.path().join("clips");
    write_clips(&clips, 0..4);
    let whole = std::fs::read(clips.join("clip-0000.mp4")).unwrap();
    std::fs::write(clips.join("cut.mp4"), &whole[..whole.len() / 3]).unwrap();
    std::fs::write(clips.join("empty.mp4"), b"").unwrap();
    std::fs::write(clips.join("notes.mp4"), b"this is no film").unwrap();
    let data = folder.path().join("data");
    let said = json(&avdit(&["prepare", &text(&clips), "-o", &text(&data), "--json"]).ok().out);
    assert_eq!(said["dataset"]["clips"], 4);
    assert_eq!(said["dataset"]["left_out"], 3);
    let audit = std::fs::read_to_string(data.join("audit.md")).unwrap();
    for name in ["cut.mp4", "empty.mp4", "notes.mp4"] {
        assert!(audit.contains(name), "{name}: {audit}");
    }
}

#[test]
fn the_exported_graph_is_accepted_by_onnx_and_gives_python_the_same_numbers() {
    let Some(python) = std::env::var_os("AVDIT_PYTHON") else {
        eprintln!(
            "not run: AVDIT_PYTHON names no Python with onnx and onnxruntime (`cargo xtask test` sets it)"
        );
        return;
    };
    let (fixture, elsewhere) = (fixture(), tempfile::tempdir().unwrap());
    let model = elsewhere.path().join("external");
    let (run, out) = (text(&fixture.at("run")), text(&model));
    let io = elsewhere.path().join("io.safetensors");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/python/check_onnx.py");
    let foreign = tempfile::tempdir().unwrap();
    let check = |io: &Path| {
        let mut command = std::process::Command::new(&python);
        command.arg(script).arg(&model).arg(io).current_dir(foreign.path()).output().unwrap()
    };
    for target in ["ort-cpu", "ort-cuda", "tensorrt", "portable"] {
        let said =
            avdit(&["export", &run, "-o", &out, "--external-data", "always", "--target", target]).ok().out;
        assert!(said.contains(&format!("for {target}\n")), "{said}");
        assert!(model.join("model.onnx_data").is_file());
        assert_eq!(ExportRecord::read(&model).unwrap().lowering.name(), target);
        let plain = ["portable", "tensorrt"].contains(&target);
        write_inputs_and_outputs(&model, if plain { EngineKind::Tract } else { EngineKind::OrtCpu }, &io);
        let output = check(&io);
        assert!(output.status.success(), "{target}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // The check must be able to fail: one output that is a little off.
    let mut bytes = std::fs::read(&io).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&9.0f32.to_le_bytes());
    std::fs::write(&io, bytes).unwrap();
    assert!(!check(&io).status.success());
}

/// Random inputs of a model and what an engine makes of them.
fn write_inputs_and_outputs(model: &Path, kind: EngineKind, path: &Path) {
    let options = EngineOptions { threads: 1, batch: 2, ..EngineOptions::default() };
    let mut engine = avdit_runtime::open(model, kind, &options).unwrap();
    let layout = engine.spec().layout.clone();
    let (mut noisy, mut out) = (Latents::zeros(&layout, 2), Latents::zeros(&layout, 2));
    for modality in Modality::ALL {
        Noise::new(1).normals(Stream::new(Purpose::Check, 0, modality as u32), noisy.get_mut(modality));
    }
    let levels: Vec<Vec<f32>> =
        (0..2).map(|i| (0..layout.cells()).map(|c| (c * 90 + i * 7) as f32).collect()).collect();
    let levels = Levels::from_rows(&levels);
    engine.predict(&noisy, &levels, &mut out).unwrap();
    let tensor = |name, shape, values| TensorRef { name, shape, values };
    let (video, audio) = (layout.shape(Modality::Video, 2), layout.shape(Modality::Audio, 2));
    let cells = vec![2, layout.segments()];
    let tensors = [
        tensor("video", video.clone(), noisy.video.as_slice()),
        tensor("audio", audio.clone(), &noisy.audio),
        tensor("video_timesteps", cells.clone(), &levels.video),
        tensor("audio_timesteps", cells, &levels.audio),
        tensor("video_noise", video, &out.video),
        tensor("audio_noise", audio, &out.audio),
    ];
    write_tensors(path, &Default::default(), &tensors).unwrap();
}

#[test]
fn the_demo_runs_to_its_report_and_goes_on_where_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let path = text(&out);
    let args = ["demo", "--out", &path, "--steps", "4", "--clips", "40", "--seed", "3"];
    let said = avdit(&args).ok();
    assert!(
        said.out.contains("a2v: ") && said.out.contains("v2a: ") && said.out.contains("report.html"),
        "{}",
        said.out
    );
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    for task in ["joint", "a2v", "v2a", "continue-1", "inpaint"] {
        for extension in ["mp4", "gif", "wav", "png"] {
            let name = format!("samples/{task}-0.{extension}");
            assert!(out.join(&name).is_file() && page.contains(&name), "{name}");
        }
    }
    let checkpoint = out.join("run/checkpoints/step-000004/model.safetensors");
    let made = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let before = made(&checkpoint);
    avdit(&args).ok();
    assert_eq!(before, made(&checkpoint), "what was trained is not trained again");
}

#[test]
fn the_demo_trains_adapters_on_a_frozen_image_network() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("demo");
    let path = text(&out);
    let args = [
        "demo",
        "--out",
        &path,
        "--steps",
        "2",
        "--clips",
        "24",
        "--network",
        "av-dit",
        "--without",
        "temporal",
        "--fusion",
        "cross",
        "--compare",
        "ddpm-learned@3,dpm++2m@2",
    ];
    let said = avdit(&args).ok().out;
    for part in ["changes its course", "ddpm-learned in 3 steps, v2a: ", "dpm++2m in 2 steps, a2v: "] {
        assert!(said.contains(part), "no '{part}' in {said}");
    }
    let weights = |path: &str| TensorFile::read(&out.join(path)).unwrap().names();
    let pictures = weights("pictures/checkpoints/step-000004/ema.safetensors");
    let trained = weights("run/checkpoints/step-000002/ema.safetensors");
    let frozen = "blocks.0.attn.qkv.weight".to_owned();
    assert!(pictures.contains(&frozen) && !trained.contains(&frozen), "what is frozen is in its base alone");
    assert!(trained.contains(&"blocks.0.fusion_video.proj.weight".to_owned()));
    assert!(!trained.iter().any(|name| name.contains("temporal")));
    avdit(&["demo", "--out", &path, "--without", "fusion"])
        .refused(2, &["only --network av-dit has adapters"]);
    avdit(&["demo", "--out", &path, "--fusion", "cross"])
        .refused(2, &["--fusion cross: only --network av-dit has adapters"]);
    let both = ["--network", "av-dit", "--fusion", "frozen", "--without", "fusion"];
    avdit(&[&["demo", "--out", &path][..], &both].concat())
        .refused(2, &["--fusion frozen: --without fusion leaves it out"]);
    for (compare, part) in [
        ("ddpm-learned@5", "only --network av-dit learns"),
        ("ddim", "SAMPLER@STEPS"),
        ("ddim@0", "SAMPLER@STEPS"),
        ("nothing@5", "ddpm-learned"),
    ] {
        avdit(&["demo", "--out", &path, "--compare", compare]).refused(2, &[part]);
    }
}

#[test]
fn results_are_on_stdout_and_everything_else_on_stderr() {
    let said = avdit(&["doctor", "--json"]).ok();
    assert!(said.out.starts_with('{'));
    let said = command(&["train", "--example"]).output().unwrap();
    assert!(said.stderr.is_empty() && said.stdout.starts_with(b"# A run of `avdit train`"));
}
