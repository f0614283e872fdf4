//! The cache without TensorRT: keys, finding, explaining, clearing, and what a batch may be.

use super::store::snapshot;
use super::*;
use avdit_core::{AudioLayout, DenoiserSpec, Noise, Purpose, ScheduleKind, Stream, Target};
use avdit_export::{ExportOptions, ModelConfig, ModelFolder, Provenance, export_denoiser};
use avdit_nets::AvditConfig;
use avdit_nets::avdit::VideoConfig;
use std::collections::HashSet;
use std::fs;
use std::time::{Duration, SystemTime};
use tempfile::TempDir;

/// A small network with its weights beside the graph.
fn exported(batch: Option<usize>) -> TempDir {
    let config = AvditConfig {
        width: 8,
        depth: 1,
        heads: 1,
        mlp_ratio: 1.0,
        qk_norm: true,
        adaln_rank: None,
        video: VideoConfig { frames: 2, channels: 1, height: 2, width: 2, patch: 2, segments: vec![1, 1] },
        audio: AudioLayout { frames: 3, channels: 2, segments: vec![1, 2] },
    };
    let values = |(i, parameter): (usize, avdit_nets::Parameter)| {
        let mut values = vec![0.0; parameter.len()];
        Noise::new(5).normals(Stream::new(Purpose::Check, 0, i as u32), &mut values);
        (parameter.name, (parameter.shape, values))
    };
    let weights: avdit_export::WeightMap = config.parameters().into_iter().enumerate().map(values).collect();
    let spec = DenoiserSpec {
        layout: config.layout(),
        target: Target::V,
        schedule: ScheduleKind::Cosine,
        timesteps: 1000,
    };
    let external_data = avdit_onnx::ExternalData::Always;
    let options = ExportOptions { external_data, batch, ..ExportOptions::default() };
    let model = export_denoiser(&config, &weights, &spec, &options).unwrap();
    let place = tempfile::tempdir().unwrap();
    let folder = ModelFolder::begin(place.path()).unwrap();
    let record = folder.write(&model, &ModelConfig::of(config, spec, Provenance::new()), &options).unwrap();
    folder.commit(&record).unwrap();
    place
}

fn key() -> EngineKey {
    EngineKey {
        tf32_override: None,
        graph_sha256: "ab".repeat(32),
        profile: BatchProfile { min: 1, opt: 2, max: 4 },
        workspace: None,
        builder_level: None,
        fallback: false,
        gpu: Some("NVIDIA H200".to_owned()),
        sm: Some("9.0".to_owned()),
        driver: Some("580.65.06".to_owned()),
        tensorrt: Some("10.13.3".to_owned()),
        onnx_runtime: "1.31.1".to_owned(),
    }
}

/// The same machine asking for a batch, of any profile or of one.
fn wanted(key: EngineKey, batch: usize, exact: bool) -> Wanted {
    Wanted { key, model: PathBuf::from("model"), batch, exact }
}

/// Puts an engine of `bytes` bytes in the cache, as a build would.
fn put(store: &Store, model: &Model, key: &EngineKey, bytes: usize) -> Entry {
    let begun = store.begin(key, model).unwrap();
    fs::write(begun.folder.join("avdit_graph_sm90.engine"), vec![7; bytes]).unwrap();
    store.commit(&begun, key.clone(), Path::new("model"), 61.5).unwrap()
}

/// A cache and a model whose batch is free.
fn fixture() -> (TempDir, Store, Model) {
    let (folder, place) = (exported(None), tempfile::tempdir().unwrap());
    let store = Store::new(Some(&place.path().join("engines"))).unwrap();
    (place, store, Model::read(folder.path()).unwrap())
}

fn only(batch: usize) -> EngineKey {
    EngineKey { profile: BatchProfile::only(batch), ..key() }
}

