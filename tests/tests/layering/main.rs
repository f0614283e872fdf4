//! The layering of the workspace: which crate may know which, who owns what, what a source file may be.
#![allow(clippy::unwrap_used, reason = "tests")]

mod manifests;
mod sources;
mod table;

use manifests::Manifest;
use sources::Source;
use std::path::{Path, PathBuf};
use toml::Table;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace").to_owned()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn workspace() -> (Table, Vec<String>) {
    let manifest: Table = read(&root().join("Cargo.toml")).parse().unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    let members = members.iter().map(|member| member.as_str().unwrap().to_owned()).collect();
    (manifest, members)
}

fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn manifests_keep_to_the_table() {
    let (workspace, members) = workspace();
    let mut faults = Vec::new();
    let mut dependencies = 0;
    for member in &members {
        let table: Table = read(&root().join(member).join("Cargo.toml")).parse().unwrap();
        let manifest = Manifest::new(member, &table, &workspace);
        dependencies += manifest.dependencies.len();
        faults.extend(manifest.faults());
    }
    assert_none(&faults);
    assert!(dependencies > members.len(), "the dependencies were not read");
}

#[test]
fn source_files_are_short_and_only_some_crates_print() {
    let (_, members) = workspace();
    let mut faults = Vec::new();
    let mut files = 0;
    for member in &members {
        for path in sources::rust_files(&root().join(member)) {
            let within = path.strip_prefix(root()).unwrap().to_string_lossy().replace('\\', "/");
            faults.extend(Source { member, path: &within, text: &read(&path) }.faults());
            files += 1;
        }
    }
    assert_none(&faults);
    assert!(files > members.len(), "the files were not found");
}
