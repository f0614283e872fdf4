//! Sixteen-bit floats: weights are stored in them, and nodes compute in them unless there is a reason not to.
//!
//! The graph says it all by casts, so no engine needs a flag. Inputs and outputs stay as they are unless asked.

mod class;
mod ports;
mod simulate;

pub use simulate::simulate;

use crate::edit::{Edit, cast_once};
use crate::error::{Error, Result};
use avdit_onnx::proto::{NodeProto, TensorProto};
use avdit_onnx::{DataType, Model, ValueType, tensor};
use class::Class;
use half::{bf16, f16};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Which float of 16 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Half {
    /// IEEE: 11 bits of precision, up to 65504.
    Fp16,
    /// The range of single precision, 8 bits of precision.
    Bf16,
}

impl Half {
    /// The type in a graph.
    pub fn data_type(self) -> DataType {
        match self {
            Half::Fp16 => DataType::Float16,
            Half::Bf16 => DataType::Bfloat16,
        }
    }

    /// The largest magnitude that it holds.
    pub fn largest(self) -> f32 {
        match self {
            Half::Fp16 => f16::MAX.to_f32(),
            Half::Bf16 => bf16::MAX.to_f32(),
        }
    }

    /// A number rounded to it.
    pub fn round(self, x: f32) -> f32 {
        match self {
            Half::Fp16 => f16::from_f32(x).to_f32(),
            Half::Bf16 => bf16::from_f32(x).to_f32(),
        }
    }

    fn bytes(self, values: &[f32]) -> Vec<u8> {
        match self {
            Half::Fp16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            Half::Bf16 => values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect(),
        }
    }
}

/// Nodes that stay in single precision, each with the reason.
pub type Kept = BTreeMap<String, String>;

/// Tensors below this many numbers are not worth a cast where a node in single precision takes them.
const SMALL: usize = 256;

/// The nodes that stay in single precision whatever their values are: norms, softmax, sines and roots, and what is
/// computed from the levels alone, which has few rows and decides over all others. Others for what they would
/// overflow with: `largest` is the greatest magnitude of each value where that was measured, and `headroom` how many
/// times that must fit.
pub fn kept(model: &Model, half: Half, largest: &BTreeMap<String, f32>, headroom: f32) -> Result<Kept> {
    let graph = model.graph();
    let mut kept = Kept::new();
    let conditioning = class::conditioning(model)?;
    let mut weights: HashMap<&str, f32> = HashMap::new();
    for tensor in &graph.initializer {
        if let Some(values) = model.floats(tensor)? {
            weights.insert(tensor.name(), magnitude(&values));
        }
    }
    for node in &graph.node {
        let class = Class::of(node);
        let reason = if class == Class::Single {
            Some(format!("{} is kept in single precision", node.op_type()))
        } else if class == Class::Half && conditioning.contains(node.name()) {
            Some("it depends on the levels alone".to_owned())
        } else {
            let limit = half.largest() / headroom;
            let measured =
                node.input.iter().chain(&node.output).filter_map(|name| Some((name, *largest.get(name)?)));
            let weights = node.input.iter().filter_map(|name| Some((name, *weights.get(name.as_str())?)));
            let over = measured.chain(weights).find(|(_, most)| most.is_nan() || *most > limit);
            over.map(|(name, most)| {
                format!(
                    "{name} reaches {most:.4e}, {headroom} times which {} does not hold",
                    half.data_type().as_str_name().to_ascii_lowercase()
                )
            })
        };
        if let Some(reason) = reason {
            kept.insert(node.name().to_owned(), reason);
        }
    }
    Ok(kept)
}

fn magnitude(values: &[f32]) -> f32 {
    values
        .iter()
        .fold(0.0, |most: f32, x| if x.is_nan() || most.is_nan() { f32::NAN } else { most.max(x.abs()) })
}

/// Rewrites a model so that every node computes in `half`, but for those in `kept`. Weights of kept nodes are stored in
/// half as well where they fit, and cast up where they are taken.
///
/// # Errors
/// [`Error::Mismatch`] for a kept node that is not there; [`Error::Onnx`] if the graph is not sound.
pub fn convert(model: &mut Model, half: Half, kept: &Kept) -> Result<()> {
    convert_graph(model, half, kept, false)
}

/// The same, with inputs and outputs in `half` too: inputs that some node in half takes, and outputs that one makes.
///
/// # Errors
/// As [`convert`].
pub fn convert_with_ports(model: &mut Model, half: Half, kept: &Kept) -> Result<()> {
    convert_graph(model, half, kept, true)
}

