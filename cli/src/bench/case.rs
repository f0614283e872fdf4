//! The cases of a measurement: every model on every engine, with every batch and number of threads.

use super::protocol::{CaseJob, SamplingJob};
use super::result::{ModelFacts, Sampling};
use anyhow::Result;
use avdit_runtime::{EngineKind, EngineOptions, Precision};
use std::path::{Path, PathBuf};

/// One case.
#[derive(Clone, Debug)]
pub struct Case {
    /// The model.
    pub model: ModelFacts,
    /// What the worker is told.
    pub job: CaseJob,
}

/// What to combine.
pub struct Axes<'a> {
    /// Model folders.
    pub models: &'a [PathBuf],
    /// Engines.
    pub engines: &'a [EngineKind],
    /// Clips at once.
    pub batches: &'a [usize],
    /// Threads.
    pub threads: &'a [usize],
}

impl Axes<'_> {
    /// Every combination, models outermost, threads innermost; what is named twice is measured once.
    pub fn cases(&self, options: &EngineOptions, sampling: &SamplingJob, warm_up_ms: u64) -> Vec<Case> {
        let mut cases = Vec::new();
        for model in unique(self.models) {
            let facts = facts(model);
            for &engine in unique(self.engines) {
                for &batch in unique(self.batches) {
                    for &threads in unique(self.threads) {
                        let options = EngineOptions { threads, batch, ..options.clone() };
                        let (model, sampling) = (model.clone(), sampling.clone());
                        let job = CaseJob { model, engine, options, sampling, warm_up_ms };
                        cases.push(Case { model: facts.clone(), job });
                    }
                }
            }
        }
        cases
    }
}

impl Case {
    /// What is sampled, for the row.
    pub fn sampling(&self) -> Sampling {
        let SamplingJob { sampler, steps, guidance, task, .. } = self.job.sampling.clone();
        Sampling { sampler, steps, batch: self.job.options.batch, task, guidance }
    }

    /// In a word or two, for progress.
    pub fn label(&self) -> String {
        let CaseJob { engine, options, .. } = &self.job;
        let threads = options.threads;
        let plural = if threads == 1 { "" } else { "s" };
        format!("{} on {engine}, batch {}, {threads} thread{plural}", self.model.name, options.batch)
    }

    /// Memory that its worker may take: three times the model's files, which is what opening one takes at most.
    pub fn memory_bytes(&self) -> u64 {
        self.model.bytes.unwrap_or(0) * 3
    }
}

fn unique<T: PartialEq>(values: &[T]) -> impl Iterator<Item = &T> {
    values.iter().enumerate().filter(|(i, value)| !values[..*i].contains(value)).map(|(_, value)| value)
}

/// What can be told of a model folder without opening it; whatever is missing is the worker's to complain about.
fn facts(folder: &Path) -> ModelFacts {
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name = absolute.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let size = |name: &str| std::fs::metadata(folder.join(name)).ok().map(|file| file.len());
    let bytes = size("model.onnx").map(|bytes| bytes + size("model.onnx_data").unwrap_or(0));
    ModelFacts {
        name: name.into_owned(),
        precision: precision(folder).ok().flatten(),
        bytes,
        path: folder.to_owned(),
    }
}

/// The precision of a model: what `export.json` says its weights are.
fn precision(folder: &Path) -> Result<Option<Precision>> {
    let text = std::fs::read_to_string(folder.join("export.json"))?;
    let record: serde_json::Value = serde_json::from_str(&text)?;
    Ok(match record["dtype"].as_str().unwrap_or_default() {
        "int8" | "uint8" => Some(Precision::Int8),
        "float16" | "fp16" => Some(Precision::Float16),
        "float32" | "fp32" => Some(Precision::Float32),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_case_and_none_is_twice() {
        let models = ["a".into(), "b".into(), "a".into()];
        let axes = Axes {
            models: &models,
            engines: &[EngineKind::Tract, EngineKind::OrtCpu],
            batches: &[1, 4],
            threads: &[2, 1, 2],
        };
        let sampling =
            SamplingJob { sampler: "ddim".into(), steps: 20, seed: 0, guidance: 1.0, task: "joint".into() };
        let cases = axes.cases(&EngineOptions::default(), &sampling, 200);
        assert_eq!(cases.len(), 2 * 2 * 2 * 2);
        assert_eq!(cases[0].label(), "a on tract, batch 1, 2 threads");
        assert_eq!(cases[15].label(), "b on ort-cpu, batch 4, 1 thread");
    }

    #[test]
    fn the_precision_is_that_of_the_weights() {
        let folder = tempfile::tempdir().unwrap();
        for (dtype, precision) in [
            ("float32", Some(Precision::Float32)),
            ("float16", Some(Precision::Float16)),
            ("int8", Some(Precision::Int8)),
            ("bfloat16", None),
        ] {
            std::fs::write(folder.path().join("export.json"), format!("{{\"dtype\":\"{dtype}\"}}")).unwrap();
            assert_eq!(facts(folder.path()).precision, precision, "{dtype}");
        }
    }
}
