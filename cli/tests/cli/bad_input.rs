//! Bad input gets an error that names the object, an exit code that is not 0, and loses nothing.

use crate::fixture::{avdit, command, fixture, small_config, text, write_clips};
use std::path::Path;

/// Files and folders cannot be used.
const BAD_INPUT: i32 = 3;

fn sample_args<'a>(model: &'a str, out: &'a str) -> Vec<&'a str> {
    vec!["sample", model, "--task", "joint", "-o", out, "--steps", "1"]
}

#[test]
fn an_mp4_that_is_cut_off_or_silent_is_named() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let whole = std::fs::read(fixture.at("clips/clip-0000.mp4")).unwrap();
    let cut = folder.path().join("cut.mp4");
    std::fs::write(&cut, &whole[..whole.len() / 2]).unwrap();
    let (model, out) = (text(&fixture.at("model")), text(&folder.path().join("out.mp4")));
    avdit(&["sample", &model, "--task", "v2a", "--video", &text(&cut), "-o", &out])
        .refused(BAD_INPUT, &["cut.mp4"]);
    let mute = folder.path().join("mute.mp4");
    let clip = avdit_media::decode(&fixture.at("clips/clip-0000.mp4"), avdit_media::Preference::BuiltIn)
        .unwrap()
        .clip;
    let clip = avdit_media::Clip { audio: None, ..clip };
    avdit_media::write_clip(&mute, &clip, None, avdit_media::EncodeOptions::default()).unwrap();
    avdit(&["sample", &model, "--task", "a2v", "--audio", &text(&mute), "-o", &out])
        .refused(BAD_INPUT, &["mute.mp4", "no sound"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_task_without_the_file_that_it_needs_says_which_flag() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let (model, out) = (text(&fixture.at("model")), text(&folder.path().join("out.mp4")));
    avdit(&["sample", &model, "--task", "a2v", "-o", &out])
        .refused(2, &["gives sound", "hint: name the file with --audio"]);
    let clip = text(&fixture.at("clips/clip-0000.mp4"));
    avdit(&["sample", &model, "--task", "joint", "--video", &clip, "-o", &out])
        .refused(2, &["not used", "clip-0000.mp4"]);
}

#[test]
fn a_number_in_a_shard_that_is_not_finite_names_shard_and_clip() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let data = fixture.copy_of("data", folder.path());
    let shard = data.join("latents-00000.safetensors");
    let mut bytes = std::fs::read(&shard).unwrap();
    let end = bytes.len();
    bytes[end - 4..].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&shard, bytes).unwrap();
    let config = folder.path().join("run.toml");
    // Six batches of four are all 24 clips.
    std::fs::write(&config, small_config(&data, &folder.path().join("run"), 6)).unwrap();
    avdit(&["train", &text(&config)]).refused(BAD_INPUT, &["latents-00000.safetensors", "NaN", "clip-"]);
}

#[test]
fn a_corrupt_shard_header_names_the_file() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let data = fixture.copy_of("data", folder.path());
    std::fs::write(data.join("latents-00000.safetensors"), [0xff; 64]).unwrap();
    let config = folder.path().join("run.toml");
    std::fs::write(&config, small_config(&data, &folder.path().join("run"), 5)).unwrap();
    avdit(&["train", &text(&config)]).refused(BAD_INPUT, &["latents-00000.safetensors"]);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    let text_of = small_config(Path::new("d"), Path::new("o"), 5).replace("batch = 4", "bach = 4");
    std::fs::write(&config, text_of).unwrap();
    avdit(&["train", &text(&config)]).refused(BAD_INPUT, &["run.toml", "bach", "did you mean `batch`?"]);
}

#[test]
fn a_run_is_neither_mixed_with_another_nor_resumed_with_other_settings() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let run = fixture.copy_of("run", folder.path());
    let config = folder.path().join("run.toml");
    std::fs::write(&config, small_config(&fixture.at("data"), &run, 20)).unwrap();
    avdit(&["train", &text(&config)]).refused(BAD_INPUT, &["step-000020", "--resume", "--overwrite"]);
    avdit(&["train", &text(&config), "--resume", "--set", "model.width=64"])
        .refused(BAD_INPUT, &["network.width: checkpoint has 32, configuration has 64"]);
    avdit(&["train", &text(&config), "--resume"]).ok();
}

#[test]
fn a_damaged_checkpoint_is_not_exported() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let run = fixture.copy_of("run", folder.path());
    let weights = run.join("checkpoints/step-000020/ema.safetensors");
    std::fs::write(&weights, [0xff; 32]).unwrap();
    let out = folder.path().join("model");
    avdit(&["export", &text(&run), "-o", &text(&out)]).refused(BAD_INPUT, &["ema.safetensors"]);
    assert!(!out.exists());
}

