//! Golden parity: files made by other programs, run on every engine that applies.
//!
//! A kind of file is recognised by how its name begins, and is one module with a function from a [`Golden`] to
//! [`Row`]s. To add a kind, add its module and its line in [`KINDS`].

mod avdit;
mod golden;
mod report;
mod respaced;
mod row;
mod samplers;
mod schedule;

pub use golden::{Golden, Tensor};
pub use report::{Report, print_table};
pub use row::{Row, relative, scaled};

use anyhow::{Context, Result};
use std::collections::BTreeSet;
use std::path::Path;

/// A kind of golden file.
pub struct Kind {
    /// How its file names begin.
    pub prefix: &'static str,
    /// Runs every case of a file.
    pub cases: fn(&Golden) -> Vec<Row>,
}

/// The kinds that are known.
pub const KINDS: &[Kind] = &[
    Kind { prefix: "schedule", cases: schedule::cases },
    Kind { prefix: "samplers_", cases: samplers::cases },
    Kind { prefix: "respaced_diffusion", cases: respaced::cases },
    Kind { prefix: "avdit_", cases: avdit::cases },
];

/// Runs every golden file (`NAME.json` beside `NAME.safetensors`) in a folder, in the order of their names.
///
/// # Errors
/// If the folder, or a file of known kind, cannot be read.
pub fn run_dir(dir: &Path) -> Result<Report> {
    let mut paths = BTreeSet::new();
    for entry in dir.read_dir().with_context(|| format!("folder {} cannot be read", dir.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "safetensors" || extension == "json") {
            paths.insert(path.with_extension("safetensors"));
        }
    }
    let mut report = Report::default();
    for path in paths {
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        match KINDS.iter().find(|kind| name.starts_with(kind.prefix)) {
            Some(kind) => report.rows.extend((kind.cases)(&Golden::read(&path)?)),
            None => report.not_run.push(path.display().to_string()),
        }
    }
    Ok(report)
}
