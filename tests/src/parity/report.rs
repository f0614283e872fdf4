//! What a run of the parity tool found.

use super::Row;
use serde::Serialize;
use std::io::{self, Write};

/// Rows of every case, and the files of unknown kind.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// One per quantity, case and engine.
    pub rows: Vec<Row>,
    /// Files whose kind is not known yet.
    pub not_run: Vec<String>,
}

impl Report {
    /// Whether no row is out.
    pub fn ok(&self) -> bool {
        self.rows.iter().all(|row| row.ok)
    }

    /// Adds another folder's.
    pub fn extend(&mut self, other: Report) {
        self.rows.extend(other.rows);
        self.not_run.extend(other.not_run);
    }
}

/// Writes the table, the files that were not run, and a line of counts.
///
/// # Errors
/// If `out` cannot be written.
pub fn print_table(report: &Report, out: &mut dyn Write) -> io::Result<()> {
    let width = |heading: &str, text: fn(&Row) -> &str| {
        report.rows.iter().map(|row| text(row).chars().count()).chain([heading.len()]).max().unwrap_or(0)
    };
    let (file, case, engine) =
        (width("file", |r| &r.file), width("case", |r| &r.case), width("engine", |r| &r.engine));
    writeln!(
        out,
        "{:file$}  {:case$}  {:engine$}  {:>9}  {:>9}  ok",
        "file", "case", "engine", "error", "tolerance"
    )?;
    for row in &report.rows {
        let verdict = if row.ok { "ok" } else { "FAILED" };
        let (name, what, by) = (&row.file, &row.case, &row.engine);
        match &row.failure {
            Some(reason) => writeln!(out, "{name:file$}  {what:case$}  {by:engine$}  {verdict}: {reason}")?,
            None => writeln!(
                out,
                "{name:file$}  {what:case$}  {by:engine$}  {:9.2e}  {:9.2e}  {verdict}",
                row.error, row.tolerance
            )?,
        }
    }
    for path in &report.not_run {
        writeln!(out, "{path}: not run: kind not known yet")?;
    }
    let failed = report.rows.iter().filter(|row| !row.ok).count();
    writeln!(out, "{} rows, {failed} failed, {} files not run", report.rows.len(), report.not_run.len())
}
