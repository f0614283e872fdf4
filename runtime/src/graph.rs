//! A model folder, read and checked before any engine sees it.
//!
//! Every engine gets the same checks and the same words: the file is a graph, its inputs and outputs are those of
//! the configuration beside it, and the weights it keeps elsewhere are there.

mod external;
mod ports;
mod signature;

use crate::error::{Error, Result};
use avdit_core::sampler::StepForm;
use avdit_core::{DenoiserSpec, FrozenSchedule};
pub(crate) use ports::{Element, Port, Ports};
use serde::{Deserialize, Serialize};
use signature::{Checked, Signature};
use std::path::{Path, PathBuf};
use tract_onnx::pb;
use tract_onnx::prelude::Framework;

/// The inputs of a graph that predicts, in the order in which engines feed them.
pub const INPUTS: [&str; 4] = ["video", "audio", "video_timesteps", "audio_timesteps"];

/// The outputs that every graph that predicts has.
pub const OUTPUTS: [&str; 2] = ["video_noise", "audio_noise"];

const FORMAT: &str = "avdit-model/1";

/// Which batches a graph takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Batch {
    /// Any.
    Any,
    /// This one.
    Fixed(usize),
}

/// What is known of a graph before it runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct GraphFacts {
    /// The file.
    pub path: PathBuf,
    /// Its size together with the weights beside it.
    pub bytes: u64,
    /// The version of the standard operators it uses.
    pub opset: i64,
    /// Other operator domains it uses.
    pub domains: Vec<String>,
    /// What wrote it.
    pub producer: String,
    /// Number of nodes.
    pub nodes: usize,
    /// Which batches it takes.
    pub batch: Batch,
    /// The levels that it can be told; any where this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<FrozenSchedule>,
    /// The form of the sampler's update in it; it predicts where this is absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub step: Option<StepForm>,
}

/// A model folder whose configuration and graph agree.
pub(crate) struct Model {
    pub(crate) spec: DenoiserSpec,
    pub(crate) facts: GraphFacts,
    pub(crate) proto: pb::ModelProto,
    /// What the configuration promises.
    pub(crate) ports: Ports,
    /// Position of each input of `ports` among the graph's inputs.
    pub(crate) inputs: Vec<usize>,
    /// Position of each output of `ports` among the graph's outputs.
    pub(crate) outputs: Vec<usize>,
    /// Position and name of every other output.
    pub(crate) extras: Vec<(usize, String)>,
}

#[derive(Deserialize)]
struct Config {
    format: String,
    spec: DenoiserSpec,
    frozen: Option<FrozenSchedule>,
    step: Option<StepForm>,
}

/// Reads what samplers must know of the network in a model folder.
///
/// # Errors
/// [`Error::Io`] if there is no `config.json`, [`Error::Config`] if it is not that of a model.
pub fn read_spec(folder: &Path) -> Result<DenoiserSpec> {
    Ok(read_config(folder)?.spec)
}

fn read_config(folder: &Path) -> Result<Config> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let wrong = |reason: String| Error::Config { path: path.clone(), reason };
    let config: Config = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if config.format != FORMAT {
        return Err(wrong(format!("format is '{}', this version reads '{FORMAT}'", config.format)));
    }
    let sound = config.spec.layout.check();
    let sound = sound.and_then(|()| config.frozen.as_ref().map_or(Ok(()), FrozenSchedule::check));
    let sound = sound.and_then(|()| config.step.map_or(Ok(()), StepForm::check));
    sound.map_err(|error| wrong(error.to_string()))?;
    Ok(config)
}

impl Model {
    /// Reads and checks a model folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let Config { spec, frozen, step, .. } = read_config(folder)?;
        let path = folder.join("model.onnx");
        let wrong = |reason: String| Error::Graph { path: path.clone(), reason };
        let bytes = std::fs::read(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let proto = tract_onnx::onnx()
            .proto_model_for_read(&mut bytes.as_slice())
            .map_err(|error| wrong(format!("is not an ONNX model: {error:#}")))?;
        let graph = proto
            .graph
            .as_ref()
            .ok_or_else(|| wrong("is not an ONNX model: it holds no graph".to_owned()))?;
        let external = external::check(folder, &path, graph)?;
        let mut ports = Ports::of(&spec, step);
        let signature = Signature { path: &path, ports: &ports, is_step: step.is_some() };
        let Checked { inputs, outputs, elements, batch } = signature.check(graph)?;
        for (ports, elements) in [&mut ports.inputs, &mut ports.outputs].into_iter().zip(elements) {
            ports.iter_mut().zip(elements).for_each(|(port, element)| port.element = element);
        }
        let is_standard = |domain: &str| domain.is_empty() || domain == "ai.onnx";
        let facts = GraphFacts {
            bytes: bytes.len() as u64 + external,
            opset: proto.opset_import.iter().find(|o| is_standard(&o.domain)).map_or(0, |o| o.version),
            domains: proto
                .opset_import
                .iter()
                .map(|o| &o.domain)
                .filter(|d| !is_standard(d))
                .cloned()
                .collect(),
            producer: format!("{} {}", proto.producer_name, proto.producer_version).trim().to_owned(),
            nodes: graph.node.len(),
            batch,
            frozen,
            step,
            path: path.clone(),
        };
        let all = graph.output.iter().map(|output| output.name.clone()).enumerate();
        let extras = all.filter(|(place, _)| !outputs.contains(place)).collect();
        Ok(Self { spec, facts, proto, ports, inputs, outputs, extras })
    }

    /// The files beside the graph that hold weights, in the order of their names.
    pub(crate) fn external_files(&self) -> Vec<String> {
        self.proto.graph.as_ref().map(external::files).unwrap_or_default()
    }

    /// Checks a batch against what the graph takes.
    pub(crate) fn check_batch(facts: &GraphFacts, batch: usize) -> avdit_core::Result<()> {
        match facts.batch {
            Batch::Fixed(fixed) => {
                let what = format!("batch (the graph {} was exported for a fixed one)", facts.path.display());
                avdit_core::Error::check_count(&what, fixed, batch)
            }
            Batch::Any if batch == 0 => Err(avdit_core::Error::value("batch", "at least 1", 0)),
            Batch::Any => Ok(()),
        }
    }
}
