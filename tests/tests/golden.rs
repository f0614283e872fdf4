//! The golden files of this repository are met.

use avdit_tests::parity::{KINDS, print_table, run_dir};
use std::path::Path;

#[test]
fn every_golden_file_is_met_within_its_tolerance() {
    let report = run_dir(&Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")).unwrap();
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
