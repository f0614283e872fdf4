//! A sequence of steps, each announced and timed; one that fails does not stop the rest.

use anyhow::Result;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How a step ended.
enum Outcome {
    Ok,
    Failed(String),
    /// Not done, and why; no failure.
    Skipped(String),
}

struct Step {
    name: &'static str,
    took: Duration,
    outcome: Outcome,
}

/// What has been done so far.
pub(crate) struct Steps {
    began: Instant,
    done: Vec<Step>,
}

impl Steps {
    /// Nothing yet.
    pub(crate) fn begin() -> Self {
        Self { began: Instant::now(), done: Vec::new() }
    }

    /// Does a step; `None` if it failed.
    pub(crate) fn run<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        self.record(name, Outcome::Failed, step)
    }

    /// Does a step that the rest can do without.
    pub(crate) fn attempt<T>(&mut self, name: &'static str, step: impl FnOnce() -> Result<T>) -> Option<T> {
        self.record(name, Outcome::Skipped, step)
    }

    fn record<T>(
        &mut self,
        name: &'static str,
        otherwise: fn(String) -> Outcome,
        step: impl FnOnce() -> Result<T>,
    ) -> Option<T> {
        println!("\n==> {name} (after {})", seconds(self.began.elapsed()));
        let started = Instant::now();
        let (outcome, value) = match step() {
            Ok(value) => (Outcome::Ok, Some(value)),
            Err(error) => {
                eprintln!("{name}: {error:#}");
                (otherwise(error.to_string()), None)
            }
        };
        self.done.push(Step { name, took: started.elapsed(), outcome });
        value
    }

    /// Notes that a step was not done.
    pub(crate) fn skip(&mut self, name: &'static str, why: &str) {
        println!("\n==> {name}: not done: {why}");
        self.done.push(Step { name, took: Duration::ZERO, outcome: Outcome::Skipped(why.to_owned()) });
    }

    /// Whether no step failed.
    pub(crate) fn passed(&self) -> bool {
        !self.done.iter().any(|step| matches!(step.outcome, Outcome::Failed(_)))
    }

    /// A line for each step and one for all.
    pub(crate) fn summary(&self) -> String {
        let mut text = String::from("\n==> summary\n");
        for Step { name, took, outcome } in &self.done {
            let result = match outcome {
                Outcome::Ok => "ok".to_owned(),
                Outcome::Failed(why) => format!("FAILED: {}", first_line(why)),
                Outcome::Skipped(why) => format!("not done: {}", first_line(why)),
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name:<14} {:>9}  {result}", seconds(*took));
        }
        let result = if self.passed() { "ok" } else { "FAILED" };
        let _ = writeln!(text, "{:<14} {:>9}  {result}", "all", seconds(self.began.elapsed()));
        text
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;

    #[test]
    fn a_failure_is_kept_and_later_steps_still_run() {
        let mut steps = Steps::begin();
        assert_eq!(steps.run("first", || Ok(1)), Some(1));
        assert!(steps.passed());
        assert_eq!(steps.run::<()>("second", || bail!("it broke\nin detail")), None);
        assert_eq!(steps.run("third", || Ok(3)), Some(3));
        steps.skip("fourth", "no need");
        assert!(!steps.passed());
        let summary = steps.summary();
        let lines: Vec<_> = summary.lines().skip(2).collect();
        let expected = [
            ("first", "  ok"),
            ("second", "  FAILED: it broke"),
            ("third", "  ok"),
            ("fourth", "  not done: no need"),
            ("all", "  FAILED"),
        ];
        assert_eq!(lines.len(), expected.len());
        for (line, (start, end)) in lines.iter().zip(expected) {
            assert!(line.starts_with(start) && line.ends_with(end), "{line}");
        }
    }

    #[test]
    fn what_is_skipped_or_tried_in_vain_is_no_failure() {
        let mut steps = Steps::begin();
        steps.skip("only", "no need");
        assert_eq!(steps.attempt::<()>("tried", || bail!("no network")), None);
        assert!(steps.passed());
        assert!(steps.summary().lines().any(|line| line.ends_with("not done: no network")));
    }
}
