//! Adapters of a small AV-DiT on a small DiT: to peft and back, and merged.

use crate::fixture::{avdit, fixture, text};
use avdit_core::DenoiserSpec;
use avdit_core::schedule::ScheduleKind;
use avdit_core::target::Target;
use avdit_media::codec::file_sha256;
use avdit_media::tensors::{TensorRef, write_tensors};
use avdit_nets::av_dit::FusionForm;
use avdit_nets::{AvDitConfig, DitConfig};
use avdit_trainer::{Adapter, AdapterConfig};
use serde_json::{Value, json};
use std::path::Path;

fn network() -> AvDitConfig {
    let text = r#"{"width":16,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    serde_json::from_str(text).unwrap()
}

/// A DiT as it begins; returns the SHA-256 of its tensors.
fn write_base(folder: &Path, config: &DitConfig, seed: u64) -> String {
    std::fs::create_dir(folder).unwrap();
    let list = config.parameters();
    let values: Vec<_> = list.iter().enumerate().map(|(i, p)| p.initial(seed, i)).collect();
    let refs = list.iter().zip(&values);
    let refs: Vec<_> =
        refs.map(|(p, values)| TensorRef { name: &p.name, shape: p.shape.clone(), values }).collect();
    let path = folder.join("model.safetensors");
    write_tensors(&path, &Default::default(), &refs).unwrap();
    let sha256 = file_sha256(&path).unwrap();
    let about = json!({
        "format": "avdit-network/1", "kind": "dit", "config": config, "weights_sha256": sha256, "source": {},
    });
    std::fs::write(folder.join("network.json"), about.to_string()).unwrap();
    sha256
}