#[test]
fn a_model_without_its_weights_or_with_a_damaged_graph_is_named() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let model = folder.path().join("model");
    avdit(&["export", &text(&fixture.at("run")), "-o", &text(&model), "--external-data", "always"]).ok();
    let (path, out) = (text(&model), text(&folder.path().join("out.mp4")));
    let data = std::fs::read(model.join("model.onnx_data")).unwrap();
    std::fs::write(model.join("model.onnx_data"), &data[..data.len() / 2]).unwrap();
    avdit(&sample_args(&path, &out)).refused(BAD_INPUT, &["model.onnx_data"]);
    std::fs::remove_file(model.join("model.onnx_data")).unwrap();
    avdit(&sample_args(&path, &out)).refused(BAD_INPUT, &["model.onnx_data"]);
    std::fs::write(model.join("model.onnx"), b"no graph").unwrap();
    avdit(&sample_args(&path, &out)).refused(BAD_INPUT, &["model.onnx"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn a_missing_or_wrong_onnx_runtime_has_its_own_exit_code_and_a_remedy() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let (model, out) = (text(&fixture.at("model")), text(&folder.path().join("out.mp4")));
    let wrong = folder.path().join("libonnxruntime.so");
    std::fs::write(&wrong, b"not a library").unwrap();
    for library in [wrong.as_path(), &folder.path().join("nowhere/libonnxruntime.so")] {
        let mut args = sample_args(&model, &out);
        args.extend(["--engine", "ort"]);
        let mut command = command(&args);
        let output = command.env("ORT_DYLIB_PATH", library).output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(4), "{err}");
        assert!(err.contains("libonnxruntime.so") && err.contains("hint: "), "{err}");
    }
}

#[test]
fn what_is_read_is_never_written_over() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let model = text(&fixture.at("model"));
    let clip = folder.path().join("clip.mp4");
    std::fs::copy(fixture.at("clips/clip-0000.mp4"), &clip).unwrap();
    let before = std::fs::read(&clip).unwrap();
    let path = text(&clip);
    avdit(&["sample", &model, "--task", "v2a", "--video", &path, "-o", &path])
        .refused(2, &["clip.mp4", "is an input"]);
    let gif = text(&folder.path().join("out.gif"));
    avdit(&["sample", &model, "--task", "joint", "-o", &gif]).refused(2, &["out.gif", "an mp4 is written"]);
    assert!(before == std::fs::read(&clip).unwrap());
}

#[test]
fn a_demo_does_not_move_into_a_users_folder() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("run")).unwrap();
    std::fs::write(folder.path().join("run/mine"), b"kept").unwrap();
    avdit(&["demo", "--out", &text(folder.path())]).refused(2, &["not a demo's", "--out"]);
    assert_eq!(std::fs::read(folder.path().join("run/mine")).unwrap(), b"kept");
}

#[test]
fn a_refused_resume_changes_nothing_in_the_runs_folder() {
    let (fixture, folder) = (fixture(), tempfile::tempdir().unwrap());
    let run = fixture.copy_of("run", folder.path());
    let (clips, other) = (folder.path().join("clips"), folder.path().join("other"));
    write_clips(&clips, 100..104);
    avdit(&["prepare", &text(&clips), "-o", &text(&other)]).ok();
    let kept = || ["config.toml", "codec.safetensors"].map(|file| std::fs::read(run.join(file)).unwrap());
    let (before, config) = (kept(), folder.path().join("run.toml"));
    std::fs::write(&config, small_config(&other, &run, 20)).unwrap();
    avdit(&["train", &text(&config), "--resume"]).refused(BAD_INPUT, &["dataset: checkpoint has"]);
    std::fs::write(&config, small_config(&folder.path().join("nowhere"), &run, 20)).unwrap();
    avdit(&["train", &text(&config), "--overwrite"]).refused(BAD_INPUT, &["nowhere"]);
    assert!(before == kept() && run.join("checkpoints/step-000020").is_dir());
}

/// Runs `check` with a small disk of `kib`; the disk is gone afterwards, whatever happens.
#[cfg(target_os = "linux")]
fn on_a_small_disk(kib: usize, check: impl FnOnce(&Path) + std::panic::UnwindSafe) {
    let folder = tempfile::tempdir().unwrap();
    let size = format!("size={kib}k");
    let mount = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", &size, "tmpfs"])
        .arg(folder.path())
        .status();
    if !mount.is_ok_and(|status| status.success()) {
        eprintln!("not run: a small tmpfs cannot be mounted here");
        return;
    }
    let disk = folder.path().to_owned();
    let outcome = std::panic::catch_unwind(move || check(&disk));
    std::process::Command::new("umount").arg(folder.path()).status().unwrap();
    outcome.unwrap();
}

#[cfg(target_os = "linux")]
#[test]
fn prepare_on_a_full_disk_names_it_and_leaves_no_dataset() {
    let clips = tempfile::tempdir().unwrap();
    write_clips(clips.path(), 0..8);
    let source = text(clips.path());
    on_a_small_disk(600, move |disk| {
        let data = disk.join("data");
        avdit(&["prepare", &source, "-o", &text(&data)]).refused(BAD_INPUT, &["No space left on device"]);
        assert!(!data.join("dataset.json").exists());
    });
}

#[cfg(target_os = "linux")]
#[test]
fn training_until_the_disk_is_full_leaves_every_earlier_checkpoint_whole() {
    let data = fixture().at("data");
    let codec = std::fs::metadata(data.join("codec.safetensors")).unwrap().len() as usize;
    let checkpoint: usize = walk(&fixture().at("run/checkpoints/step-000020"));
    // Room for the codec and two checkpoints and a half.
    on_a_small_disk((codec + checkpoint * 5 / 2) / 1024 + 64, move |disk| {
        let config = disk.join("run.toml");
        std::fs::write(&config, small_config(&data, &disk.join("run"), 60)).unwrap();
        let said = avdit(&["train", &text(&config), "--set", "run.keep_last=0"]);
        said.refused(BAD_INPUT, &["No space left on device", "make room, a checkpoint takes", "--resume"]);
        let kept = avdit_trainer::checkpoint::list(&disk.join("run")).unwrap();
        assert!(!kept.is_empty());
        for path in kept {
            avdit_trainer::Checkpoint::read(&path).unwrap();
        }
    });
}

/// Bytes of the files of a folder.
fn walk(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len() as usize).sum()
}
