//! Adapters on a small network: folders, their checks, and the base that they stand on.

use super::network_file::{self, NetworkFile};
use super::*;
use avdit_core::schedule::ScheduleKind;
use avdit_core::target::Target;
use avdit_media::codec::file_sha256;
use avdit_nets::DitConfig;
use std::path::PathBuf;

mod merged;
mod through_peft;

/// The ranks differ, and the scale is no power of two.
fn network() -> AvDitConfig {
    let text = r#"{"width":16,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    serde_json::from_str(text).unwrap()
}

fn spec(network: &AvDitConfig) -> DenoiserSpec {
    let (target, schedule) = (Target::Epsilon, ScheduleKind::Linear);
    DenoiserSpec { layout: network.layout(), target, schedule, timesteps: 1000 }
}

/// Writes a base with random values; returns its folder.
fn write_base(folder: &Path, config: &DitConfig, seed: u64) -> PathBuf {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(network_file::WEIGHTS_FILE);
    let values: Vec<_> = config.parameters().into_iter().map(|p| (p.random(seed), p)).collect();
    let refs = values.iter().map(|(values, p)| TensorRef { name: &p.name, shape: p.shape.clone(), values });
    write_tensors(&path, &metadata(network_file::FORMAT), &refs.collect::<Vec<_>>()).unwrap();
    let about = NetworkFile {
        format: network_file::FORMAT.to_owned(),
        kind: crate::base::KIND.to_owned(),
        config: config.clone(),
        weights_sha256: file_sha256(&path).unwrap(),
        source: Map::new(),
    };
    write_json(&folder.join(network_file::CONFIG_FILE), &about).unwrap();
    folder.to_owned()
}

/// An adapter with random values to a base.
fn adapter(network: &AvDitConfig, base_sha256: &str) -> Adapter {
    let trained = network.marked_parameters().into_iter().filter(|(_, trained)| *trained);
    let weights = trained.map(|(p, _)| (p.name.clone(), p.random(7))).collect();
    let provenance = Map::from_iter([("run".to_owned(), "runs/first".into())]);
    Adapter { config: AdapterConfig::new(base_sha256, network.clone(), spec(network), provenance), weights }
}

/// `base/` and `adapter/` in a folder.
fn both(folder: &Path) -> (PathBuf, PathBuf, Adapter) {
    let base = write_base(&folder.join("base"), &network().backbone(), 1);
    let adapter = adapter(&network(), &file_sha256(&base.join(network_file::WEIGHTS_FILE)).unwrap());
    let path = folder.join("adapter");
    adapter.write(&path).unwrap();
    (base, path, adapter)
}

/// Writes tensors of any names and shapes in place of an adapter's, with values that count up.
fn replace(adapter: &Path, shapes: &BTreeMap<String, Vec<usize>>, change: impl Fn(&str, &mut Vec<f32>)) {
    let values = shapes.iter().map(|(name, shape)| {
        let mut values = (0..shape.iter().product()).map(|i: usize| i as f32).collect();
        change(name, &mut values);
        (name, shape, values)
    });
    let all: Vec<_> = values.collect();
    let refs = all.iter().map(|(name, shape, values)| TensorRef { name, shape: shape.to_vec(), values });
    write_tensors(&adapter.join(WEIGHTS_FILE), &metadata(FORMAT), &refs.collect::<Vec<_>>()).unwrap();
}

fn said<T>(result: Result<T>) -> String {
    result.err().unwrap().to_string()
}

#[test]
fn an_adapter_comes_back_bit_for_bit_and_its_bytes_are_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path, adapter) = both(folder.path());
    assert!(Adapter::read(&path).unwrap() == adapter);
    let bytes = std::fs::read(path.join(WEIGHTS_FILE)).unwrap();
    adapter.write(&path).unwrap();
    assert!(std::fs::read(path.join(WEIGHTS_FILE)).unwrap() == bytes);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|x| x.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "nothing is left beside base and adapter: {left:?}");
    let text = std::fs::read_to_string(path.join(CONFIG_FILE)).unwrap();
    let config: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((config["format"].as_str(), config["base"]["kind"].as_str()), (Some(FORMAT), Some("dit")));
    assert_eq!(config["spec"]["timesteps"], 1000);
}

#[test]
fn an_adapter_holds_what_is_trained_and_nothing_else() {
    let config = AdapterConfig::new("", network(), spec(&network()), Map::new());
    let shapes = config.shapes();
    assert!(
        shapes.contains_key("blocks.1.fusion_gate_audio") && shapes.contains_key("blocks.0.attn.qkv.bias")
    );
    assert!(shapes.contains_key("y_embedder.embedding_table.weight"));
    assert!(!shapes.contains_key("blocks.0.attn.qkv.weight"));
    let count: usize = shapes.values().map(|shape| shape.iter().product::<usize>()).sum();
    assert_eq!(count, network().trained_count());
}

