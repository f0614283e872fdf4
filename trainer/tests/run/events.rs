//! TensorBoard's event files, read by other means than those that wrote them.

use crate::made_up::{MadeUp, config};
use avdit_trainer::{StartOptions, StepMetrics, train};
use std::collections::BTreeMap;
use std::path::Path;

/// A field of a protobuf message: its number, and a number or bytes.
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

fn varint(bytes: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes[0];
        *bytes = &bytes[1..];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return value;
        }
    }
    panic!("a varint of more than ten bytes")
}

fn fields(mut bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let mut take = |n: usize| {
            let (head, rest) = bytes.split_at(n);
            bytes = rest;
            head
        };
        let field = match key & 7 {
            0 => Field::Number(varint(&mut bytes)),
            1 => Field::Number(u64::from_le_bytes(take(8).try_into().unwrap())),
            5 => Field::Number(u64::from(u32::from_le_bytes(take(4).try_into().unwrap()))),
            2 => {
                let len = varint(&mut bytes) as usize;
                let (head, rest) = bytes.split_at(len);
                bytes = rest;
                Field::Bytes(head)
            }
            kind => panic!("wire type {kind}"),
        };
        found.push((key >> 3, field));
    }
    found
}

/// CRC-32C bit by bit, and the mask of TFRecords.
fn masked_crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Step and scalars of every event of a run, file after file in the order of their names.
pub(crate) fn read(run: &Path) -> Vec<(u64, BTreeMap<String, f32>)> {
    let folder = run.join("tensorboard");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut events = Vec::new();
    for path in paths {
        assert!(path.file_name().unwrap().to_str().unwrap().starts_with("events.out.tfevents."));
        let bytes = std::fs::read(&path).unwrap();
        let (mut rest, mut first) = (bytes.as_slice(), true);
        while !rest.is_empty() {
            let u32_at = |at: usize| u32::from_le_bytes(rest[at..at + 4].try_into().unwrap());
            let len = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let payload = &rest[12..12 + len];
            assert_eq!((u32_at(8), u32_at(12 + len)), (masked_crc(&rest[..8]), masked_crc(payload)));
            rest = &rest[16 + len..];
            let (mut step, mut scalars) = (0, BTreeMap::new());
            for (number, field) in fields(payload) {
                match (number, field) {
                    (1, Field::Number(time)) => assert!(f64::from_bits(time) > 1e9, "seconds since 1970"),
                    (2, Field::Number(number)) => step = number,
                    (3, Field::Bytes(version)) => assert!(first && version == b"brain.Event:2"),
                    (5, Field::Bytes(summary)) => scalars.extend(values(summary)),
                    (number, _) => panic!("field {number}"),
                }
            }
            assert_eq!(first, scalars.is_empty(), "the version comes first and alone");
            if !first {
                events.push((step, scalars));
            }
            first = false;
        }
    }
    events
}

fn values(summary: &[u8]) -> impl Iterator<Item = (String, f32)> {
    fields(summary).into_iter().map(|(number, value)| {
        let (1, Field::Bytes(value)) = (number, value) else { panic!("field {number} of a summary") };
        let value = fields(value);
        let [(1, Field::Bytes(tag)), (2, Field::Number(number))] = value.as_slice() else {
            panic!("not a tag and a number")
        };
        (String::from_utf8(tag.to_vec()).unwrap(), f32::from_bits(*number as u32))
    })
}

#[test]
fn tensorboard_is_told_what_the_log_says_and_no_step_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 12);
    config.run.checkpoint_every = 4;
    let steps = std::cell::Cell::new(0);
    let mut count = |_: &StepMetrics| steps.set(steps.get() + 1);
    let until = |until| StartOptions { until: Some(until), resume: until > 6, ..StartOptions::default() };
    train(&config, &MadeUp::new(), until(6), &mut count, &|| false).unwrap();
    // The newest checkpoint is lost, so that two steps are done again.
    std::fs::remove_dir_all(folder.path().join("checkpoints/step-000006")).unwrap();
    train(&config, &MadeUp::new(), until(12), &mut count, &|| false).unwrap();
    assert_eq!(steps.get(), 6 + 8);
    let events = read(folder.path());
    assert_eq!(events.iter().map(|(step, _)| *step).collect::<Vec<_>>(), (1..=12).collect::<Vec<_>>());
    let log = std::fs::read_to_string(folder.path().join("metrics.jsonl")).unwrap();
    for (line, (_, scalars)) in log.lines().zip(&events) {
        let told: StepMetrics = serde_json::from_str(line).unwrap();
        for (name, value) in [
            ("loss/all", told.loss),
            ("loss/audio", told.loss_audio),
            ("optimizer/lr", told.lr),
            ("optimizer/gradient_norm", told.gradient_norm),
            ("speed/gflops", told.gflops),
        ] {
            assert_eq!(scalars[name], value as f32, "{name}");
        }
        for (name, strategy) in &told.by_strategy {
            assert_eq!(scalars[&format!("loss_by_strategy/{name}")], strategy.loss as f32);
        }
        let bins = scalars.keys().filter(|name| name.starts_with("error_by_level_video/")).count();
        assert_eq!(bins, told.by_level_bin.iter().filter(|bin| bin.video.is_some()).count());
    }
    assert!(events.iter().any(|(_, scalars)| scalars.contains_key("error_by_level_audio/0900-1000")));
}

#[test]
fn a_run_can_do_without() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), 1);
    config.run.tensorboard = false;
    train(&config, &MadeUp::new(), StartOptions::default(), &mut |_: &StepMetrics| {}, &|| false).unwrap();
    assert!(!folder.path().join("tensorboard").exists());
}
