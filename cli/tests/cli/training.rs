//! What a user sees of a run: samples, the page, the verdicts, the plan.

use crate::fixture::{Said, avdit, command, fixture, small_config, text};
use avdit_media::atomic::FolderLock;
use avdit_media::{Preference, decode, read_recipe};
use serde_json::Value;
use std::path::{Path, PathBuf};

const BAD_INPUT: i32 = 3;
const TASKS: [&str; 5] = ["joint", "a2v", "v2a", "continue-1", "inpaint"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn read(path: PathBuf) -> String {
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A configuration on the fixture's data with more lines in its `[run]`; its path.
fn configuration(folder: &Path, name: &str, steps: usize, more: &str) -> String {
    let config = folder.join(format!("{name}.toml"));
    let written = small_config(&fixture().at("data"), &folder.join(name), steps) + more;
    std::fs::write(&config, written).unwrap();
    text(&config)
}

fn weights(run: &Path, step: usize) -> Vec<u8> {
    std::fs::read(run.join(format!("checkpoints/step-{step:06}/model.safetensors"))).unwrap()
}

#[test]
fn samples_of_every_task_come_with_sound_and_change_no_bit_of_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "sampled", 20, "sample_every = 10\n");
    let said = avdit(&["train", &config, "--json"]).ok();
    let run = folder.path().join("sampled");
    assert!(weights(&run, 20) == weights(&fixture().at("run"), 20), "sampling must not change the run");
    for step in ["step-000010", "step-000020"] {
        let at = run.join("samples").join(step);
        for task in TASKS {
            for item in 0..2 {
                let stem = at.join(format!("{task}-{item}"));
                let made = decode(&stem.with_extension("mp4"), Preference::BuiltIn).unwrap().clip;
                let (video, audio) = (made.video.unwrap(), made.audio.unwrap());
                assert_eq!(video.frames.len(), 17, "{task}");
                assert!((video.duration_s() - audio.duration_s()).abs() <= 0.5 / 8.0, "{task}");
                let alone =
                    decode(&stem.with_extension("wav"), Preference::BuiltIn).unwrap().clip.audio.unwrap();
                assert!(alone.samples.iter().any(|sample| sample.abs() > 1e-4), "{task}: silent");
                assert!(std::fs::read(stem.with_extension("png")).unwrap().starts_with(b"\x89PNG"));
            }
        }
        let recipe = read_recipe(&at.join("a2v-1.mp4")).unwrap().unwrap();
        let expected: usize = step[5..].parse().unwrap();
        assert_eq!((&recipe["training_step"], &recipe["item"]), (&Value::from(expected), &Value::from(1)));
        assert_eq!(recipe["inputs"].as_array().unwrap().len(), 1);
    }
    let sound = |name: &str| std::fs::read(run.join("samples").join(name)).unwrap();
    assert!(sound("step-000020/a2v-0.wav") == sound("given/reference-0.wav"), "given sound is kept");
    assert!(sound("step-000010/joint-0.wav") != sound("step-000020/joint-0.wav"));
    let figures = &json(&said.out)["figures"];
    assert_eq!(figures["sampled_at"], serde_json::json!([10, 20]));
    assert!(figures["sampling_seconds"].as_f64().unwrap() > 0.0);
    assert!(said.err.contains("samples of step 10: 10 clips in "), "{}", said.err);
    let page = read(run.join("report.html"));
    for file in [
        "step-000010/joint-0.mp4",
        "step-000020/inpaint-1.mp4",
        "step-000020/v2a-0.wav",
        "given/reference-0.mp4",
    ] {
        assert!(page.contains(&format!("src=\"samples/{file}\"")), "{file}");
    }
}