fn convert_graph(model: &mut Model, half: Half, kept: &Kept, ports: bool) -> Result<()> {
    check_kept(model, kept)?;
    let types = model.infer_shapes()?;
    let source = model.clone();
    let graph = source.graph();
    let tensors: HashMap<&str, &TensorProto> =
        graph.initializer.iter().map(|tensor| (tensor.name(), tensor)).collect();
    let outputs = graph.output.iter().map(|output| output.name());
    let public: BTreeSet<&str> = if ports { BTreeSet::new() } else { outputs.collect() };
    let taken = if ports { ports::taken_in_half(graph, &types, kept) } else { HashSet::new() };
    let mut converter = Converter {
        model: &source,
        edit: Edit::of(graph),
        half,
        types: &types,
        tensors: &tensors,
        now: taken.into_iter().map(|input| (input, half.data_type())).collect(),
        casts: HashMap::new(),
        stored: HashMap::new(),
        renamed: HashMap::new(),
    };
    for node in &graph.node {
        converter.node(node, kept.contains_key(node.name()), &public)?;
    }
    let Converter { edit, now, .. } = converter;
    edit.finish(model, &[]);
    if ports {
        ports::declare(model.graph_mut(), half, |port| now.contains_key(port));
    }
    Ok(model.check()?)
}

fn check_kept(model: &Model, kept: &Kept) -> Result<()> {
    let names: HashSet<&str> = model.graph().node.iter().map(NodeProto::name).collect();
    match kept.keys().find(|name| !names.contains(name.as_str())) {
        Some(name) => Err(Error::mismatch(format!("kept node {name}"), "a node of the graph", "no such one")),
        None => Ok(()),
    }
}

struct Converter<'a> {
    model: &'a Model,
    edit: Edit,
    half: Half,
    types: &'a BTreeMap<String, ValueType>,
    tensors: &'a HashMap<&'a str, &'a TensorProto>,
    /// Values that were single precision in the source and are something else now: under which name, of which type.
    now: HashMap<String, DataType>,
    casts: HashMap<(String, i32), String>,
    /// Weights in half.
    stored: HashMap<String, String>,
    /// Outputs of the graph, by the names of the values in half that they are cast from.
    renamed: HashMap<String, String>,
}

fn is_single(value: &ValueType) -> bool {
    value.data_type == DataType::Float
}

impl Converter<'_> {
    fn node(&mut self, node: &NodeProto, kept: bool, public: &BTreeSet<&str>) -> Result<()> {
        let half = match Class::of(node) {
            Class::Half => !kept,
            Class::Single => false,
            // It only moves values: it takes them as they are.
            Class::Moves => {
                !kept
                    && node
                        .input
                        .iter()
                        .any(|input| self.now.contains_key(input) || self.renamed.contains_key(input))
            }
        };
        let to = if half { self.half.data_type() } else { DataType::Float };
        let mut new = node.clone();
        for input in &mut new.input {
            if self.types.get(input.as_str()).is_some_and(is_single) {
                *input = self.input(input, to)?;
            }
        }
        // The graph's outputs stay what they are.
        let mut back = Vec::new();
        for output in &mut new.output {
            if !half || !self.types.get(output.as_str()).is_some_and(is_single) {
                continue;
            }
            if public.contains(output.as_str()) {
                let inner = self.edit.fresh(&format!("{output}/half"));
                back.push((inner.clone(), std::mem::replace(output, inner)));
            }
            self.now.insert(output.clone(), to);
        }
        self.edit.nodes.push(new);
        for (inner, output) in back {
            self.edit.cast(&inner, DataType::Float);
            self.edit.rename_last(&output);
            // What follows takes the value as it was made.
            self.renamed.insert(output, inner);
        }
        Ok(())
    }

    /// The name under which a value can be had as `to`.
    fn input(&mut self, value: &str, to: DataType) -> Result<String> {
        if let Some(tensor) = self.tensors.get(value).copied() {
            return self.weight(tensor, to);
        }
        let value = self.renamed.get(value).cloned().unwrap_or_else(|| value.to_owned());
        let value = value.as_str();
        let now = self.now.get(value).copied().unwrap_or(DataType::Float);
        Ok(if now == to { value.to_owned() } else { cast_once(&mut self.edit, &mut self.casts, value, to) })
    }

    fn weight(&mut self, tensor: &TensorProto, to: DataType) -> Result<String> {
        let name = tensor.name();
        let Some(values) = self.model.floats(tensor)? else { return Ok(name.to_owned()) };
        let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let single = to == DataType::Float;
        if single && (values.len() < SMALL || largest > self.half.largest()) {
            return Ok(name.to_owned());
        }
        let stored = match self.stored.get(name) {
            Some(stored) => stored.clone(),
            None => {
                let suffix = self.half.data_type().as_str_name().to_ascii_lowercase();
                let bytes = self.half.bytes(&values);
                let dims = tensor::dims(tensor)?;
                let stored =
                    tensor::raw(&format!("{name}.{suffix}"), self.half.data_type(), &dims, bytes.into())?;
                let stored = self.edit.constant(stored);
                self.stored.insert(name.to_owned(), stored.clone());
                stored
            }
        };
        Ok(if single { cast_once(&mut self.edit, &mut self.casts, &stored, to) } else { stored })
    }
}
