//! `avdit report`: the page of a run, or of several beside each other.

use crate::args::ReportArgs;
use crate::output::{say, say_json};
use crate::report::{comparison_page, run_page};
use crate::run::Run;
use crate::run::figures::Figures;
use anyhow::Result;
use avdit_media::atomic::write_bytes_atomically;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The page's name in a run's folder.
pub const PAGE: &str = "report.html";

pub fn run(args: &ReportArgs) -> Result<()> {
    let runs: Vec<Run> = args.runs.iter().map(|folder| Run::read(folder)).collect::<Result<_>>()?;
    let path = match (&args.out, runs.as_slice()) {
        (Some(path), _) => path.clone(),
        (None, [run]) => run.folder.join(PAGE),
        (None, _) => PathBuf::from("comparison.html"),
    };
    match runs.as_slice() {
        [run] => write(run, &path)?,
        runs => write_bytes_atomically(&path, comparison_page(runs, &now())?.as_bytes())?,
    }
    if args.json {
        let one = |run: &Run| json!({ "run": run.folder, "figures": figures(run) });
        let runs: Vec<Value> = runs.iter().map(one).collect();
        return say_json(&json!({ "schema": "avdit-report/1", "page": path, "runs": runs }));
    }
    say(path.display().to_string());
    Ok(())
}

/// Reads a run and writes its page into its folder.
///
/// # Errors
/// If the run cannot be read or the page cannot be written.
pub fn of_run(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(PAGE);
    write(&Run::read(folder)?, &path)?;
    Ok(path)
}

fn write(run: &Run, path: &Path) -> Result<()> {
    let from = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    write_bytes_atomically(path, run_page(run, from, &now())?.as_bytes())?;
    Ok(())
}

/// The figures of a run, and what it has sampled.
pub fn figures(run: &Run) -> Value {
    let figures = Figures::of(&run.lines);
    let resumed: Vec<usize> = run.starts().map(|start| start.from_step).filter(|&step| step > 0).collect();
    let sampled: Vec<usize> = run.samples.iter().map(|set| set.step).collect();
    let seconds = run.samples.iter().fold(0.0, |sum, set| sum + set.seconds);
    let mut value = serde_json::to_value(&figures).unwrap_or_default();
    value["examples_per_s"] = crate::report::examples_per_s(run, &figures).into();
    value["sampled_at"] = sampled.into();
    value["sampling_seconds"] = seconds.into();
    value["resumed_at"] = resumed.into();
    value
}

/// The time, to the second.
pub fn now() -> String {
    humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string()
}
