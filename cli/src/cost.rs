//! What a model costs, part by part: the graph's own account, grouped.

use crate::parts::{Block, Kind, Part, attribute};
use anyhow::Result;
use avdit_onnx::cost::{self, Cost, Memory, NodeCost};
use avdit_onnx::proto::GraphProto;
use avdit_onnx::{Model, tensor};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};

/// A graph at one batch.
pub struct Analysis {
    /// In the graph's order.
    pub nodes: Vec<(NodeCost, Part)>,
    pub memory: Memory,
    pub attention: Attention,
    /// Numbers in initializers by the block that first reads them.
    pub weights: BTreeMap<Block, u64>,
}

/// Attentions by their form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Attention {
    /// One node each.
    pub fused: usize,
    /// A product, a softmax and a product each.
    pub written_out: usize,
}

/// A sum of costs in figures of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    pub nodes: usize,
    pub multiply_adds: u64,
    pub other_operations: u64,
    /// Twice the multiply-adds, and the others.
    pub operations: u64,
    pub activation_read_bytes: u64,
    pub weight_read_bytes: u64,
    pub written_bytes: u64,
    pub bytes: u64,
    pub operations_per_byte: f64,
}

impl Figures {
    pub fn of(nodes: usize, cost: Cost) -> Self {
        Self {
            nodes,
            multiply_adds: cost.multiply_adds,
            other_operations: cost.other_operations,
            operations: cost.operations(),
            activation_read_bytes: cost.activation_read_bytes,
            weight_read_bytes: cost.weight_read_bytes,
            written_bytes: cost.written_bytes,
            bytes: cost.bytes(),
            operations_per_byte: cost.intensity(),
        }
    }
}

impl Analysis {
    pub fn of(model: &Model, batch: usize) -> Result<Self> {
        let sizes = [("batch", batch)];
        let costs = cost::of(model, &sizes)?;
        let parts = attribute(costs.iter().map(|node| node.name.as_str()));
        let parts: Vec<Part> = parts.into_iter().map(|(part, _)| part).collect();
        let graph = model.graph();
        let mut reader: HashMap<&str, &Block> = HashMap::new();
        for (node, part) in graph.node.iter().zip(&parts) {
            for input in &node.input {
                reader.entry(input).or_insert(&part.block);
            }
        }
        let mut weights = BTreeMap::new();
        for initializer in &graph.initializer {
            let block = reader.get(initializer.name()).copied().unwrap_or(&Block::Unattributed);
            let numbers: usize = tensor::dims(initializer)?.iter().product();
            *weights.entry(block.clone()).or_default() += numbers as u64;
        }
        let attention = Attention::of(graph);
        let memory = cost::memory(model, &sizes)?;
        Ok(Self { nodes: costs.into_iter().zip(parts).collect(), memory, attention, weights })
    }

    pub fn total(&self) -> Figures {
        self.sum(|_, _| Some(())).into_values().next().unwrap_or_default()
    }

    /// Costs by whatever `key` makes of a node; nodes without a key are left out.
    pub fn sum<K: Ord>(&self, key: impl Fn(&NodeCost, &Part) -> Option<K>) -> BTreeMap<K, Figures> {
        let mut sums: BTreeMap<K, (usize, Cost)> = BTreeMap::new();
        for (node, part) in &self.nodes {
            if let Some(key) = key(node, part) {
                let sum = sums.entry(key).or_default();
                sum.0 += 1;
                sum.1 += node.cost;
            }
        }
        sums.into_iter().map(|(key, (nodes, cost))| (key, Figures::of(nodes, cost))).collect()
    }

    pub fn by_block(&self) -> BTreeMap<Block, Figures> {
        self.sum(|_, part| Some(part.block.clone()))
    }

    pub fn by_kind(&self) -> BTreeMap<Kind, Figures> {
        self.sum(|_, part| Some(part.kind))
    }

    pub fn by_operator(&self) -> BTreeMap<String, Figures> {
        self.sum(|node, _| Some(node.op.clone()))
    }

    /// Video and audio, where video has `video_tokens` of all tokens as its share. Nodes are counted where they have
    /// work to do, so that those of both are counted twice.
    pub fn by_modality(&self, video_tokens: f64) -> [Figures; 2] {
        let mut sums = [(0, Cost::default()); 2];
        for (node, part) in &self.nodes {
            let (video, audio) = part.share().split(video_tokens);
            for (sum, share) in sums.iter_mut().zip([video, audio]) {
                sum.0 += usize::from(share > 0.0);
                sum.1 += node.cost.scaled(share);
            }
        }
        sums.map(|(nodes, cost)| Figures::of(nodes, cost))
    }
}

impl Attention {
    fn of(graph: &GraphProto) -> Self {
        let is_fused = |op: &str| {
            matches!(
                op,
                "Attention" | "MultiHeadAttention" | "GroupQueryAttention" | "PackedMultiHeadAttention"
            )
        };
        let is_product =
            |op: &str| matches!(op, "MatMul" | "FusedMatMul" | "MatMulInteger" | "MatMulIntegerToFloat");
        let producer: HashMap<&str, usize> = graph
            .node
            .iter()
            .enumerate()
            .flat_map(|(i, node)| node.output.iter().map(move |output| (output.as_str(), i)))
            .collect();
        // Between the first product and the softmax there may be a scale and a mask.
        let is_scores = |start: &str| {
            let mut value = start.to_owned();
            loop {
                let Some(node) = producer.get(value.as_str()).map(|&i| &graph.node[i]) else { return false };
                match (node.op_type(), node.input.first()) {
                    (op, _) if is_product(op) => return true,
                    ("Add" | "Mul" | "Div" | "Where" | "Cast", Some(input)) => value.clone_from(input),
                    _ => return false,
                }
            }
        };
        let fused = graph.node.iter().filter(|node| is_fused(node.op_type())).count();
        let is_attention = |softmax: &&avdit_onnx::proto::NodeProto| {
            let [from, to] =
                [softmax.input.first(), softmax.output.first()].map(|name| name.map_or("", |n| n));
            // And between the softmax and the second product its integers.
            let quantizes = |node: &&avdit_onnx::proto::NodeProto| {
                matches!(node.op_type(), "QuantizeLinear" | "DynamicQuantizeLinear")
                    && node.input.first().is_some_and(|input| input == to)
            };
            let integers = graph.node.iter().filter(quantizes).filter_map(|node| node.output.first());
            let mixed: Vec<&str> = integers.map(String::as_str).chain([to]).collect();
            let mixes = |node: &avdit_onnx::proto::NodeProto| {
                is_product(node.op_type()) && node.input.iter().any(|input| mixed.contains(&input.as_str()))
            };
            is_scores(from) && graph.node.iter().any(mixes)
        };
        let softmaxes = graph.node.iter().filter(|node| node.op_type() == "Softmax");
        Self { fused, written_out: softmaxes.filter(is_attention).count() }
    }
}
