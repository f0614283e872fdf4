//! What was checked, what came of it, and what was not checked and why.

use anyhow::{Context, Result};
use serde::Serialize;
use serde_json::Value;
use std::fmt::Write as _;
use std::path::Path;

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// As it should.
    Passed,
    /// Not as it should, and how.
    Failed(String),
    /// Not done, and why; neither good nor bad.
    NotRun(String),
}

/// A check.
#[derive(Clone, Debug, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: String,
    /// What came of it.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What was typed.
    pub command: Option<String>,
    /// How long it took.
    pub seconds: f64,
    /// The figures, in words.
    pub figures: Vec<String>,
    /// What the command gave.
    pub data: Value,
}

/// All checks of a machine.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `avdit-gpu-check/1`.
    pub schema: String,
    /// Seconds since 1970, when it began.
    pub unix_time: u64,
    /// Whether all this ran on the CPU.
    pub dry_run: bool,
    /// The version of `avdit`.
    pub avdit: Value,
    /// The machine.
    pub machine: Value,
    /// Its GPUs.
    pub gpu: Value,
    /// The checks, in their order.
    pub checks: Vec<Check>,
}

impl Report {
    pub(super) fn begin(doctor: &Value, dry_run: bool) -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self {
            schema: "avdit-gpu-check/1".to_owned(),
            unix_time: now.map_or(0, |time| time.as_secs()),
            dry_run,
            avdit: doctor["avdit"].clone(),
            machine: doctor["machine"].clone(),
            gpu: doctor["gpu"].clone(),
            checks: Vec::new(),
        }
    }

    /// Whether nothing failed.
    pub fn passed(&self) -> bool {
        !self.checks.iter().any(|check| matches!(check.outcome, Outcome::Failed(_)))
    }

    /// The report to be read.
    pub fn markdown(&self) -> String {
        let text = |value: &Value| value.as_str().unwrap_or("unknown").to_owned();
        let mut page = format!("# GPU check of avdit {}\n\n", text(&self.avdit));
        if self.dry_run {
            page += "A dry run on the CPU, with small networks: it says that the checks work, and nothing of any GPU.\n\n";
        }
        // Writing to a string cannot fail.
        let _ = writeln!(page, "- {}, {}", text(&self.machine["cpu"]), text(&self.machine["os"]));
        for device in self.gpu["devices"].as_array().into_iter().flatten() {
            let (name, driver, cuda) = (&device["name"], &device["driver"], &device["cuda"]);
            let (name, driver, cuda) = (text(name), text(driver), text(cuda));
            let _ = writeln!(page, "- {name}, sm_{}, driver {driver}, CUDA up to {cuda}", device["sm"]);
        }
        page += "\n| check | result | seconds | figures |\n|---|---|---|---|\n";
        for check in &self.checks {
            let result = match &check.outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Failed(reason) => format!("**failed**: {}", cell(reason)),
                Outcome::NotRun(reason) => format!("not run: {}", cell(reason)),
            };
            let figures = cell(&check.figures.join("; "));
            let _ = writeln!(page, "| {} | {result} | {:.1} | {figures} |", check.name, check.seconds);
        }
        page += "\n## Commands\n\n";
        for check in &self.checks {
            if let Some(command) = &check.command {
                let _ = writeln!(page, "- {}: `{command}`", check.name);
            }
        }
        page
    }

    /// Writes `report.md` and `report.json`.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        let json = serde_json::to_string_pretty(self)?;
        for (name, text) in [("report.md", self.markdown()), ("report.json", json)] {
            let path = folder.join(name);
            std::fs::write(&path, text).with_context(|| format!("{} cannot be written", path.display()))?;
        }
        Ok(())
    }
}

/// In a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, outcome: Outcome) -> Check {
        Check { name: name.into(), outcome, command: None, seconds: 1.0, figures: vec![], data: Value::Null }
    }

    #[test]
    fn what_was_not_run_is_neither_passed_nor_failed() {
        let mut report = Report::begin(&Value::Null, true);
        report.checks.push(check("a", Outcome::Passed));
        report.checks.push(check("b", Outcome::NotRun("no\nreason|".into())));
        assert!(report.passed());
        let page = report.markdown();
        assert!(
            page.contains("| a | passed | 1.0 |") && page.contains("| b | not run: no reason\\| | 1.0 |")
        );
        assert!(page.contains("dry run on the CPU"));
        report.checks.push(check("c", Outcome::Failed("broken".into())));
        assert!(!report.passed() && report.markdown().contains("| c | **failed**: broken |"));
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            (&json["checks"][2]["outcome"], &json["checks"][2]["reason"]),
            (&"failed".into(), &"broken".into())
        );
    }
}
