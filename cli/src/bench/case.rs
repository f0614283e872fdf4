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
            let mut facts = facts(model);
            if unique(self.models).any(|other| other != model && other.file_name() == model.file_name()) {
                facts.name = model.display().to_string();
            }
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

    /// How the graph was written and the engine set up, where that is not the default.
    pub fn setup(&self) -> Vec<String> {
        let options = &self.job.options;
        let is_gpu = matches!(self.job.engine, EngineKind::OrtCuda | EngineKind::OrtTensorRt);
        let forbids_tf32 = std::env::var("NVIDIA_TF32_OVERRIDE").is_ok_and(|value| value == "0");
        let said = [
            (options.spin, "spinning"),
            (is_gpu && options.allow_fallback, "fallback allowed"),
            (self.job.engine == EngineKind::OrtCuda && options.cuda.tf32, "TF32"),
            (is_gpu && options.cuda.graph, "captured"),
            // TensorRT takes it unless the environment forbids it.
            (self.job.engine == EngineKind::OrtTensorRt && !forbids_tf32, "TF32"),
        ];
        let said = said.into_iter().filter(|(yes, _)| *yes).map(|(_, words)| words.to_owned());
        self.model.form.iter().cloned().chain(said).collect()
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
        form: form(folder),
        bytes,
        path: folder.to_owned(),
    }
}

/// What `export.json` and `config.json` say of a graph beyond the plain, portable network.
fn form(folder: &Path) -> Vec<String> {
    let json = |name: &str| -> serde_json::Value {
        let text = std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        serde_json::from_str(&text).unwrap_or_default()
    };
    let (record, config) = (json("export.json"), json("config.json"));
    let target = record["lowering"].as_str().filter(|target| *target != "portable");
    let target = target.map(|target| format!("for {target}"));
    let frozen = config["frozen"]["steps"].as_u64().map(|steps| format!("frozen for {steps} steps"));
    let step = config["step"].is_object().then(|| "fused step".to_owned());
    let integers = match record["dtype"].as_str().unwrap_or_default() {
        "int8-dynamic" => Some("dynamic ranges"),
        "int8-static" => Some("static ranges"),
        "int8-weight" => Some("weights in 8 bits"),
        "int4-weight" => Some("weights in 4 bits"),
        "bf16" => Some("bf16"),
        _ => None,
    };
    let integers = integers.map(str::to_owned);
    integers.into_iter().chain(target).chain(frozen).chain(step).collect()
}

/// The precision that the products of a model are made in, by what `export.json` says: its weights alone in fewer bits
/// leave products in float. None where this machine's rate is not measured in it.
fn precision(folder: &Path) -> Result<Option<Precision>> {
    let text = std::fs::read_to_string(folder.join("export.json"))?;
    let record: serde_json::Value = serde_json::from_str(&text)?;
    Ok(match record["dtype"].as_str().unwrap_or_default() {
        "int8" | "uint8" | "int8-dynamic" | "int8-static" => Some(Precision::Int8),
        "float16" | "fp16" => Some(Precision::Float16),
        "float32" | "fp32" | "int8-weight" | "int4-weight" => Some(Precision::Float32),
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
    fn the_precision_is_that_of_the_products() {
        let folder = tempfile::tempdir().unwrap();
        for (dtype, precision) in [
            ("float32", Some(Precision::Float32)),
            ("float16", Some(Precision::Float16)),
            ("int8", Some(Precision::Int8)),
            ("int8-dynamic", Some(Precision::Int8)),
            ("int8-weight", Some(Precision::Float32)),
            ("bfloat16", None),
        ] {
            std::fs::write(folder.path().join("export.json"), format!("{{\"dtype\":\"{dtype}\"}}")).unwrap();
            assert_eq!(facts(folder.path()).precision, precision, "{dtype}");
        }
        assert!(facts(folder.path()).form.is_empty());
        std::fs::write(folder.path().join("export.json"), "{\"lowering\":\"ort-cpu\"}").unwrap();
        let config = "{\"frozen\":{\"steps\":20},\"step\":{\"history\":3}}";
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        assert_eq!(facts(folder.path()).form, ["for ort-cpu", "frozen for 20 steps", "fused step"]);
        std::fs::write(folder.path().join("export.json"), "{\"dtype\":\"int8-static\"}").unwrap();
        assert_eq!(facts(folder.path()).form[0], "static ranges");
    }
}
