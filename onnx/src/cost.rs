//! What a graph costs at given sizes of its symbolic dimensions: operations, bytes moved, memory.
//!
//! Everything follows from types and shapes; no weight is read. Counted as written in the graph: what an engine fuses
//! moves fewer bytes than this, and computes the same products.

mod bound;
mod memory;
mod work;

pub use memory::{Memory, Resident, memory};

use crate::error::Result;
use crate::model::Model;
use bound::Bound;
use std::collections::BTreeSet;
use std::ops::AddAssign;

/// What one node costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCost {
    /// Its name.
    pub name: String,
    /// Its operator, with the domain unless that is ONNX's own.
    pub op: String,
    /// What it costs.
    pub cost: Cost,
    /// Whether the operator has a rule here; without one its operations count as none, its bytes in full.
    pub is_counted: bool,
}

/// Operations and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Multiplications each followed by an addition, in products of matrices and convolutions: two operations each.
    pub multiply_adds: u64,
    /// All other operations on numbers. An elementary function (exp, tanh, a root, a division) counts as one.
    pub other_operations: u64,
    /// Bytes read of what other nodes made or the caller gave.
    pub activation_read_bytes: u64,
    /// Bytes read of initializers.
    pub weight_read_bytes: u64,
    /// Bytes written.
    pub written_bytes: u64,
}

impl Cost {
    /// `2 · multiply_adds + other_operations`.
    pub fn operations(&self) -> u64 {
        2 * self.multiply_adds + self.other_operations
    }

    /// Bytes read and written.
    pub fn bytes(&self) -> u64 {
        self.activation_read_bytes + self.weight_read_bytes + self.written_bytes
    }

    /// Operations per byte; 0 where nothing is moved.
    pub fn intensity(&self) -> f64 {
        if self.bytes() == 0 { 0.0 } else { self.operations() as f64 / self.bytes() as f64 }
    }

    /// `part` of this, rounded down.
    pub fn scaled(&self, part: f64) -> Self {
        let of = |x: u64| (x as f64 * part) as u64;
        Self {
            multiply_adds: of(self.multiply_adds),
            other_operations: of(self.other_operations),
            activation_read_bytes: of(self.activation_read_bytes),
            weight_read_bytes: of(self.weight_read_bytes),
            written_bytes: of(self.written_bytes),
        }
    }
}

impl AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.multiply_adds += other.multiply_adds;
        self.other_operations += other.other_operations;
        self.activation_read_bytes += other.activation_read_bytes;
        self.weight_read_bytes += other.weight_read_bytes;
        self.written_bytes += other.written_bytes;
    }
}

impl std::iter::Sum for Cost {
    fn sum<I: Iterator<Item = Self>>(costs: I) -> Self {
        costs.fold(Self::default(), |mut sum, cost| {
            sum += cost;
            sum
        })
    }
}

/// What every node costs, in the graph's order, where each symbolic dimension has the size bound to its name.
///
/// A view (`Reshape`, `Identity`, …) moves nothing. `Gather` and `Slice` read what they write. An attention in one
/// node keeps its scores to itself: they move no bytes.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) naming a symbol that is not bound; otherwise as [`Model::infer_shapes`],
/// where a node of an unknown operator is taken at the types that the model declares for its outputs.
pub fn of(model: &Model, sizes: &[(&str, usize)]) -> Result<Vec<NodeCost>> {
    let bound = Bound::of(model, sizes)?;
    let initializers: BTreeSet<_> = model.graph().initializer.iter().map(|tensor| tensor.name()).collect();
    let node_cost = |node| {
        let site = work::Site::of(node, &bound);
        let work = work::of(&site);
        let (mut activation_read_bytes, mut weight_read_bytes) = (0, 0);
        for (place, name) in node.input.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
            let bytes = work::read_bytes(&site, place);
            match initializers.contains(name.as_str()) {
                true => weight_read_bytes += bytes,
                false => activation_read_bytes += bytes,
            }
        }
        NodeCost {
            name: node.name().to_owned(),
            op: operator(node.domain(), node.op_type()),
            is_counted: work.is_some(),
            cost: Cost {
                multiply_adds: work.map_or(0, |work| work.multiply_adds),
                other_operations: work.map_or(0, |work| work.other_operations),
                activation_read_bytes,
                weight_read_bytes,
                written_bytes: if work::is_view(&site) { 0 } else { site.output_bytes() },
            },
        }
    };
    Ok(model.graph().node.iter().map(node_cost).collect())
}

/// `MatMul`, `com.microsoft.MultiHeadAttention`.
fn operator(domain: &str, name: &str) -> String {
    if domain.is_empty() || domain == "ai.onnx" { name.to_owned() } else { format!("{domain}.{name}") }
}
