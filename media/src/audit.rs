//! The dataset audit: the table of what was kept, what was left out, and why.

mod look;
mod page;

pub use look::{Look, Measured};
pub use page::{AuditPage, PageRow, RenderPage};

use crate::Reject;
use crate::atomic::write_atomically;
use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::io::Write;
use std::path::Path;

/// Why a file, or a stretch of one, was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Not of a kind that is read.
    NotAClip,
    /// Of a kind that is read, but damaged.
    Undecodable,
    /// Sound alone.
    NoPicture,
    /// Pictures alone.
    NoSound,
    /// Shorter than the grid.
    TooShort,
    /// Pictures and sound do not last equally long.
    UnequalLength,
    /// Nothing is heard.
    Silent,
    /// Nothing moves.
    Still,
}

impl Reason {
    /// In words.
    pub fn describe(self) -> &'static str {
        match self {
            Reason::NotAClip => "not a clip",
            Reason::Undecodable => "undecodable",
            Reason::NoPicture => "no picture",
            Reason::NoSound => "no sound",
            Reason::TooShort => "too short",
            Reason::UnequalLength => "sound and picture of unequal length",
            Reason::Silent => "silent",
            Reason::Still => "still",
        }
    }
}

impl From<&Reject> for Reason {
    fn from(reject: &Reject) -> Self {
        match reject {
            Reject::TooShort { .. } => Self::TooShort,
            Reject::NoPicture => Self::NoPicture,
            Reject::NoSound => Self::NoSound,
            Reject::LengthMismatch { .. } => Self::UnequalLength,
            Reject::Silent { .. } => Self::Silent,
            Reject::Still { .. } => Self::Still,
        }
    }
}

/// One line of the audit: a clip that was kept, or a file or clip that was left out.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRow {
    /// The file.
    pub source: String,
    /// Where in the file the clip starts; `None` for a row about the whole file.
    pub start_s: Option<f64>,
    /// Why it was left out; `None` if it was kept.
    pub reason: Option<Reason>,
    /// What was measured or went wrong.
    pub detail: String,
    /// What was measured of it, if it could be decoded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub measured: Option<Measured>,
}

/// How many clips were left out for each reason, by reason.
pub fn count_reasons(rows: &[AuditRow]) -> Vec<(Reason, usize)> {
    let mut counts = std::collections::BTreeMap::new();
    rows.iter().filter_map(|row| row.reason).for_each(|reason| *counts.entry(reason).or_insert(0) += 1);
    counts.into_iter().collect()
}

/// Writes the audit as one JSON object a line.
///
/// # Errors
/// [`Error::Io`].
pub fn write_jsonl(path: &Path, rows: &[AuditRow]) -> Result<()> {
    let lines = rows.iter().map(|row| serde_json::to_string(row).expect("names and numbers are JSON"));
    write_lines(path, lines.collect())
}

/// Writes the audit as tables for people.
///
/// # Errors
/// [`Error::Io`].
pub fn write_markdown(path: &Path, rows: &[AuditRow]) -> Result<()> {
    let kept = rows.iter().filter(|row| row.reason.is_none()).count();
    let mut lines = vec![format!("# Audit\n\n{kept} clips kept, {} rows left out.", rows.len() - kept)];
    if kept < rows.len() {
        lines.push("\n| left out because | rows |\n|---|---:|".to_owned());
        lines
            .extend(count_reasons(rows).iter().map(|(reason, n)| format!("| {} | {n} |", reason.describe())));
        lines.push("\n| file | from (s) | left out because | detail |\n|---|---:|---|---|".to_owned());
    }
    lines.extend(rows.iter().filter_map(|row| {
        let start = row.start_s.map_or(String::new(), |s| format!("{s:.3}"));
        let reason = row.reason?.describe();
        Some(format!("| {} | {start} | {reason} | {} |", cell(&row.source), cell(&row.detail)))
    }));
    write_lines(path, lines)
}

fn write_lines(path: &Path, lines: Vec<String>) -> Result<()> {
    write_atomically(path, |file| {
        lines.iter().try_for_each(|line| writeln!(file, "{line}")).map_err(|source| Error::io(path, source))
    })
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Reads what [`write_jsonl`] wrote.
///
/// # Errors
/// [`Error::Io`], or [`Error::Malformed`] naming the line.
pub fn read_jsonl(path: &Path) -> Result<Vec<AuditRow>> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::io(path, source))?;
    let parse = |(i, line)| {
        serde_json::from_str(line).map_err(|error| Error::malformed(path, format!("line {}: {error}", i + 1)))
    };
    text.lines().enumerate().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_audit_comes_back_from_its_lines_and_its_table_names_each_reason() {
        let row = |source: &str, reason| AuditRow {
            source: source.to_owned(),
            start_s: Some(2.125),
            reason,
            detail: "a|b\nc".to_owned(),
            measured: Some(Measured { seconds: 2.125, peak_db: Some(-6.02), ..Measured::default() }),
        };
        let rows =
            [row("a.mp4", None), row("b.mp4", Some(Reason::Silent)), row("c|d.mp4", Some(Reason::Silent))];
        let folder = tempfile::tempdir().unwrap();
        let (lines, table) = (folder.path().join("audit.jsonl"), folder.path().join("audit.md"));
        write_jsonl(&lines, &rows).unwrap();
        assert_eq!(read_jsonl(&lines).unwrap(), rows);
        write_markdown(&table, &rows).unwrap();
        let text = std::fs::read_to_string(&table).unwrap();
        assert!(text.contains("1 clips kept, 2 rows left out") && text.contains("| silent | 2 |"), "{text}");
        assert!(
            text.contains("| c\\|d.mp4 | 2.125 | silent | a\\|b c |") && !text.contains("a.mp4"),
            "{text}"
        );
        // Audits written before anything was measured are still read.
        let old = r#"{"source":"a.mp4","start_s":2.125,"reason":null,"detail":"a|b\nc"}"#;
        std::fs::write(&lines, old).unwrap();
        assert_eq!(read_jsonl(&lines).unwrap(), [AuditRow { measured: None, ..rows[0].clone() }]);
        std::fs::write(&lines, "{\"source\":1}").unwrap();
        assert!(read_jsonl(&lines).unwrap_err().to_string().contains("audit.jsonl: line 1: "));
    }
}
