//! A range of batches as the shapes of a graph's inputs, in the provider's notation.

use crate::engine::BatchProfile;
use crate::graph::{Batch, Model};
use std::fmt;
use tract_onnx::pb::tensor_shape_proto::dimension::Value;
use tract_onnx::pb::type_proto;

/// The shapes of all inputs at the smallest, usual and largest batch: `video:1x5x8x16x16,audio:1x106x32,…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shapes {
    /// At the smallest.
    pub min: String,
    /// At the one it is fastest at.
    pub opt: String,
    /// At the largest.
    pub max: String,
}

impl Shapes {
    /// None for a graph whose batch is fixed.
    pub(crate) fn of(model: &Model, profile: BatchProfile) -> Option<Self> {
        if model.facts.batch != Batch::Any {
            return None;
        }
        let at = |batch| shapes(model, batch);
        Some(Self { min: at(profile.min), opt: at(profile.opt), max: at(profile.max) })
    }
}

/// Dimensions without a number are the batch, which is what reading a model has made sure of.
fn shapes(model: &Model, batch: usize) -> String {
    let Some(graph) = &model.proto.graph else { return String::new() };
    let fed = graph.input.iter().filter(|input| !graph.initializer.iter().any(|t| t.name == input.name));
    let shape = |input: &tract_onnx::pb::ValueInfoProto| {
        let Some(type_proto::Value::TensorType(tensor)) = input.r#type.as_ref()?.value.as_ref() else {
            return None;
        };
        let size = |dimension: &tract_onnx::pb::tensor_shape_proto::Dimension| match dimension.value {
            Some(Value::DimValue(n)) => n.to_string(),
            _ => batch.to_string(),
        };
        let sizes: Vec<_> = tensor.shape.as_ref()?.dim.iter().map(size).collect();
        Some(format!("{}:{}", input.name, sizes.join("x")))
    };
    fed.filter_map(shape).collect::<Vec<_>>().join(",")
}

/// `batch 1..2..4 (video:1x5x8x16x16,… to video:4x5x8x16x16,…)`.
pub(super) fn describe(profile: BatchProfile, shapes: Option<&Shapes>) -> String {
    match shapes {
        Some(shapes) if shapes.min != shapes.max => format!("{profile} ({} to {})", shapes.min, shapes.max),
        Some(shapes) => format!("{profile} ({})", shapes.min),
        None => profile.to_string(),
    }
}

impl BatchProfile {
    /// One batch alone.
    pub fn only(batch: usize) -> Self {
        Self { min: batch, opt: batch, max: batch }
    }

    /// Whether an engine of this profile runs a batch.
    pub fn has(self, batch: usize) -> bool {
        (self.min..=self.max).contains(&batch)
    }
}

impl fmt::Display for BatchProfile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.min == self.max {
            true => write!(f, "batch {}", self.opt),
            false => write!(f, "batch {}..{}..{}", self.min, self.opt, self.max),
        }
    }
}