#[test]
fn a_runs_folder_resumes_to_the_same_bits_and_the_page_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "first", 20, "sample_every = 20\nkeep_last = 0\n");
    avdit(&["train", &config, "--until", "7"]).ok();
    let moved = folder.path().join("moved");
    std::fs::rename(folder.path().join("first"), &moved).unwrap();
    avdit(&["train", &text(&moved)]).refused(2, &["is a run's folder", "--resume"]);
    avdit(&["train", &text(&moved), "--resume"]).ok();
    assert!(weights(&moved, 20) == weights(&fixture().at("run"), 20));
    assert!(moved.join("samples/step-000020/joint-0.mp4").is_file() && !folder.path().join("first").exists());
    let report = json(&avdit(&["report", &text(&moved), "--json"]).ok().out);
    assert_eq!(report["runs"][0]["figures"]["resumed_at"], serde_json::json!([7]));
    let page = read(moved.join("report.html"));
    assert!(page.contains("resumed</span> at step 7."), "{page}");
    assert!(page.contains("<td>stopped</td>") && page.contains("<td>complete</td>"));
    let nothing = folder.path().join("nothing");
    std::fs::create_dir(&nothing).unwrap();
    avdit(&["train", &text(&nothing), "--resume"]).refused(BAD_INPUT, &["nothing", "config.toml"]);
}

#[test]
fn the_page_of_a_run_holds_the_figures_of_its_log() {
    let run = fixture().at("run");
    let lines: Vec<Value> = read(run.join("metrics.jsonl")).lines().map(json).collect();
    let report = json(&avdit(&["report", &text(&run), "--json"]).ok().out);
    let figures = &report["runs"][0]["figures"];
    let same = |name: &str, expected: f64| {
        let got = figures[name].as_f64().unwrap();
        assert!((got - expected).abs() <= 1e-9 * expected.abs(), "{name}: {got}, expected {expected}");
    };
    let of = |key: &str| -> Vec<f64> { lines.iter().map(|line| line[key].as_f64().unwrap()).collect() };
    let (loss, mut ms) = (of("loss"), of("step_ms"));
    same("loss_first", loss[0]);
    same("loss_last", loss[19]);
    same("loss_video_last", of("loss_video")[19]);
    same("steps_seconds", ms.iter().sum::<f64>() * 1e-3);
    ms.sort_by(f64::total_cmp);
    same("step_ms_p50", ms[10]);
    same("examples_per_s", 4e3 / ms[10]);
    same("gradient_norm_most", of("gradient_norm").into_iter().fold(0.0, f64::max));
    let page = read(run.join("report.html"));
    assert!(page.contains("Step 20 of 20, complete; the loss"), "{page}");
    for value in [loss[0], loss[19]] {
        let shown = format!("{value:.*}", if value >= 1.0 { 2 } else { 3 });
        assert!(page.contains(&shown), "{shown}");
    }
    let strategies: Vec<&String> =
        lines.iter().filter_map(|line| line["by_strategy"].as_object()).flat_map(|of| of.keys()).collect();
    assert!(!strategies.is_empty());
    for name in strategies {
        assert!(page.contains(&format!(">{name}</span>")), "{name}");
    }
    let config = json(&read(run.join("checkpoints/step-000020/config.json")));
    assert!(page.contains(config["dataset"].as_str().unwrap()), "the identity of the data");
    let gradients = json(&read(run.join("gradients.json")));
    let last = gradients["steps"].as_array().unwrap().last().unwrap();
    for parameter in last["parameters"].as_array().unwrap() {
        assert!(page.contains(&format!("<code>{}</code>", parameter["name"].as_str().unwrap())));
    }
    assert!(page.contains("run.sample_every is 0") && page.contains("step-000010, step-000020"));
    for outside in ["http://", "https://", "<script", "<link", "@import", "NaN", "undefined"] {
        assert!(!page.contains(outside), "{outside}");
    }
    for part in ["prefers-color-scheme: dark", "width=device-width"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn runs_are_set_side_by_side_with_what_differs() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "other", 6, "");
    avdit(&["train", &config, "--set", "optimizer.lr=5e-4"]).ok();
    let (page, other) = (folder.path().join("both.html"), text(&folder.path().join("other")));
    avdit(&["report", &text(&fixture().at("run")), &other, "-o", &text(&page)]).ok();
    let page = read(page);
    assert!(
        page.contains("<code>optimizer.lr</code>") && page.contains("<td>0.001</td><td>0.0005</td>"),
        "{page}"
    );
    assert!(!page.contains("<code>optimizer.eps</code>"));
    assert_eq!(page.matches("<svg").count(), 5);
    avdit(&["report", &text(folder.path())]).refused(BAD_INPUT, &["metrics.jsonl", "is no run", "hint: "]);
}

