//! A model folder, read and checked before any engine sees it.
//!
//! Every engine gets the same checks and the same words: the file is a graph, its inputs and outputs are those of
//! the configuration beside it, and the weights it keeps elsewhere are there.

mod external;

use crate::error::{Error, Result};
use avdit_core::{DenoiserSpec, Modality};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;
use tract_onnx::prelude::Framework;

/// The graph's inputs, in the order in which engines feed them.
pub const INPUTS: [&str; 4] = ["video", "audio", "video_timesteps", "audio_timesteps"];

/// The graph's outputs that every network has.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
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
}

/// A model folder whose configuration and graph agree.
pub(crate) struct Model {
    pub(crate) spec: DenoiserSpec,
    pub(crate) facts: GraphFacts,
    pub(crate) proto: pb::ModelProto,
    /// Position of each of [`INPUTS`] among the graph's inputs.
    pub(crate) inputs: [usize; 4],
    /// Position of each of [`OUTPUTS`] among the graph's outputs.
    pub(crate) outputs: [usize; 2],
    /// Position and name of every other output.
    pub(crate) extras: Vec<(usize, String)>,
}

#[derive(Deserialize)]
struct Config {
    format: String,
    spec: DenoiserSpec,
}

/// Reads what samplers must know of the network in a model folder.
///
/// # Errors
/// [`Error::Io`] if there is no `config.json`, [`Error::Config`] if it is not that of a model.
pub fn read_spec(folder: &Path) -> Result<DenoiserSpec> {
    let path = folder.join("config.json");
    let text = std::fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    let wrong = |reason: String| Error::Config { path: path.clone(), reason };
    let config: Config = serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if config.format != FORMAT {
        return Err(wrong(format!("format is '{}', this version reads '{FORMAT}'", config.format)));
    }
    config.spec.layout.check().map_err(|error| wrong(error.to_string()))?;
    Ok(config.spec)
}

impl Model {
    /// Reads and checks a model folder.
    pub(crate) fn read(folder: &Path) -> Result<Self> {
        let spec = read_spec(folder)?;
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
        let signature = Signature { path: &path, spec: &spec };
        let (inputs, outputs, batch) = signature.check(graph)?;
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
            path: path.clone(),
        };
        let all = graph.output.iter().map(|output| output.name.clone()).enumerate();
        let extras = all.filter(|(place, _)| !outputs.contains(place)).collect();
        Ok(Self { spec, facts, proto, inputs, outputs, extras })
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

struct Signature<'a> {
    path: &'a Path,
    spec: &'a DenoiserSpec,
}

impl Signature<'_> {
    fn check(&self, graph: &pb::GraphProto) -> Result<([usize; 4], [usize; 2], Batch)> {
        let initialised: std::collections::HashSet<_> =
            graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let fed: Vec<_> = graph.input.iter().filter(|i| !initialised.contains(i.name.as_str())).collect();
        let mut batch = Batch::Any;
        let mut inputs = [0; 4];
        for (place, name) in inputs.iter_mut().zip(INPUTS) {
            *place = self.position("input", name, &fed)?;
            self.check_port("input", fed[*place], &mut batch)?;
        }
        if let Some(extra) = fed.iter().find(|input| !INPUTS.contains(&input.name.as_str())) {
            let expected = format!("no inputs but {}", INPUTS.join(", "));
            return Err(self.error(format!("input {}", extra.name), expected, describe(extra)));
        }
        let declared: Vec<_> = graph.output.iter().collect();
        let mut outputs = [0; 2];
        for (place, name) in outputs.iter_mut().zip(OUTPUTS) {
            *place = self.position("output", name, &declared)?;
            self.check_port("output", declared[*place], &mut batch)?;
        }
        Ok((inputs, outputs, batch))
    }

    fn position(&self, kind: &str, name: &str, ports: &[&pb::ValueInfoProto]) -> Result<usize> {
        ports.iter().position(|port| port.name == name).ok_or_else(|| {
            let names: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
            self.error(format!("{kind}s"), format!("one named {name}"), names.join(", "))
        })
    }

    /// Checks type and shape of an input or output, and what its first dimension says of the batch.
    fn check_port(&self, kind: &str, port: &pb::ValueInfoProto, batch: &mut Batch) -> Result<()> {
        let expected = self.expected_shape(&port.name);
        let fits = dimensions(port).is_some_and(|got| {
            let rest_fits = got.iter().zip(&expected).skip(1).all(|(got, want)| got.fits(*want));
            got.len() == expected.len() && rest_fits
        });
        if element_type(port) != Some(DataType::Float) || !fits {
            let rest: Vec<_> = expected[1..].iter().map(ToString::to_string).collect();
            let expected = format!("Float (batch, {})", rest.join(", "));
            return Err(self.error(format!("{kind} {}", port.name), expected, describe(port)));
        }
        if let Some(Dimension::Fixed(n)) = dimensions(port).and_then(|d| d.first().cloned()) {
            match batch {
                Batch::Fixed(other) if *other != n => {
                    let what = format!("batch of {kind} {}", port.name);
                    return Err(self.error(what, format!("{other}, as {}", INPUTS[0]), n.to_string()));
                }
                _ => *batch = Batch::Fixed(n),
            }
        }
        Ok(())
    }

    fn expected_shape(&self, name: &str) -> Vec<usize> {
        let layout = &self.spec.layout;
        match name {
            "video" | "video_noise" => layout.shape(Modality::Video, 1),
            "audio" | "audio_noise" => layout.shape(Modality::Audio, 1),
            _ => vec![1, layout.segments()],
        }
    }

    fn error(&self, what: String, expected: String, got: String) -> Error {
        Error::Signature { path: self.path.to_owned(), what, expected, got }
    }
}

#[derive(Clone)]
enum Dimension {
    Fixed(usize),
    Named(String),
    Unknown,
}

impl Dimension {
    /// A dimension that the graph leaves open is settled by what is fed, and checked by the engine.
    fn fits(&self, expected: usize) -> bool {
        !matches!(self, Dimension::Fixed(n) if *n != expected)
    }
}

fn tensor_type(port: &pb::ValueInfoProto) -> Option<&pb::type_proto::Tensor> {
    let pb::type_proto::Value::TensorType(tensor) = port.r#type.as_ref()?.value.as_ref()?;
    Some(tensor)
}

fn element_type(port: &pb::ValueInfoProto) -> Option<DataType> {
    DataType::try_from(tensor_type(port)?.elem_type).ok()
}

fn dimensions(port: &pb::ValueInfoProto) -> Option<Vec<Dimension>> {
    use pb::tensor_shape_proto::dimension::Value;
    let dimension = |d: &pb::tensor_shape_proto::Dimension| match &d.value {
        Some(Value::DimValue(n)) => usize::try_from(*n).map_or(Dimension::Unknown, Dimension::Fixed),
        Some(Value::DimParam(name)) => Dimension::Named(name.clone()),
        None => Dimension::Unknown,
    };
    Some(tensor_type(port)?.shape.as_ref()?.dim.iter().map(dimension).collect())
}

fn describe(port: &pb::ValueInfoProto) -> String {
    let element = element_type(port).map_or("unknown type".to_owned(), |t| format!("{t:?}"));
    let Some(dimensions) = dimensions(port) else { return format!("{element} of unknown shape") };
    let text = |d: &Dimension| match d {
        Dimension::Fixed(n) => n.to_string(),
        Dimension::Named(name) => name.clone(),
        Dimension::Unknown => "?".to_owned(),
    };
    format!("{element} ({})", dimensions.iter().map(text).collect::<Vec<_>>().join(", "))
}
