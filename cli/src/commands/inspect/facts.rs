//! What a model folder says of itself, and whether its files are those that were exported.

use anyhow::Result;
use avdit_export::{Error as ExportError, ExportRecord};
use avdit_onnx::{Model, ValueType, tensor};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::Path;

/// The graph's own words.
#[derive(Debug, Serialize)]
pub struct GraphFacts {
    pub path: String,
    pub producer: String,
    pub ir_version: i64,
    /// Versions by domain; `ai.onnx` is ONNX's own.
    pub opsets: BTreeMap<String, i64>,
    pub nodes: usize,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
}

#[derive(Debug, Serialize)]
pub struct Port {
    pub name: String,
    /// Such as `float (batch, 106, 32)`.
    pub r#type: String,
}

impl GraphFacts {
    pub fn of(path: &Path, model: &Model) -> Result<Self> {
        let proto = model.proto();
        let port = |(name, value_type): (String, ValueType)| Port { name, r#type: value_type.to_string() };
        let domain = |domain: &str| if domain.is_empty() { "ai.onnx".to_owned() } else { domain.to_owned() };
        Ok(Self {
            path: path.display().to_string(),
            producer: format!("{} {}", proto.producer_name(), proto.producer_version()).trim().to_owned(),
            ir_version: model.ir_version(),
            opsets: proto.opset_import.iter().map(|o| (domain(o.domain()), o.version())).collect(),
            nodes: model.graph().node.len(),
            inputs: model.inputs()?.into_iter().map(port).collect(),
            outputs: model.outputs()?.into_iter().map(port).collect(),
        })
    }
}

/// Which function of the network the graph is.
#[derive(Debug, Serialize)]
pub struct Form {
    /// The target that its composite operations were written for.
    pub target: Option<String>,
    /// Steps of the schedule whose modulations are part of the graph.
    pub frozen_steps: Option<u64>,
    /// Earlier predictions that the sampler's update in the graph takes; none if there is no update in it.
    pub step_history: Option<u64>,
}

impl Form {
    /// A folder without a readable config.json has a plain graph, as far as is known.
    pub fn of(folder: &Path, model: &Model) -> Result<Self> {
        let config = std::fs::read(folder.join("config.json")).ok();
        let config: serde_json::Value =
            config.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Ok(Self {
            target: model.metadata("avdit.lowering").map(str::to_owned),
            frozen_steps: config["frozen"]["steps"].as_u64(),
            step_history: config["step"]["history"].as_u64(),
        })
    }

    pub fn describe(&self) -> String {
        let mut words = Vec::new();
        words.push(match self.step_history {
            Some(history) => format!("fused step (network and sampler's update, history {history})"),
            None => "network".to_owned(),
        });
        words.extend(self.frozen_steps.map(|steps| format!("frozen for a schedule of {steps} steps")));
        words.extend(self.target.as_ref().map(|target| format!("target {target}")));
        words.join(", ")
    }
}

/// Initializers of one type.
#[derive(Debug, Serialize)]
pub struct Weights {
    pub r#type: String,
    pub tensors: usize,
    pub numbers: u64,
    pub bytes: u64,
}

impl Weights {
    /// The type with the most bytes first.
    pub fn of(model: &Model) -> Result<Vec<Self>> {
        let mut types: BTreeMap<String, (usize, u64, u64)> = BTreeMap::new();
        for initializer in &model.graph().initializer {
            let name = tensor::data_type(initializer).as_str_name().to_ascii_lowercase();
            let entry = types.entry(name).or_default();
            entry.0 += 1;
            entry.1 += tensor::dims(initializer)?.iter().product::<usize>() as u64;
            entry.2 += tensor::byte_len(initializer)? as u64;
        }
        let row = |(r#type, (tensors, numbers, bytes))| Self { r#type, tensors, numbers, bytes };
        let mut rows: Vec<_> = types.into_iter().map(row).collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.bytes));
        Ok(rows)
    }
}

/// Whether the graph's files are those that export.json records, by size and SHA-256.
#[derive(Debug, Serialize)]
pub struct Integrity {
    /// Whether there is a record to compare with.
    pub is_recorded: bool,
    /// The files that it names.
    pub files: Vec<String>,
    /// The first that is missing or has other content.
    pub difference: Option<String>,
    #[serde(skip)]
    pub record: Option<ExportRecord>,
}

impl Integrity {
    /// And the difference as an error.
    pub fn of(folder: &Path) -> Result<(Self, Option<ExportError>)> {
        let record = match ExportRecord::read(folder) {
            Ok(record) => record,
            Err(ExportError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                let none = Self { is_recorded: false, files: Vec::new(), difference: None, record: None };
                return Ok((none, None));
            }
            Err(error) => return Err(error.into()),
        };
        let error = record.check_files(folder).err();
        let files = record.files.iter().map(|file| file.name.clone()).collect();
        let difference = error.as_ref().map(ToString::to_string);
        Ok((Self { is_recorded: true, files, difference, record: Some(record) }, error))
    }
}
