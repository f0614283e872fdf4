//! Model folders appear whole, and replace nothing that is not one.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use avdit_export::{ExportOptions, ExportRecord, ModelConfig, ModelFolder, Provenance, export_denoiser};
use avdit_onnx::{ExternalData, Model};
use std::path::Path;
use support::{config, random_weights, spec};

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn write(target: &Path, external_data: ExternalData) -> (ModelConfig, ExportRecord) {
    let config = config(true, None);
    let options = ExportOptions { external_data, ..ExportOptions::default() };
    let model = export_denoiser(&config, &random_weights(&config), &spec(&config), &options).unwrap();
    let provenance = Provenance::from_iter([("run".to_owned(), "demo".into())]);
    let config = ModelConfig::of(config.clone(), spec(&config), provenance);
    let folder = ModelFolder::begin(target).unwrap();
    let record = folder.write(&model, &config, &options).unwrap();
    std::fs::write(folder.path().join("codec.json"), "{}").unwrap();
    assert!(
        !target.join("config.json").exists() || names(target).len() > 2,
        "nothing appears before the commit"
    );
    folder.commit(&record).unwrap();
    (config, record)
}

#[test]
fn a_folder_holds_the_graph_its_configuration_and_its_record() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("a model");
    let (config, record) = write(&target, ExternalData::Always);
    let expected = ["codec.json", "config.json", "export.json", "model.onnx", "model.onnx_data"];
    assert_eq!(names(&target), expected);
    assert_eq!(ModelConfig::read(&target).unwrap(), config);
    assert_eq!(ExportRecord::read(&target).unwrap(), record);
    assert_eq!(record.parameters, config.network.parameter_count());
    Model::verify(target.join("model.onnx")).unwrap();
    record.check_files(&target).unwrap();
    assert_eq!(names(place.path()), ["a model"]);
}

#[test]
fn a_file_that_was_changed_is_found_by_its_hash() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("model");
    let (_, record) = write(&target, ExternalData::Always);
    let data = target.join("model.onnx_data");
    let mut bytes = std::fs::read(&data).unwrap();
    bytes[17] ^= 1;
    std::fs::write(&data, bytes).unwrap();
    let said = record.check_files(&target).unwrap_err().to_string();
    assert!(said.contains("model.onnx_data: expected ") && said.contains("sha256"), "{said}");
}

#[test]
fn an_earlier_model_is_replaced_whole() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("model");
    write(&target, ExternalData::Always);
    std::fs::write(target.join("note.txt"), "of the earlier model").unwrap();
    write(&target, ExternalData::Never);
    assert_eq!(names(&target), ["codec.json", "config.json", "export.json", "model.onnx"]);
    assert_eq!(names(place.path()), ["model"]);
}

#[test]
fn a_folder_that_is_not_a_model_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    std::fs::write(place.path().join("thesis.tex"), "").unwrap();
    let said = ModelFolder::begin(place.path()).unwrap_err().to_string();
    assert!(
        said.ends_with("expected a model folder to replace, an empty one, or nothing, got something else")
    );
    let file = place.path().join("thesis.tex");
    assert!(ModelFolder::begin(&file).is_err());
    assert_eq!(names(place.path()), ["thesis.tex"]);
}

#[test]
fn an_abandoned_folder_leaves_nothing_and_the_earlier_model_as_it_was() {
    let place = tempfile::tempdir().unwrap();
    let target = place.path().join("model");
    let (_, record) = write(&target, ExternalData::Never);
    let folder = ModelFolder::begin(&target).unwrap();
    std::fs::write(folder.path().join("model.onnx"), "half").unwrap();
    drop(folder);
    assert_eq!(names(place.path()), ["model"]);
    record.check_files(&target).unwrap();
}

#[test]
fn a_configuration_that_cannot_be_read_is_named() {
    let place = tempfile::tempdir().unwrap();
    let said = ModelConfig::read(place.path()).unwrap_err().to_string();
    assert!(said.starts_with("cannot read ") && said.ends_with("config.json"), "{said}");
    let target = place.path().join("model");
    let (config, _) = write(&target, ExternalData::Never);
    let later = ModelConfig { format: "avdit-model/2".to_owned(), ..config };
    std::fs::write(target.join("config.json"), serde_json::to_string(&later).unwrap()).unwrap();
    let said = ModelConfig::read(&target).unwrap_err().to_string();
    assert!(said.ends_with("expected avdit-model/1, got avdit-model/2"), "{said}");
}