#[test]
fn every_field_of_a_key_changes_its_name() {
    let base = key();
    let text = |text: &str| Some(text.to_owned());
    let changed = [
        EngineKey { graph_sha256: "cd".repeat(32), ..base.clone() },
        EngineKey { profile: BatchProfile { min: 1, opt: 1, max: 4 }, ..base.clone() },
        EngineKey { profile: BatchProfile { min: 1, opt: 2, max: 8 }, ..base.clone() },
        EngineKey { workspace: Some(crate::engine::ByteSize(1 << 30)), ..base.clone() },
        EngineKey { builder_level: Some(5), ..base.clone() },
        EngineKey { fallback: true, ..base.clone() },
        EngineKey { tf32_override: Some("0".to_owned()), ..base.clone() },
        EngineKey { gpu: text("NVIDIA L4"), ..base.clone() },
        EngineKey { sm: text("8.9"), ..base.clone() },
        EngineKey { driver: text("580.95.05"), ..base.clone() },
        EngineKey { tensorrt: None, ..base.clone() },
        EngineKey { onnx_runtime: "1.30.0".to_owned(), ..base.clone() },
    ];
    let ids: HashSet<_> = changed.iter().chain([&base]).map(EngineKey::id).collect();
    assert_eq!(ids.len(), changed.len() + 1);
    assert!(ids.iter().all(|id| id.len() == 64));
    assert_eq!(base.id(), key().id());
    // What a user is told of a difference covers what makes one.
    assert!(changed.iter().all(|changed| changed.fields() != base.fields()));
}

#[test]
fn the_checksum_of_a_graph_covers_its_weights_and_not_its_place() {
    let (one, other) = (exported(None), exported(None));
    let sha = |folder: &TempDir| key::graph_sha256(&Model::read(folder.path()).unwrap()).unwrap();
    let first = sha(&one);
    assert_eq!(first, sha(&other));
    let path = other.path().join("model.onnx_data");
    let mut weights = fs::read(&path).unwrap();
    *weights.last_mut().unwrap() ^= 1;
    fs::write(&path, &weights).unwrap();
    assert_ne!(first, sha(&other));
    assert_ne!(first, sha(&exported(Some(1))));
}

#[test]
fn shapes_are_those_of_the_inputs_at_each_batch() {
    let model = Model::read(exported(None).path()).unwrap();
    let shapes = Shapes::of(&model, BatchProfile { min: 1, opt: 2, max: 3 }).unwrap();
    assert_eq!(shapes.min, "video:1x2x1x2x2,audio:1x3x2,video_timesteps:1x2,audio_timesteps:1x2");
    assert!(shapes.opt.starts_with("video:2x2x1") && shapes.max.ends_with("audio_timesteps:3x2"));
    assert_eq!(Shapes::of(&Model::read(exported(Some(2)).path()).unwrap(), BatchProfile::only(2)), None);
}

#[test]
fn an_empty_cache_names_the_command_that_fills_it() {
    let (_place, store, model) = fixture();
    let error = wanted(only(2), 2, false).find(&store, &model).unwrap_err().to_string();
    assert!(error.contains("for batch 2: the cache is empty"), "{error}");
    assert!(
        error.contains("hint: run `avdit engine build model --batch 2`, or add --build-engine"),
        "{error}"
    );
    assert!(store.list().unwrap().is_empty() && !store.root().exists());
}

#[test]
fn what_was_built_is_found_by_any_batch_of_its_profile() {
    let (_place, store, model) = fixture();
    let entry = put(&store, &model, &key(), 100);
    assert_eq!(entry.folder, store.root().join(key().id()));
    for batch in [1, 2, 4] {
        let found = wanted(only(batch), batch, false).find(&store, &model).unwrap();
        assert_eq!((&found.folder, found.profile, found.building), (&entry.folder, key().profile, false));
        assert_eq!(found.shapes, Shapes::of(&model, key().profile));
        assert!(found.check_batch(batch, Path::new("model/model.onnx")).is_ok());
        let error = found.check_batch(5, Path::new("model/model.onnx")).unwrap_err().to_string();
        assert!(error.contains("batch 5 is outside") && error.contains("video:4x2x1x2x2"), "{error}");
    }
    // By its profile alone where one was asked for.
    assert!(wanted(key(), 2, true).find(&store, &model).is_ok());
    let narrow = wanted(only(2), 2, true).find(&store, &model).unwrap_err().to_string();
    assert!(narrow.contains("profile batch 1..2..4 instead of batch 2"), "{narrow}");
}

