//! Models on disk: they come back as they were, or with an error that names the file and the tensor.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

use avdit_onnx::proto::{ModelProto, StringStringEntryProto};
use avdit_onnx::{ExternalData, Model, WriteOptions, tensor};
use prost::Message;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn options(external_data: ExternalData) -> WriteOptions {
    WriteOptions { external_data, ..WriteOptions::default() }
}

/// The small model with external data in a folder whose name has spaces.
fn written() -> (TempDir, PathBuf) {
    let folder = TempDir::with_prefix("a model ").unwrap();
    let path = folder.path().join("model.onnx");
    support::model().write(&path, &options(ExternalData::Always)).unwrap();
    (folder, path)
}

/// Changes the external data entry `key` of the first tensor that has one.
fn set_entry(path: &Path, key: &str, value: &str) {
    let mut proto = ModelProto::decode(&std::fs::read(path).unwrap()[..]).unwrap();
    let tensors = &mut proto.graph.as_mut().unwrap().initializer;
    let tensor = tensors.iter_mut().find(|tensor| tensor::is_external(tensor)).unwrap();
    tensor.external_data.retain(|entry| entry.key() != key);
    if !value.is_empty() {
        let entry = StringStringEntryProto { key: Some(key.to_owned()), value: Some(value.to_owned()) };
        tensor.external_data.push(entry);
    }
    std::fs::write(path, proto.encode_to_vec()).unwrap();
}

/// What reading and verifying both say.
fn refusal(path: &Path) -> String {
    let said = Model::read(path).expect_err("it must not be read").to_string();
    assert_eq!(Model::verify(path).expect_err("it must not be accepted").to_string(), said);
    said
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_model_comes_back_as_it_was_with_and_without_external_data() {
    let model = support::model();
    for external in [ExternalData::Always, ExternalData::Never] {
        let folder = TempDir::new().unwrap();
        let written = model.write(folder.path().join("model.onnx"), &options(external)).unwrap();
        let data = (external == ExternalData::Always).then(|| folder.path().join("model.onnx_data"));
        assert_eq!(written.data, data);
        assert!(Model::read(&written.model).unwrap() == model);
        Model::verify(&written.model).unwrap();
    }
}

#[test]
fn external_data_is_aligned_and_small_tensors_stay_in_the_model() {
    let (folder, path) = written();
    let proto = ModelProto::decode(&std::fs::read(&path).unwrap()[..]).unwrap();
    let places: Vec<_> = proto.graph.unwrap().initializer.iter().map(tensor::is_external).collect();
    assert_eq!(places, [true, false], "the weight of 4096 bytes, the bias of 16");
    assert_eq!(std::fs::metadata(folder.path().join("model.onnx_data")).unwrap().len(), 4096);

    // A second tensor begins at the next multiple of 4096.
    let mut model = support::model();
    let second = tensor::f32s("second", &[300], &[1.0; 300]).unwrap();
    model.graph_mut().initializer.insert(0, second);
    model.write(&path, &options(ExternalData::Always)).unwrap();
    assert_eq!(std::fs::metadata(folder.path().join("model.onnx_data")).unwrap().len(), 8192);
    assert!(Model::read(&path).unwrap() == model);
}

#[test]
fn auto_decides_by_size_and_an_earlier_data_file_does_not_stay() {
    let (folder, path) = written();
    let at = |auto_bytes| WriteOptions { auto_bytes, ..WriteOptions::default() };
    assert!(
        support::model().write(&path, &at(4112)).unwrap().data.is_some(),
        "weight and bias take 4112 bytes"
    );
    assert!(support::model().write(&path, &at(4113)).unwrap().data.is_none());
    assert_eq!(names(folder.path()), ["model.onnx"]);
}

#[test]
fn data_in_typed_fields_is_read_too() {
    let mut proto = support::model().into_proto();
    let bias = &mut proto.graph.as_mut().unwrap().initializer[1];
    (bias.raw_data, bias.float_data) = (None, vec![0.5; 4]);
    assert!(Model::from_proto(proto).unwrap() == support::model());
}

#[test]
fn external_data_that_is_gone_or_too_short_is_named() {
    let (folder, path) = written();
    let data = folder.path().join("model.onnx_data");
    std::fs::write(&data, vec![0; 4000]).unwrap();
    let said = refusal(&path);
    assert!(said.contains("external data of tensor weight: file "), "{said}");
    assert!(said.ends_with("has 4000 bytes, bytes 0..4096 are needed"), "{said}");
    std::fs::remove_file(&data).unwrap();
    let said = refusal(&path);
    assert!(said.contains(&path.display().to_string()) && said.contains("tensor weight"), "{said}");
    assert!(said.contains("model.onnx_data cannot be opened"), "{said}");
}

#[test]
fn external_data_outside_the_folder_is_refused() {
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), vec![0; 4096]).unwrap();
    for location in ["../model.onnx_data", "/etc/passwd", outside.path().to_str().unwrap(), "a/../../b"] {
        let (_folder, path) = written();
        set_entry(&path, "location", location);
        let said = refusal(&path);
        assert!(
            said.ends_with(&format!("'{location}' is not a relative path inside the model's folder")),
            "{said}"
        );
    }
    #[cfg(unix)]
    {
        let (folder, path) = written();
        let data = folder.path().join("model.onnx_data");
        std::fs::remove_file(&data).unwrap();
        std::os::unix::fs::symlink(outside.path(), &data).unwrap();
        let said = refusal(&path);
        assert!(said.contains("lies outside the model's folder"), "{said}");
    }
}

