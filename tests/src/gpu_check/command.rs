//! Running the programs: what they say is kept, and read as JSON where it is.

use super::Options;
use anyhow::{Context, Result};
use serde_json::Value;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// The two programs, and the folder for what they leave.
pub(super) struct Tools {
    pub(super) options: Options,
}

/// A program that has ended.
pub(super) struct Said {
    /// As a person would type it.
    pub(super) command: String,
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
    pub(super) took: Duration,
}

impl Said {
    pub(super) fn ok(&self) -> bool {
        self.code == Some(0)
    }

    /// What it wrote to its output.
    pub(super) fn json(&self) -> Result<Value> {
        serde_json::from_str(&self.out)
            .with_context(|| format!("no JSON comes from it: {}", self.complaint()))
    }

    /// The end of what it complained of, and how it ended.
    pub(super) fn complaint(&self) -> String {
        let lines: Vec<_> = self.err.lines().filter(|line| !line.trim().is_empty()).collect();
        let last = lines[lines.len().saturating_sub(6)..].join("\n");
        match self.code {
            Some(code) => format!("exit code {code}: {last}"),
            None => format!("ended by a signal: {last}"),
        }
    }
}

impl Tools {
    pub(super) fn new(options: &Options) -> Self {
        Self { options: options.clone() }
    }

    pub(super) fn model(&self, name: &str) -> PathBuf {
        self.options.out.join("models").join(name)
    }

    pub(super) fn avdit<S: AsRef<OsStr>>(&self, log: &str, arguments: &[S]) -> Result<Said> {
        self.run(&self.options.avdit, log, arguments)
    }

    pub(super) fn parity<S: AsRef<OsStr>>(&self, log: &str, arguments: &[S]) -> Result<Said> {
        self.run(&self.options.parity, log, arguments)
    }

    /// Runs a program and keeps what it says as `logs/LOG.out` and `.err`.
    fn run<S: AsRef<OsStr>>(&self, program: &Path, log: &str, arguments: &[S]) -> Result<Said> {
        let start = Instant::now();
        let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
        let output = output.with_context(|| format!("{} cannot be run", program.display()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let arguments: Vec<_> = arguments.iter().map(|word| word.as_ref().to_string_lossy()).collect();
        let said = Said {
            command: format!(
                "{} {}",
                program.file_name().unwrap_or_default().to_string_lossy(),
                arguments.join(" ")
            ),
            code: output.status.code(),
            out: text(&output.stdout),
            err: text(&output.stderr),
            took: start.elapsed(),
        };
        let logs = self.options.out.join("logs");
        let keep = |end: &str, what: &str| std::fs::write(logs.join(format!("{log}.{end}")), what);
        std::fs::create_dir_all(&logs)
            .and_then(|()| keep("out", &said.out))
            .and_then(|()| keep("err", &said.err))
            .with_context(|| format!("folder {} cannot be written", logs.display()))?;
        Ok(said)
    }
}