#[test]
fn the_published_adapter_is_less_than_a_fifth_of_its_model() {
    let published = AvDitConfig::published();
    let config = AdapterConfig::new("", published.clone(), spec(&published), Map::new());
    let count: usize = config.shapes().values().map(|shape| shape.iter().product::<usize>()).sum();
    assert_eq!((count, published.parameter_count()), (159_865_440, 833_057_376));
    assert!((count as f64) < 0.2 * published.parameter_count() as f64);
    // Folding adds a copy of 4·D·(D + 1) values for each of two sites in 28 blocks, and takes 2·4·72·D of factors each.
    let merged = published.in_merged_form().parameter_count();
    let (d, sites) = (1152, 2 * 28);
    assert_eq!(merged, 833_057_376 + sites * (4 * d * (d + 1)) - sites * (8 * 72 * d));
    assert_eq!(merged, 1_093_427_808);
}

#[test]
fn another_base_is_refused_with_both_hashes_and_the_command_that_tells_them() {
    let folder = tempfile::tempdir().unwrap();
    let (base, path, adapter) = both(folder.path());
    let own = file_sha256(&base.join(network_file::WEIGHTS_FILE)).unwrap();
    adapter.check_base(&own).unwrap();
    let other = write_base(&folder.path().join("other"), &network().backbone(), 2);
    let hash = file_sha256(&other.join(network_file::WEIGHTS_FILE)).unwrap();
    for text in [said(adapter.check_base(&hash)), said(Adapted::open(&other, &path))] {
        assert!(text.contains(&own) && text.contains(&hash) && text.contains("sha256sum"), "{text}");
    }
    // A base whose tensors are not those that it speaks of.
    std::fs::copy(other.join(network_file::WEIGHTS_FILE), base.join(network_file::WEIGHTS_FILE)).unwrap();
    let text = said(Adapted::open(&base, &path));
    assert!(text.contains("model.safetensors: has SHA-256") && text.contains(&own), "{text}");
}

#[test]
fn a_base_of_another_configuration_is_refused_with_every_field_but_the_grid_may_differ() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path, _) = both(folder.path());
    let config = DitConfig { classes: 5, mlp_ratio: 2.0, size: [8, 8], ..network().backbone() };
    let other = write_base(&folder.path().join("other"), &config, 1);
    let text = said(Adapted::open(&other, &path));
    assert!(text.contains("classes: 5, the adapter's network has 3"), "{text}");
    assert!(
        text.contains("mlp_ratio: 2.0, the adapter's network has 4.0") && !text.contains("size"),
        "{text}"
    );

    let config = DitConfig { size: [32, 32], ..network().backbone() };
    let larger = write_base(&folder.path().join("larger"), &config, 1);
    let (config, adapted) = Adapted::open(&larger, &path).unwrap();
    assert_eq!(adapted.names().len(), config.network.parameters().len());
}

#[test]
fn all_tensors_that_do_not_fit_are_in_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path, adapter) = both(folder.path());
    let mut shapes = adapter.config.shapes();
    shapes.remove("audio_final.bias").unwrap();
    shapes.insert("blocks.0.attn.qkv.weight".into(), vec![48, 16]);
    shapes.insert("blocks.1.audio_lora.q.A".into(), vec![4, 16]);
    replace(&path, &shapes, |_, _| ());
    let text = said(Adapter::read(&path));
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(text.contains("adapter.safetensors: 3 tensors do not fit the network's"), "{text}");
    assert_eq!(
        rows[1..4],
        [
            vec!["tensor", "expected", "found"],
            vec!["audio_final.bias", "[16]", "missing"],
            vec!["blocks.0.attn.qkv.weight", "none", "[48,", "16]"],
        ]
    );
    assert_eq!(rows[4], ["blocks.1.audio_lora.q.A", "[3,", "16]", "[4,", "16]"]);

    // Of another network altogether: as many rows as can be read.
    replace(&path, &BTreeMap::from([("x".to_owned(), vec![1])]), |_, _| ());
    let text = said(Adapter::read(&path));
    assert!(text.ends_with(&format!("and {} more", adapter.weights.len() + 1 - 32)), "{text}");

    let mut broken = adapter.clone();
    broken.weights.remove("audio_final.bias");
    broken.weights.insert("x".into(), vec![0.0]);
    let text = said(broken.write(&folder.path().join("new")));
    assert!(text.contains("2 tensors") && text.contains("16 values") && text.contains("1 values"), "{text}");
    assert!(!folder.path().join("new").exists());
}

#[test]
fn a_value_that_is_not_finite_is_neither_written_nor_read() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path, adapter) = both(folder.path());
    replace(&path, &adapter.config.shapes(), |name, values| {
        if name == "blocks.1.temporal.q.bias" {
            values[3] = f32::NAN;
        }
    });
    let text = said(Adapter::read(&path));
    assert!(text.ends_with("adapter.safetensors: tensor blocks.1.temporal.q.bias: value 3 is NaN"), "{text}");
    let mut broken = adapter;
    broken.weights.get_mut("audio_final.bias").unwrap()[2] = f32::INFINITY;
    let text = said(broken.write(&path));
    assert!(text.ends_with("tensor audio_final.bias: value 2 is inf"), "{text}");
}