#[test]
fn the_engine_nearest_to_the_batch_is_taken() {
    let (_place, store, model) = fixture();
    put(&store, &model, &key(), 100);
    put(&store, &model, &EngineKey { profile: BatchProfile { min: 1, opt: 4, max: 8 }, ..key() }, 100);
    put(&store, &model, &only(2), 100);
    for (batch, profile) in [(1, "batch 1..2..4"), (2, "batch 2"), (4, "batch 1..4..8"), (8, "batch 1..4..8")]
    {
        let found = wanted(only(batch), batch, false).find(&store, &model).unwrap();
        assert_eq!(found.profile.to_string(), profile, "{batch}");
    }
}

#[test]
fn a_batch_outside_every_profile_is_refused_with_profile_and_shapes() {
    let (_place, store, model) = fixture();
    put(&store, &model, &key(), 100);
    for wanted in [wanted(only(5), 5, false), wanted(key(), 5, true)] {
        let error = wanted.find(&store, &model).unwrap_err();
        assert!(matches!(error, Error::OutsideProfile { batch: 5, .. }), "{error}");
        let text = error.to_string();
        for part in
            ["batch 1..2..4", "video:1x2x1x2x2", "video:4x2x1x2x2", "avdit engine build model --batch 5"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert_eq!(store.list().unwrap().len(), 1);
}

#[test]
fn a_miss_names_what_differs_from_the_nearest_engine() {
    let (_place, store, model) = fixture();
    put(&store, &model, &EngineKey { graph_sha256: "cd".repeat(32), ..key() }, 100);
    let other_driver = EngineKey { driver: Some("570.1".to_owned()), sm: None, ..key() };
    let nearest = put(&store, &model, &other_driver, 100);
    let explained = wanted(key(), 2, true).explain(&store, &model).unwrap();
    assert_eq!(
        (&explained.hit, &explained.nearest),
        (&None, &Some(store.list().unwrap().into_iter().find(|e| e.folder == nearest.folder).unwrap()))
    );
    let told: Vec<_> = explained.differences.iter().map(|d| (d.field, &*d.wanted, &*d.cached)).collect();
    assert_eq!(told, [("architecture", "9.0", "unknown"), ("driver", "580.65.06", "570.1")]);
    assert!(explained.miss.unwrap().contains("driver 570.1 instead of 580.65.06"));
    let hit = wanted(other_driver, 2, true).explain(&store, &model).unwrap();
    assert_eq!((hit.hit.unwrap().folder, hit.miss, hit.nearest), (nearest.folder, None, None));
}

#[test]
fn a_damaged_engine_is_no_engine() {
    let (_place, store, model) = fixture();
    let damage: [fn(&Path); 5] = [
        |folder| fs::remove_file(folder.join("avdit_graph_sm90.engine")).unwrap(),
        |folder| fs::write(folder.join("avdit_graph_sm90.engine"), [7; 99]).unwrap(),
        |folder| fs::write(folder.join("manifest.json"), "{").unwrap(),
        |folder| fs::remove_file(folder.join("manifest.json")).unwrap(),
        |folder| {
            let text = fs::read_to_string(folder.join("manifest.json")).unwrap();
            fs::write(folder.join("manifest.json"), text.replace("580.65.06", "580.65.07")).unwrap();
        },
    ];
    for damage in damage {
        let entry = put(&store, &model, &key(), 100);
        assert!(wanted(key(), 1, true).find(&store, &model).is_ok());
        damage(&entry.folder);
        assert!(matches!(wanted(key(), 1, true).find(&store, &model), Err(Error::NoEngine { .. })));
    }
    let removed = store.collect(Keep::Newest(9), SystemTime::now()).unwrap();
    assert_eq!(removed.folders, [store.root().join(key().id())]);
}

#[test]
fn clearing_keeps_what_it_is_told_to_and_nothing_that_is_not_an_engine() {
    let (place, store, model) = fixture();
    let now = SystemTime::now();
    let ago = |entry: &Entry, hours: u64| {
        let file = fs::File::options().write(true).open(entry.folder.join("used")).unwrap();
        file.set_modified(now - Duration::from_secs(hours * 3600)).unwrap();
    };
    let [old, middle, new] = [1, 2, 3].map(|batch| put(&store, &model, &only(batch), 1000));
    for (entry, hours) in [(&old, 100), (&middle, 50), (&new, 1)] {
        ago(entry, hours);
    }
    let kept = || -> Vec<_> { store.list().unwrap().into_iter().map(|entry| entry.folder).collect() };
    assert_eq!(kept(), [&new, &middle, &old].map(|entry| entry.folder.clone()));

    // A folder of the user's, and a build under way, are left alone.
    fs::create_dir(store.root().join("mine")).unwrap();
    let begun = store.begin(&only(9), &model).unwrap();
    let removed = store.collect(Keep::UsedWithin(Duration::from_secs(60 * 3600)), now).unwrap();
    assert_eq!(removed.folders, std::slice::from_ref(&old.folder));
    assert!(removed.bytes > 1000 && begun.folder.is_dir());
    assert_eq!(store.collect(Keep::Newest(1), now).unwrap().folders, [middle.folder]);
    assert_eq!(kept(), [new.folder]);
    // A build that nobody has touched for days was stopped.
    let later = now + Duration::from_secs(48 * 3600);
    assert_eq!(store.collect(Keep::Newest(1), later).unwrap().folders, std::slice::from_ref(&begun.folder));
    assert_eq!(store.collect(Keep::Nothing, now).unwrap().folders.len(), 2);
    assert!(kept().is_empty() && store.root().join("mine").is_dir());
    assert!(!store.root().join("timing").exists() && place.path().is_dir());
}

#[test]
fn using_an_engine_keeps_it_from_being_cleared() {
    let (_place, store, model) = fixture();
    let entry = put(&store, &model, &key(), 100);
    let used = || store.list().unwrap()[0].used_unix;
    let file = fs::File::options().write(true).open(entry.folder.join("used")).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1000)).unwrap();
    assert_eq!(used(), 1000);
    wanted(only(2), 2, false).find(&store, &model).unwrap();
    assert!(used() > 1_000_000);
}