#[test]
fn a_network_that_learns_one_batch_passes_and_one_that_does_not_fails() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "run", 5000, "");
    let args = ["train", &config, "--overfit-one-batch", "--set", "optimizer.lr=1e-2"];
    let said = avdit(&args).ok();
    assert!(
        said.out.contains("learns: on one batch the loss went from ") && said.out.contains("in 200 steps")
    );
    assert!(!folder.path().join("run").exists(), "the run itself has its folder to itself");
    // The folder is its own: it is begun again without a word.
    let args =
        ["train", &config, "--overfit-one-batch", "--set", "optimizer.lr=1e-9", "--set", "run.steps=30"];
    avdit(&args)
        .refused(6, &["does not learn", "in 30 steps", "hint: look at optimizer.lr", "gradients.json"]);
    let said = avdit(&["train", &config, "--overfit-one-batch", "--json", "--set", "optimizer.lr=1e-2"]).ok();
    let found = &json(&said.out)["overfit"];
    assert_eq!(found["learns"], true);
    assert!(found["last"].as_f64().unwrap() < 0.5 * found["first"].as_f64().unwrap());
    // Its own folder has its settings; a run that is done is judged by its log, one that is not not yet.
    let own = text(&folder.path().join("run-overfit"));
    let again = ["train", &own, "--resume", "--overfit-one-batch"];
    assert!(avdit(&again).ok().out.contains("learns: on one batch"));
    let said = avdit(&["train", &config, "--overfit-one-batch", "--until", "3"]).ok();
    assert!(said.out.contains("step 3 of 200") && !said.out.contains("learn"), "{}", said.out);
    assert!(avdit(&[&again[..], &["--until", "5"]].concat()).ok().out.contains("step 5 of 200"));
    assert!(!folder.path().join("run").exists() && !folder.path().join("run-overfit-overfit").exists());
}