/// `dit/`, `other/` (of another seed) and `adapter/`.
fn fill(folder: &Path) -> [String; 2] {
    let network = network();
    let hashes = [("dit", 1), ("other", 2)]
        .map(|(name, seed)| write_base(&folder.join(name), &network.backbone(), seed));
    let trained = network.marked_parameters().into_iter().filter(|(_, trained)| *trained);
    let weights = trained.map(|(p, _)| (p.name.clone(), p.random(3))).collect();
    let (target, schedule) = (Target::Epsilon, ScheduleKind::Linear);
    let spec = DenoiserSpec { layout: network.layout(), target, schedule, timesteps: 1000 };
    let config = AdapterConfig::new(&hashes[0], network, spec, Default::default());
    Adapter { config, weights }.write(&folder.join("adapter")).unwrap();
    hashes
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn lora_goes_to_peft_and_back_with_every_byte() {
    let folder = tempfile::tempdir().unwrap();
    fill(folder.path());
    let at = |name: &str| text(&folder.path().join(name));
    let said = avdit(&["adapter", "to-peft", &at("adapter"), "-o", &at("peft")]).ok();
    assert!(said.out.contains("audio: rank 3") && said.out.contains("fusion: rank 2"), "{}", said.out);
    assert!(said.out.contains("1280 values of LoRA"), "{}", said.out);
    let config = json_of(&folder.path().join("peft/fusion/adapter_config.json"));
    assert_eq!((&config["peft_type"], &config["r"]), (&json!("LORA"), &json!(2)));

    let back = ["adapter", "from-peft", &at("peft"), "--into", &at("adapter"), "-o", &at("new"), "--json"];
    let said: Value = serde_json::from_str(&avdit(&back).ok().out).unwrap();
    assert_eq!((&said["changed_tensors"], &said["lora_scale"]), (&json!(0), &json!(0.7)));
    for file in ["adapter.safetensors", "adapter.json"] {
        let read = |name: &str| std::fs::read(folder.path().join(name).join(file)).unwrap();
        assert!(read("new") == read("adapter"), "{file}");
    }
    avdit(&["adapter", "to-peft", &at("dit"), "-o", &at("p")]).refused(3, &["adapter.json"]);
    avdit(&["adapter", "to-peft", &at("adapter"), "-o", &at("dit")])
        .refused(3, &["dit: holds something other than peft adapters", "-o"]);
    avdit(&["adapter", "from-peft", &at("dit"), "--into", &at("adapter"), "-o", &at("p")])
        .refused(3, &["has no folder audio"]);
}

#[test]
fn merge_writes_a_network_that_stands_alone_and_says_its_sizes_and_what_stays() {
    let folder = tempfile::tempdir().unwrap();
    let hashes = fill(folder.path());
    let at = |name: &str| text(&folder.path().join(name));
    let merge = |base: &str, out: &str, more: &[&str]| {
        avdit(&[&["merge", "--base", &at(base), "--adapter", &at("adapter"), "-o", &at(out)], more].concat())
    };
    let (separate, merged) = (network(), network().in_merged_form());
    let said = merge("dit", "merged", &[]).ok();
    for part in [
        format!("together {} ", separate.parameter_count()),
        format!("after: {} values", merged.parameter_count()),
        "in each block 1088 for the attention of each of 2 sites".to_owned(),
        "not folded: temporal attention".to_owned(),
        "not folded: audio adapter".to_owned(),
        "not folded: fusion gates".to_owned(),
    ] {
        assert!(said.out.contains(&part), "no '{part}' in {}", said.out);
    }
    let about = json_of(&folder.path().join("merged/network.json"));
    assert_eq!((&about["kind"], &about["config"]), (&json!("av-dit"), &json!(merged)));
    let sha256 = file_sha256(&folder.path().join("merged/model.safetensors")).unwrap();
    assert_eq!(about["weights_sha256"], json!(sha256));

    let said: Value =
        serde_json::from_str(&merge("dit", "kept", &["--keep-factors", "--json"]).ok().out).unwrap();
    assert_eq!((&said["lora"], &said["values"]), (&json!("separate"), &json!(separate.parameter_count())));
    assert_eq!(json_of(&folder.path().join("kept/network.json"))["config"], json!(separate));

    let refused = merge("other", "x", &[]).refused(3, &["was trained on the base", "sha256sum"]);
    assert!(hashes.iter().all(|hash| refused.err.contains(hash)), "{}", refused.err);
    merge("merged", "x", &[]).refused(3, &["network.json: kind is av-dit, expected dit"]);
    merge("nowhere", "x", &[]).refused(3, &["nowhere: holds no network.json", "avdit import"]);
    merge("dit", "other", &[]).refused(3, &["other: holds something other than a merged AV-DiT"]);
    assert!(!folder.path().join("x").exists());
}

#[test]
fn help_shows_examples() {
    for (command, example) in [
        (&["merge", "--help"][..], "avdit merge --base dit/ --adapter adapter/ -o merged/ --keep-factors"),
        (&["adapter", "to-peft", "--help"], "avdit adapter to-peft adapter/ -o peft/"),
        (&["adapter", "from-peft", "--help"], "avdit adapter from-peft peft/ --into adapter/ -o new/"),
    ] {
        let said = avdit(command).ok();
        assert!(said.out.contains(example), "{}", said.out);
    }
}

#[test]
fn from_an_image_network_to_clips_by_adapters_that_travel_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let data = text(&fixture().at("data"));
    let train = |name: &str, model: &str| {
        let config = format!(
            "data = '{data}'\nout = '{}'\n[model]\n{model}\n[optimizer]\nema_decay = 0.5\n[run]\nsteps = 3\nbatch = 4\n\
             measure_matmul = false\n",
            at(name)
        );
        std::fs::write(folder.path().join("run.toml"), config).unwrap();
        avdit(&["train", &at("run.toml")]).ok();
    };
    train("pictures", "architecture = 'dit'\nwidth = 32\ndepth = 2\nheads = 2");
    let adapters = "[model.adapters]\naudio_bins = 8\naudio_rank = 2\nfusion_rank = 2";
    train("run", &format!("architecture = 'av-dit'\nbase = '{}'\n{adapters}", at("pictures")));

    avdit(&["export", &at("pictures"), "-o", &at("model")])
        .refused(3, &["a dit, makes pictures and no clips", "hint: train adapters"]);
    avdit(&["adapter", "extract", &at("pictures"), "-o", &at("adapter")])
        .refused(3, &["no checkpoint of adapters", "hint: train"]);
    let said = avdit(&["adapter", "extract", &at("run"), "-o", &at("adapter")]).ok().out;
    assert!(said.contains("% of the network's") && said.contains("its base: "), "{said}");
    let merge = ["merge", "--base", &at("pictures"), "--adapter", &at("adapter"), "-o", &at("merged")];
    avdit(&merge).ok();
    for (from, to) in [("run", "model"), ("merged", "merged-model")] {
        let said = avdit(&["export", &at(from), "-o", &at(to), "--json"]).ok().out;
        let record: Value = serde_json::from_str(&said).unwrap();
        assert!(!record["parity"].as_array().unwrap().is_empty(), "{record}");
        let out = at(&format!("{to}.mp4"));
        avdit(&["sample", &at(to), "--task", "joint", "--steps", "2", "-o", &out]).ok();
        assert!(Path::new(&out).is_file());
    }
    // Folded by the export or before it: one graph, and the checkpoint behind it is found again.
    avdit(&["export", &at("run"), "--merge", "-o", &at("folded")]).ok();
    let graph = |name: &str| std::fs::read(folder.path().join(name).join("model.onnx")).unwrap();
    assert!(graph("folded") == graph("merged-model") && graph("folded") != graph("model"));
    let sample = |model: &str, engine: &str, out: &str| {
        let out = at(out);
        let args = ["sample", &at(model), "--task", "joint", "--steps", "2", "--engine", engine, "-o", &out];
        avdit(&args).ok();
    };
    sample("folded", "candle", "folded.mp4");
    std::fs::write(folder.path().join("network.json"), json!(network()).to_string()).unwrap();
    let random = ["export", "--random", "1", "--config", &at("network.json"), "--merge", "-o", &at("random")];
    avdit(&random).ok();
    let once = ["--steps", "2", "--min-runs", "1", "--duration-s", "0.1", "--no-limits"];
    avdit(&[&["bench", &at("random"), "--engine", "candle"][..], &once].concat()).ok();
    avdit(&["export", &at("merged"), "--merge", "-o", &at("x")]).refused(2, &["merged already"]);
    let parts = "{\"temporal\":true,\"audio_lora\":false,\"fusion\":false,\"audio_adapter\":true}";
    let bare = json!(AvDitConfig { parts: serde_json::from_str(parts).unwrap(), ..network() });
    std::fs::write(folder.path().join("network.json"), bare.to_string()).unwrap();
    avdit(&random).refused(2, &["it has no LoRA"]);
    let cross = AvDitConfig { fusion_form: FusionForm::Cross, ..network() };
    std::fs::write(folder.path().join("network.json"), json!(cross).to_string()).unwrap();
    let said = avdit(&[&random[..], &["--json"]].concat()).ok().out;
    let record: Value = serde_json::from_str(&said).unwrap();
    assert!(!record["parity"].as_array().unwrap().is_empty(), "{record}");
    avdit(&["export", "--random", "1", "--preset", "tiny", "--merge", "-o", &at("x")])
        .refused(2, &["only an AV-DiT", "avdit"]);

    // The variance that it has learnt, where there is one.
    let out = at("learned.mp4");
    let learned = ["--task", "joint", "--steps", "2", "--sampler", "ddpm-learned", "-o", &out];
    for (model, engine) in [("model", "tract"), ("folded", "candle")] {
        avdit(&[&["sample", &at(model), "--engine", engine][..], &learned].concat()).ok();
        std::fs::remove_file(&out).unwrap();
    }
    avdit(&["export", &at("run"), "--fused-step=ddpm-learned", "-o", &at("x")])
        .refused(3, &["ddpm-learned", "export without --fused-step"]);
    train(
        "untold",
        &format!(
            "architecture = 'av-dit'\nbase = '{}'\n{adapters}\n[objective]\nvariance_weight = 0.0",
            at("pictures")
        ),
    );
    avdit(&["export", &at("untold"), "-o", &at("untold-model"), "--check", "none"]).ok();
    avdit(&[&["sample", &at("untold-model")][..], &learned].concat())
        .refused(3, &["was never trained", "--sampler ddpm"]);
}