#[test]
fn an_engine_that_is_built_again_behind_our_back_is_an_error() {
    let (_place, store, model) = fixture();
    put(&store, &model, &key(), 100);
    let found = wanted(key(), 2, true).find(&store, &model).unwrap();
    assert_eq!(found.unchanged(Path::new("m"), || Ok(5)).unwrap(), 5);
    let engine = found.folder.join("avdit_graph_sm90.engine");
    let rewrite = || {
        fs::write(&engine, vec![8; 101]).unwrap();
        Ok(())
    };
    let error = found.unchanged(Path::new("m"), rewrite).unwrap_err().to_string();
    assert!(
        error.contains("did not take the engine in") && error.contains("avdit engine gc --all"),
        "{error}"
    );
    let building = Prepared { building: true, ..found };
    let more = || {
        fs::write(building.folder.join("another.engine"), "x").unwrap();
        Ok(())
    };
    assert!(building.unchanged(Path::new("m"), more).is_ok());
    assert_eq!(snapshot(&building.folder).len(), 2);
}

#[test]
fn a_profile_is_one_that_the_graph_can_have() {
    let options = |profile: Option<(usize, usize, usize)>| {
        let mut options = EngineOptions { batch: 3, ..EngineOptions::default() };
        options.tensorrt.profile = profile.map(|(min, opt, max)| BatchProfile { min, opt, max });
        options
    };
    let of = |batch: Batch, asked| profile(&batch, &options(asked)).map(|profile| profile.to_string());
    assert_eq!(of(Batch::Any, None).unwrap(), "batch 3");
    assert_eq!(of(Batch::Any, Some((1, 2, 8))).unwrap(), "batch 1..2..8");
    assert_eq!(of(Batch::Fixed(2), None).unwrap(), "batch 2");
    assert_eq!(of(Batch::Fixed(2), Some((2, 2, 2))).unwrap(), "batch 2");
    for (batch, asked) in [
        (Batch::Any, (0, 1, 1)),
        (Batch::Any, (2, 1, 3)),
        (Batch::Any, (1, 4, 3)),
        (Batch::Fixed(2), (1, 2, 2)),
    ] {
        assert!(matches!(of(batch, Some(asked)), Err(Error::Value { .. })));
    }
}