#[test]
fn external_data_entries_that_make_no_sense_are_refused() {
    for (key, value, expected) in [
        ("location", "", "it has no location"),
        ("length", "4095", "it is 4095 bytes long, [256, 4] takes 4096"),
        ("offset", "-1", "offset '-1' is not a number"),
        ("offset", "18446744073709551615", "bytes 18446744073709551615..18446744073709551615 are needed"),
        ("offset", "1", "has 4096 bytes, bytes 1..4097 are needed"),
    ] {
        let (_folder, path) = written();
        set_entry(&path, key, value);
        let said = refusal(&path);
        assert!(said.contains("tensor weight") && said.ends_with(expected), "{key} {value}: {said}");
    }
}

#[test]
fn files_that_are_no_models_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    assert!(refusal(&path).starts_with("cannot read "));
    for (content, expected) in
        [(&b""[..], "it is empty"), (b"<!DOCTYPE html>", ""), (b"\x08\x08", "no graph")]
    {
        std::fs::write(&path, content).unwrap();
        let said = refusal(&path);
        assert!(said.contains("is not an ONNX model: ") && said.contains(expected), "{said}");
    }
}

#[test]
fn a_model_cut_at_any_place_is_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    support::model().write(&path, &options(ExternalData::Never)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    for len in (0..whole.len()).step_by(97).chain([whole.len() - 1]) {
        std::fs::write(&path, &whole[..len]).unwrap();
        Model::verify(&path).expect_err("it is not whole");
    }
}

#[test]
fn no_changed_byte_lets_the_check_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("model.onnx");
    support::model().write(&path, &options(ExternalData::Always)).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let mut refused = 0;
    for i in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = whole.clone();
            changed[i] ^= flip;
            let proto = ModelProto::decode(&changed[..]);
            let checked =
                proto.is_ok_and(|proto| Model::from_proto(proto).is_ok_and(|model| model.check().is_ok()));
            refused += usize::from(!checked);
        }
    }
    // What is left are names, documentation and metadata.
    assert!(refused > whole.len(), "{refused} of {}", 3 * whole.len());
}

#[test]
fn a_failed_write_leaves_the_earlier_model_and_nothing_else() {
    let (folder, path) = written();
    let before = std::fs::read(&path).unwrap();
    // A folder in the way of the data file lets its rename fail, after both files have been written.
    std::fs::remove_file(folder.path().join("model.onnx_data")).unwrap();
    std::fs::create_dir(folder.path().join("model.onnx_data")).unwrap();
    let error = support::model().write(&path, &options(ExternalData::Always)).unwrap_err();
    assert!(error.to_string().starts_with("cannot write "), "{error}");
    assert_eq!(names(folder.path()), ["model.onnx", "model.onnx_data"]);
    assert!(std::fs::read(&path).unwrap() == before);
}
