//! What is wrong with the tensors of a file, all of it at once.

use crate::error::{Error, Result};
use crate::model::Weights;
use avdit_media::tensors::TensorFile;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Rows that are shown; of a file of another network every tensor would be one.
const MOST: usize = 32;

/// A tensor that is not what it should be: its name, what the network expects, and what there is.
pub(super) struct Row {
    pub(super) name: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Row {
    pub(super) fn new(name: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { name: name.to_owned(), expected: expected.into(), found: found.into() }
    }
}

/// `Ok` if there are no rows.
///
/// # Errors
/// [`Error::Content`] of `path`: the rows as a table.
pub(super) fn verdict(path: &Path, of: usize, rows: &[Row]) -> Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let shown = &rows[..rows.len().min(MOST)];
    let width = |column: fn(&Row) -> &str, head: &str| {
        shown.iter().map(|row| column(row).chars().count()).fold(head.len(), usize::max)
    };
    let (name, expected) = (width(|row| &row.name, "tensor"), width(|row| &row.expected, "expected"));
    let mut text = format!("{} tensors do not fit the network's {of}:", rows.len());
    let head = Row::new("tensor", "expected", "found");
    for row in std::iter::once(&head).chain(shown) {
        text += &format!("\n  {:<name$}  {:<expected$}  {}", row.name, row.expected, row.found);
    }
    if rows.len() > shown.len() {
        text += &format!("\n  and {} more", rows.len() - shown.len());
    }
    Err(Error::content(path, text))
}

/// Checks that a file has exactly the tensors of `shapes`, all f32.
///
/// # Errors
/// [`Error::Content`] with a table of those that are missing, left over, of another shape or of another type.
pub(crate) fn check_file(file: &TensorFile, shapes: &BTreeMap<String, Vec<usize>>) -> Result<()> {
    let found: BTreeSet<String> = file.names().into_iter().collect();
    let all: BTreeSet<&String> = shapes.keys().chain(&found).collect();
    let row = |name: &String| match (shapes.get(name), file.shape(name)) {
        (Some(expected), Some(shape)) if expected == shape => {
            let wrong = file.place(name, expected).err()?;
            Some(Row::new(name, format!("{expected:?}"), wrong.to_string()))
        }
        (None, None) => None,
        (expected, shape) => {
            Some(Row::new(name, shown(expected.map(Vec::as_slice), "none"), shown(shape, "missing")))
        }
    };
    verdict(file.path(), shapes.len(), &all.into_iter().filter_map(row).collect::<Vec<_>>())
}

/// Checks that weights in memory, which have no shapes, are those of `sizes`.
///
/// # Errors
/// [`Error::Content`] of `path`, as [`check_file`].
pub(super) fn check_sizes(path: &Path, sizes: &BTreeMap<&String, usize>, weights: &Weights) -> Result<()> {
    let all: BTreeSet<&String> = sizes.keys().copied().chain(weights.keys()).collect();
    let row = |name: &String| {
        let (expected, found) = (sizes.get(name).copied(), weights.get(name).map(Vec::len));
        let count = |count: Option<usize>, none: &str| {
            count.map_or_else(|| none.to_owned(), |count| format!("{count} values"))
        };
        (expected != found).then(|| Row::new(name, count(expected, "none"), count(found, "missing")))
    };
    verdict(path, sizes.len(), &all.into_iter().filter_map(row).collect::<Vec<_>>())
}

/// Checks that values are finite.
///
/// # Errors
/// [`Error::Content`] of `path`, naming the first that is not.
pub(super) fn check_finite(path: &Path, name: &str, values: &[f32]) -> Result<()> {
    match values.iter().position(|x| !x.is_finite()) {
        Some(i) => Err(Error::content(path, format!("tensor {name}: value {i} is {}", values[i]))),
        None => Ok(()),
    }
}

/// A shape, or what stands for none.
pub(super) fn shown(shape: Option<&[usize]>, none: &str) -> String {
    shape.map_or_else(|| none.to_owned(), |shape| format!("{shape:?}"))
}