#[test]
fn a_configuration_that_speaks_of_something_else_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, path, adapter) = both(folder.path());
    let file = path.join(CONFIG_FILE);
    let sound: Value = serde_json::to_value(&adapter.config).unwrap();
    for (pointer, value, expected) in [
        ("/format", "avdit-adapter/2", "format is avdit-adapter/2, expected avdit-adapter/1"),
        ("/base/kind", "unet", "base is of kind unet, expected dit"),
        ("/base/weights_sha256", "A1", "\"A1\" is no SHA-256"),
        ("/network/lora", "merged", "an adapter holds factors"),
        ("/network/heads", "x", "invalid type"),
    ] {
        let mut config = sound.clone();
        *config.pointer_mut(pointer).unwrap_or(&mut Value::Null) = value.into();
        if pointer == "/network/lora" {
            config["network"]["lora"] = value.into();
        }
        std::fs::write(&file, config.to_string()).unwrap();
        let text = said(Adapter::open(&path));
        assert!(text.contains("adapter.json: ") && text.contains(expected), "{pointer}: {text}");
    }
    let mut config = sound;
    config["spec"]["layout"]["video"]["height"] = 8.into();
    std::fs::write(&file, config.to_string()).unwrap();
    assert!(said(Adapter::open(&path)).contains("spec.layout is "));
}

#[test]
fn what_is_no_adapter_is_not_overwritten_and_a_failure_leaves_the_earlier_one() {
    let folder = tempfile::tempdir().unwrap();
    let (base, path, adapter) = both(folder.path());
    let text = said(adapter.write(&base));
    assert!(text.contains("holds something other than an adapter") && text.contains("-o"), "{text}");
    assert!(base.join(network_file::WEIGHTS_FILE).is_file());
    std::fs::write(path.join("notes.txt"), "").unwrap();
    assert!(said(adapter.write(&path)).contains("holds something other than an adapter"));
    std::fs::remove_file(path.join("notes.txt")).unwrap();
    // Cut off between the two renames of replacing: the earlier one is put back, then replaced.
    std::fs::rename(&path, folder.path().join(".adapter.old")).unwrap();
    adapter.write(&path).unwrap();
    assert!(Adapter::read(&path).unwrap() == adapter && !folder.path().join(".adapter.old").exists());
    assert!(said(adapter.write(Path::new("/"))).contains("must end in its name"));
}

#[test]
fn a_base_and_an_adapter_are_one_network_or_a_table_of_what_neither_has() {
    let folder = tempfile::tempdir().unwrap();
    let (base_path, path, adapter) = both(folder.path());
    let (config, adapted) = Adapted::open(&base_path, &path).unwrap();
    let backbone = network().backbone().parameters();
    for (parameter, trained) in config.network.marked_parameters() {
        assert_eq!(adapted.shape(&parameter.name).as_ref(), Some(&parameter.shape));
        let expected = match trained {
            true => adapter.weights[&parameter.name].clone(),
            false => backbone.iter().find(|p| p.name == parameter.name).unwrap().random(1),
        };
        assert!(adapted.load(&parameter.name).unwrap() == expected, "{}", parameter.name);
    }
    assert_eq!(adapted.shape("blocks.9.attn.qkv.bias"), None);

    let mut shapes: BTreeMap<_, _> = backbone.iter().map(|p| (p.name.clone(), p.shape.clone())).collect();
    let open = |shapes: &BTreeMap<String, Vec<usize>>, file: &Path| WeightFile::open(file, shapes).unwrap();
    let file = path.join(WEIGHTS_FILE);
    shapes.remove("blocks.0.attn.qkv.weight");
    shapes.insert("blocks.0.mlp.fc1.weight".into(), vec![1]);
    shapes.insert("other".into(), vec![2]);
    let mixed = folder.path().join("mixed");
    std::fs::create_dir(&mixed).unwrap();
    replace(&mixed, &shapes, |_, _| ());
    let base = open(&shapes, &mixed.join(WEIGHTS_FILE));
    let mut grown = adapter.config.shapes();
    grown.insert("blocks.0.mlp.fc2.weight".into(), vec![16, 64]);
    replace(&path, &grown, |_, _| ());
    let text = said(Adapted::new(base, open(&grown, &file), &network()));
    let lines: Vec<_> = text.lines().skip(2).map(str::trim).collect();
    assert_eq!(lines.len(), 4, "{text}");
    assert!(lines[0].starts_with("blocks.0.attn.qkv.weight"), "{text}");
    assert!(
        lines[0].contains("[48, 16] in the base alone")
            && lines[0].contains("missing in the base, missing in the adapter")
    );
    assert!(
        lines[1].starts_with("blocks.0.mlp.fc1.weight") && lines[1].contains("[1] in the base"),
        "{text}"
    );
    assert!(lines[2].starts_with("blocks.0.mlp.fc2.weight") && lines[2].contains("[16, 64] in the adapter"));
    assert!(lines[3].starts_with("other") && lines[3].contains("none"), "{text}");
}
