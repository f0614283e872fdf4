//! Whether the inputs and outputs of a graph are those that the configuration beside it promises.

use super::{Batch, Element, Port, Ports};
use crate::error::{Error, Result};
use std::collections::HashSet;
use std::path::Path;
use tract_onnx::pb;
use tract_onnx::pb::tensor_proto::DataType;

/// What a graph is checked against.
pub(super) struct Signature<'a> {
    pub(super) path: &'a Path,
    pub(super) ports: &'a Ports,
    /// Whether it is one of a fused step.
    pub(super) is_step: bool,
}

/// What a graph declares.
pub(super) struct Checked {
    pub(super) inputs: Vec<usize>,
    pub(super) outputs: Vec<usize>,
    /// In which numbers inputs and outputs are.
    pub(super) elements: [Vec<Element>; 2],
    pub(super) batch: Batch,
}

impl Signature<'_> {
    /// Positions of the inputs and outputs, in which numbers they are, and the batches that the graph takes.
    pub(super) fn check(&self, graph: &pb::GraphProto) -> Result<Checked> {
        let initialised: HashSet<_> = graph.initializer.iter().map(|t| t.name.as_str()).collect();
        let fed: Vec<_> = graph.input.iter().filter(|i| !initialised.contains(i.name.as_str())).collect();
        let mut batch = Batch::Any;
        let inputs = self.positions("input", &self.ports.inputs, &fed, &mut batch)?;
        let is_known =
            |input: &&&pb::ValueInfoProto| self.ports.inputs.iter().any(|port| port.name == input.name);
        if let Some(extra) = fed.iter().find(|input| !is_known(input)) {
            let names: Vec<_> = self.ports.inputs.iter().map(|port| port.name.as_str()).collect();
            let expected = format!("no inputs but {}", names.join(", "));
            return Err(self.error(format!("input {}", extra.name), expected, describe(extra)));
        }
        let declared: Vec<_> = graph.output.iter().collect();
        let outputs = self.positions("output", &self.ports.outputs, &declared, &mut batch)?;
        let element = |port: &pb::ValueInfoProto| match element_type(port) {
            Some(DataType::Float16) => Element::Float16,
            Some(DataType::Bfloat16) => Element::Bfloat16,
            _ => Element::Float32,
        };
        let elements = [
            inputs.iter().map(|&place| element(fed[place])).collect(),
            outputs.iter().map(|&place| element(declared[place])).collect(),
        ];
        Ok(Checked { inputs, outputs, elements, batch })
    }

    fn positions(
        &self,
        kind: &str,
        ports: &[Port],
        declared: &[&pb::ValueInfoProto],
        batch: &mut Batch,
    ) -> Result<Vec<usize>> {
        let mut place = |port: &Port| {
            let place = self.position(kind, &port.name, declared)?;
            self.check_port(kind, declared[place], &port.shape(1), batch)?;
            Ok(place)
        };
        ports.iter().map(&mut place).collect()
    }

    fn position(&self, kind: &str, name: &str, ports: &[&pb::ValueInfoProto]) -> Result<usize> {
        ports.iter().position(|port| port.name == name).ok_or_else(|| {
            let names: Vec<_> = ports.iter().map(|port| port.name.as_str()).collect();
            self.error(format!("{kind}s"), format!("one named {name}"), names.join(", "))
        })
    }

    /// Checks type and shape of an input or output, and what its first dimension says of the batch.
    fn check_port(
        &self,
        kind: &str,
        port: &pb::ValueInfoProto,
        expected: &[usize],
        batch: &mut Batch,
    ) -> Result<()> {
        let fits = dimensions(port).is_some_and(|got| {
            let rest_fits = got.iter().zip(expected).skip(1).all(|(got, want)| got.fits(*want));
            got.len() == expected.len() && rest_fits
        });
        let float = match element_type(port) {
            Some(DataType::Float) => true,
            // A fused step keeps its state on the device, in single precision.
            Some(DataType::Float16 | DataType::Bfloat16) => !self.is_step,
            _ => false,
        };
        if !float || !fits {
            let rest: Vec<_> = expected[1..].iter().map(ToString::to_string).collect();
            let expected = format!("Float (batch, {})", rest.join(", "));
            return Err(self.error(format!("{kind} {}", port.name), expected, describe(port)));
        }
        if let Some(Dimension::Fixed(n)) = dimensions(port).and_then(|d| d.first().cloned()) {
            match batch {
                Batch::Fixed(other) if *other != n => {
                    let what = format!("batch of {kind} {}", port.name);
                    return Err(self.error(
                        what,
                        format!("{other}, as {}", self.ports.inputs[0].name),
                        n.to_string(),
                    ));
                }
                _ => *batch = Batch::Fixed(n),
            }
        }
        Ok(())
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