#[test]
fn a_dry_run_says_what_a_run_would_take_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "run", 20, "");
    let plan = json(&avdit(&["train", &config, "--dry-run", "--json"]).ok().out);
    assert!(!folder.path().join("run").exists());
    let report = read(fixture().at("run/history.jsonl"));
    let start = json(report.lines().next().unwrap());
    assert_eq!((&plan["clips"], &plan["out"]), (&Value::from(24), &Value::from("new")));
    assert_eq!(
        (&plan["parameters"], &plan["forward_multiply_adds"]),
        (&start["parameters"], &start["multiply_adds"])
    );
    let number = |value: &Value| value.as_f64().unwrap();
    let gflop = 6.0 * 4.0 * number(&plan["forward_multiply_adds"]) * 1e-9;
    assert!((number(&plan["step_gflop"]) / gflop - 1.0).abs() < 1e-9);
    let [least, most] = ["least", "most"].map(|end| number(&plan["step_ms"][end]));
    assert!(0.0 < least && least < most);
    let sizes = ["model", "ema", "optimizer"].map(|name| {
        let path = fixture().at(&format!("run/checkpoints/step-000020/{name}.safetensors"));
        std::fs::metadata(path).unwrap().len() as f64
    });
    assert!((number(&plan["checkpoint_bytes"]) / sizes.iter().sum::<f64>() - 1.0).abs() < 0.1);
    let said = avdit(&["train", &config, "--dry-run"]).ok().out;
    for part in ["parameters", "GFLOP/s in matrix products", "time of the run", "memory", "predicted"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn a_dry_run_refuses_what_the_run_would_refuse_with_the_same_words() {
    let folder = tempfile::tempdir().unwrap();
    let new = configuration(folder.path(), "run", 20, "");
    let nowhere = folder.path().join("nowhere");
    let sampled = configuration(
        folder.path(),
        "sampled",
        20,
        &format!("sample_every = 10\nsample_from = '{}'\n", nowhere.display()),
    );
    let (held, file) = (text(&fixture().at("run")), text(&fixture().at("run.toml")));
    let cases: [(&[&str], &str); 5] = [
        (
            &[&held, "--resume", "--set", "model.width=64"],
            "network.width: checkpoint has 32, configuration has 64",
        ),
        (&[&held, "--resume", "--set", "seed=2"], "seed: checkpoint has 1, configuration has 2"),
        (&[&file], "holds a run already (newest: step-000020)"),
        (&[&new, "--resume"], "holds no checkpoint"),
        (&[&sampled], "nowhere"),
    ];
    for (given, expected) in cases {
        let args = [&["train"], given].concat();
        let run = avdit(&args).refused(BAD_INPUT, &[expected]);
        let dry = avdit(&[&args[..], &["--dry-run"]].concat()).refused(BAD_INPUT, &[expected]);
        assert_eq!(dry.err, run.err);
    }
    let says = |args: &[&str]| avdit(&[&["train", "--dry-run"], args].concat()).ok().out;
    assert!(says(&[&held, "--resume"]).contains("would go on from"));
    assert!(says(&[&file, "--overwrite"]).contains("would be begun again"));
    assert!(fixture().at("run/checkpoints/step-000020").is_dir());
    avdit(&["train", &new, "--until", "0"]).refused(2, &["--until 0"]);
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_whose_name_is_no_text_trains_as_any_other() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let config = folder.path().join(std::ffi::OsStr::from_bytes(b"run-\xff.toml"));
    std::fs::write(&config, small_config(&fixture().at("data"), &run, 2)).unwrap();
    Said::of(command(&["train"]).arg(&config).output().unwrap()).ok();
    assert!(read(run.join("history.jsonl")).contains("run-\u{fffd}.toml"));
}

#[test]
fn numbers_that_are_not_finite_stop_the_run_with_the_batch_and_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "run", 50, "");
    let wild =
        ["--set", "optimizer.lr=1e30", "--set", "optimizer.clip_norm=0", "--set", "optimizer.warmup_steps=0"];
    let mut args = vec!["train", config.as_str()];
    args.extend(wild);
    let again = "run.toml --set optimizer.clip_norm=0 --set optimizer.warmup_steps=0 --set optimizer.lr=3e29 --set out=";
    avdit(&args).refused(BAD_INPUT, &["bad-batch.safetensors", "hint: ", again, "run-slower`"]);
    let page = read(folder.path().join("run/report.html"));
    assert!(page.contains(", failed"), "{page}");
}

#[test]
fn a_run_that_another_process_writes_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let run = fixture().copy_of("run", folder.path());
    let _held = FolderLock::take(&run).unwrap();
    let args = ["train", &text(&run), "--resume", "--set", "run.steps=30"];
    avdit(&args).refused(BAD_INPUT, &["another avdit is writing here", "hint: "]);
}

