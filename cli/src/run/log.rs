//! `metrics.jsonl`, as any version of the trainer wrote it: what a line lacks is absent, never zero.

use anyhow::{Context, Result};
use avdit_trainer::Error;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a run wrote down for a step. Loss, gradient or rate that was no number is `null` in the file and `None` here.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Line {
    pub step: usize,
    pub steps: Option<usize>,
    pub loss: Option<f64>,
    pub loss_video: Option<f64>,
    pub loss_audio: Option<f64>,
    pub gradient_norm: Option<f64>,
    pub lr: Option<f64>,
    pub step_ms: Option<f64>,
    /// The part of the step that was spent waiting for the batch.
    pub wait_ms: Option<f64>,
    /// Ranks that took the step together, where it was more than one.
    pub ranks: Option<usize>,
    /// The part of the step that was spent in exchanges between them.
    pub exchange_ms: Option<f64>,
    /// By level strategy.
    pub by_strategy: Option<BTreeMap<String, OfStrategy>>,
    /// By noise level, low levels first.
    pub by_level_bin: Option<Vec<OfBin>>,
    pub steps_per_s: Option<f64>,
    /// 10⁹ multiplications and additions a second that were reached.
    pub gflops: Option<f64>,
    /// What the machine's matrix product reaches.
    pub matmul_gflops: Option<f64>,
    /// The one over the other.
    pub share: Option<f64>,
}

/// The loss of the examples of a step whose levels a strategy drew.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OfStrategy {
    pub loss: Option<f64>,
    pub examples: Option<f64>,
}

/// The loss of the cells of a step whose level lies in a bin.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct OfBin {
    pub low: f64,
    pub high: f64,
    pub video: Option<f64>,
    pub audio: Option<f64>,
    /// Cells in it, of both modalities.
    pub cells: Option<f64>,
}

/// The lines of a run's log. A last line that a crash or a writer at work cut off is left out.
///
/// # Errors
/// If there is no log, or a line before the last is not one.
pub fn read(run: &Path) -> Result<Vec<Line>> {
    let path = run.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::content(
            run,
            "holds no metrics.jsonl, so it is no run\n\nhint: give the folder that `out` of the run's configuration names",
        ),
        _ => Error::io(&path)(error),
    })?;
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let mut read = Vec::with_capacity(lines.len());
    for (i, line) in lines.iter().enumerate() {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => read.push(line),
            Err(_) if i + 1 == lines.len() => {}
            Err(error) => {
                return Err(Error::content(&path, format!("line {} is no step: {error}", i + 1)).into());
            }
        }
    }
    Ok(read)
}

/// The settings of a run as sections of `(name, value)`, as its `config.toml` has them, whatever their version.
///
/// # Errors
/// If the file cannot be read or is no TOML.
pub fn settings(run: &Path) -> Result<toml::Table> {
    let path = run.join("config.toml");
    let text = std::fs::read_to_string(&path).map_err(Error::io(&path))?;
    text.parse::<toml::Table>().with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(log: &str) -> Result<Vec<Line>> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("metrics.jsonl"), log).unwrap();
        read(folder.path())
    }

    #[test]
    fn old_logs_new_logs_and_unknown_fields_are_read() {
        let lines = run(concat!(
            "{\"step\":1,\"loss\":2.0,\"step_ms\":5}\n",
            "{\"step\":2,\"loss\":null,\"later\":[1],\"by_strategy\":{\"vanilla\":{\"loss\":1.5,\"examples\":3}}}\n",
        ))
        .unwrap();
        assert_eq!((lines[0].loss, lines[0].gflops), (Some(2.0), None));
        assert_eq!(lines[1].loss, None);
        assert_eq!(lines[1].by_strategy.as_ref().unwrap()["vanilla"].examples, Some(3.0));
    }

    #[test]
    fn a_line_cut_off_at_the_end_is_left_out_and_one_before_is_an_error() {
        assert_eq!(run("{\"step\":1}\n{\"step\":2,\"lo").unwrap().len(), 1);
        let error = run("{\"step\":1}\n{\"step\n{\"step\":3}\n").unwrap_err().to_string();
        assert!(error.contains("line 2"), "{error}");
    }

    #[test]
    fn a_folder_without_a_log_is_no_run() {
        let folder = tempfile::tempdir().unwrap();
        let error = read(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is no run") && error.contains("hint: "), "{error}");
    }
}
