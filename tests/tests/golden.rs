//! The golden files of this repository are met, and files that are not are found.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "helpers of tests")]

use avdit_tests::parity::{KINDS, ON_CPU, Row, print_table, run_dir};
use std::path::{Path, PathBuf};

#[test]
fn every_golden_file_is_met_within_its_tolerance() {
    let mut report = run_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("golden"), &ON_CPU).unwrap();
    if std::env::var_os("AVDIT_REQUIRE_ORT").is_none() {
        let absent =
            |row: &Row| row.failure.as_deref().is_some_and(|why| why.contains("no usable ONNX Runtime"));
        if report.rows.iter().any(absent) {
            eprintln!("not run on ort-cpu: no ONNX Runtime here (`cargo xtask fetch-ort` gets it)");
            report.rows.retain(|row| !absent(row));
        }
    }
    let mut table = Vec::new();
    print_table(&report, &mut table).unwrap();
    assert!(report.ok(), "{}", String::from_utf8_lossy(&table));
    for kind in KINDS {
        assert!(
            report.rows.iter().any(|row| row.file.starts_with(kind.prefix)),
            "no file of kind {}",
            kind.prefix
        );
    }
}

/// A copy of the schedules' files in an empty folder, the tensors changed by `change`.
fn changed(name: &str, change: fn(&mut Vec<u8>)) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    std::fs::copy(golden.join("schedule.json"), folder.join("schedule.json")).unwrap();
    let mut bytes = std::fs::read(golden.join("schedule.safetensors")).unwrap();
    change(&mut bytes);
    std::fs::write(folder.join("schedule.safetensors"), bytes).unwrap();
    folder
}

#[test]
fn a_changed_value_is_out() {
    // The last bytes belong to the exponent of some table's last number.
    let folder = changed("changed", |bytes| *bytes.last_mut().unwrap() ^= 0x10);
    let report = run_dir(&folder, &ON_CPU).unwrap();
    assert_eq!(report.rows.iter().filter(|row| !row.ok).count(), 1);
}

#[test]
fn an_unreadable_file_is_an_error_that_names_it() {
    for (name, change) in [
        ("truncated", (|bytes| bytes.truncate(5000)) as fn(&mut Vec<u8>)),
        ("no-header", |bytes| bytes.fill(0xff)),
        ("empty", Vec::clear),
    ] {
        let error = format!("{:#}", run_dir(&changed(name, change), &ON_CPU).unwrap_err());
        assert!(error.contains("schedule.safetensors"), "{error}");
    }
}

#[test]
fn a_file_of_unknown_kind_is_listed_and_does_not_fail() {
    let folder = changed("unknown", |_| {});
    std::fs::write(folder.join("sculpture.safetensors"), b"").unwrap();
    let report = run_dir(&folder, &ON_CPU).unwrap();
    assert!(report.ok() && report.not_run.len() == 1 && report.not_run[0].contains("sculpture"));
}