#[test]
fn clips_of_a_folder_give_what_tasks_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let clips = fixture().at("clips");
    let from = format!("sample_every = 2\nsample_from = '{}'\n", clips.display());
    let config = configuration(folder.path(), "run", 2, &from);
    avdit(&["train", &config]).ok();
    let at = folder.path().join("run/samples");
    let recipe = read_recipe(&at.join("step-000002/v2a-0.mp4")).unwrap().unwrap();
    assert!(recipe["inputs"][0].as_str().unwrap().ends_with("clip-0000.mp4"), "{recipe}");
    let nowhere = format!("run.sample_from={}", folder.path().join("nowhere").display());
    avdit(&["train", &config, "--overwrite", "--set", &nowhere])
        .refused(BAD_INPUT, &["nowhere", "sample_from"]);
}

#[test]
fn progress_elsewhere_than_on_a_terminal_is_a_line_now_and_then() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "run", 3, "");
    let said = avdit(&["train", &config]).ok();
    for part in ["train: step 1/3  loss ", " left  ", " ms/step  ", " examples/s  ", " GFLOP/s (", " lr "] {
        assert!(said.err.contains(part), "{part}: {}", said.err);
    }
}

#[test]
fn the_example_explains_every_setting_and_each_is_taken() {
    let example = avdit(&["train", "--example"]).ok().out;
    // As it stands, and with what is left out put in.
    let parse = |text: &str| avdit_trainer::TrainConfig::parse(text, Path::new("example")).unwrap();
    parse(&example).check().unwrap();
    let uncommented: String = example
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|rest| rest.contains(" = ")).unwrap_or(line))
        .flat_map(|line| [line, "\n"])
        .collect();
    let whole: toml::Table = parse(&uncommented).to_toml().unwrap().parse().unwrap();
    let written: toml::Table = uncommented.parse().unwrap();
    for (section, settings) in &whole {
        for name in settings.as_table().into_iter().flat_map(toml::Table::keys) {
            let found = written.get(section).and_then(|section| section.get(name));
            assert!(found.is_some(), "[{section}] {name} is not explained");
        }
    }
}

#[test]
fn a_folder_that_holds_something_else_is_refused_and_stays_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let config = configuration(folder.path(), "run", 20, "");
    let clips = text(&fixture().at("clips"));
    for (name, what) in [("data", "a dataset"), ("model", "an exported model"), ("run", "a run")] {
        let copy = fixture().copy_of(name, folder.path());
        let (place, codec) = (text(&copy), copy.join("codec.safetensors"));
        let before = std::fs::read(&codec).unwrap();
        let what = format!("holds {what}: its codec.safetensors is not overwritten");
        if name != "run" {
            avdit(&["train", &config, "--set", &format!("out={place}")])
                .refused(BAD_INPUT, &[&what, "`out`"]);
        }
        if name != "data" {
            avdit(&["prepare", &clips, "-o", &place]).refused(BAD_INPUT, &[&what, "-o"]);
        }
        if name != "model" {
            avdit(&["export", "--random", "0", "--preset", "tiny", "-o", &place])
                .refused(BAD_INPUT, &[&what]);
        }
        assert!(std::fs::read(&codec).unwrap() == before, "{name}");
    }
    let own = folder.path().join("own/config.toml");
    std::fs::create_dir(own.parent().unwrap()).unwrap();
    std::fs::write(&own, small_config(&fixture().at("data"), own.parent().unwrap(), 20)).unwrap();
    avdit(&["train", &text(&own)]).refused(2, &["would write its own configuration over it", "hint: move"]);
}

#[test]
fn a_shard_that_is_cut_off_is_found_before_the_run_is_begun_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = fixture().copy_of("data", folder.path());
    let run = fixture().copy_of("run", folder.path());
    let shard = data.join("latents-00000.safetensors");
    let whole = std::fs::read(&shard).unwrap();
    std::fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
    let config = folder.path().join("run.toml");
    std::fs::write(&config, small_config(&data, &run, 20)).unwrap();
    avdit(&["train", &text(&config), "--overwrite"]).refused(BAD_INPUT, &["latents-00000.safetensors"]);
    assert!(weights(&run, 20) == weights(&fixture().at("run"), 20), "its checkpoint is there");
}
