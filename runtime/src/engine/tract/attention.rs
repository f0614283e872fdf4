//! Attention written out in plain operators, given to tract as the one operator that it computes by tiles.
//!
//! tract has that operator and recognises no attention that is written out; as matrix products with a softmax between
//! them, a step of 426 tokens takes a quarter longer.

use std::collections::HashMap;
use tract_onnx::pb;

/// The nodes of an attention, by their places; the scale is in q.
struct Attention {
    /// q, k, v behind their transpositions: (batch, tokens, heads, width).
    inputs: [String; 3],
    heads: i64,
    /// The reshape that puts the heads side by side.
    last: usize,
    /// The nodes that the operator replaces.
    replaced: Vec<usize>,
}

/// Joins every attention of the form `softmax(q·kᵀ)·v`, heads transposed to the front and back again.
pub(super) fn fuse(graph: &mut pb::GraphProto) {
    let found: Vec<_> = {
        let view = View::of(graph);
        (0..graph.node.len()).filter_map(|i| view.attention(i)).collect()
    };
    let mut removed = vec![false; graph.node.len()];
    let mut joined = HashMap::new();
    for attention in &found {
        attention.replaced.iter().for_each(|&i| removed[i] = true);
        joined.insert(attention.last, attention.nodes(&graph.node[attention.last]));
    }
    let nodes = std::mem::take(&mut graph.node).into_iter().enumerate();
    let kept = nodes.flat_map(|(i, node)| match joined.remove(&i) {
        Some(nodes) => nodes,
        None if removed[i] => Vec::new(),
        None => vec![node],
    });
    graph.node = kept.collect();
}

impl Attention {
    /// q, k and v with their heads side by side, as the last node's output will have them, and the operator.
    fn nodes(&self, last: &pb::NodeProto) -> Vec<pb::NodeProto> {
        let flat = |(input, letter): (&String, &str)| {
            let output = format!("{}:{letter}", last.name);
            pb::NodeProto {
                name: output.clone(),
                op_type: "Reshape".to_owned(),
                input: vec![input.clone(), last.input[1].clone()],
                output: vec![output],
                ..Default::default()
            }
        };
        let mut nodes: Vec<_> = self.inputs.iter().zip(["q", "k", "v"]).map(flat).collect();
        let attribute = |name: &str, kind, i, f| pb::AttributeProto {
            name: name.to_owned(),
            r#type: kind as i32,
            i,
            f,
            ..Default::default()
        };
        use pb::attribute_proto::AttributeType;
        nodes.push(pb::NodeProto {
            name: last.name.clone(),
            op_type: "MultiHeadAttention".to_owned(),
            domain: "com.microsoft".to_owned(),
            input: nodes.iter().map(|node| node.output[0].clone()).collect(),
            output: last.output.clone(),
            attribute: vec![
                attribute("num_heads", AttributeType::Int, self.heads, 0.0),
                attribute("scale", AttributeType::Float, 0, 1.0),
            ],
            ..Default::default()
        });
        nodes
    }
}

/// Who makes and who takes each value of a graph.
struct View<'a> {
    graph: &'a pb::GraphProto,
    makers: HashMap<&'a str, usize>,
    takers: HashMap<&'a str, Vec<usize>>,
}

impl<'a> View<'a> {
    fn of(graph: &'a pb::GraphProto) -> Self {
        let (mut makers, mut takers) = (HashMap::new(), HashMap::<_, Vec<_>>::new());
        for (i, node) in graph.node.iter().enumerate() {
            makers.extend(node.output.iter().map(|output| (output.as_str(), i)));
            node.input.iter().for_each(|input| takers.entry(input.as_str()).or_default().push(i));
        }
        Self { graph, makers, takers }
    }

    /// The node that makes a value, if it is of this operator.
    fn maker(&self, value: &str, op: &str) -> Option<usize> {
        let &i = self.makers.get(value)?;
        (self.graph.node[i].op_type == op && self.graph.node[i].domain.is_empty()).then_some(i)
    }

    /// The only node that takes what a node makes, if it is of this operator.
    fn taker(&self, i: usize, op: &str) -> Option<usize> {
        let [value] = &self.graph.node[i].output[..] else { return None };
        let public = self.graph.output.iter().any(|output| output.name == *value);
        match self.takers.get(value.as_str())?[..] {
            [taker] if !public && self.graph.node[taker].op_type == op => Some(taker),
            _ => None,
        }
    }

    /// What a transposition in this order takes, and its node.
    fn transposed(&self, value: &str, order: [i64; 4]) -> Option<(String, usize)> {
        let i = self.maker(value, "Transpose")?;
        let node = &self.graph.node[i];
        let perm = node.attribute.iter().find(|attribute| attribute.name == "perm")?;
        (perm.ints == order).then(|| (node.input[0].clone(), i))
    }

    /// The dimensions that a reshape is told.
    fn dims(&self, i: usize) -> Option<Vec<i64>> {
        let name = self.graph.node[i].input.get(1)?;
        let tensor = self.graph.initializer.iter().find(|tensor| tensor.name == *name)?;
        match (&tensor.raw_data[..], &tensor.int64_data[..]) {
            ([], values) => Some(values.to_vec()),
            (bytes, _) => Some(
                bytes.chunks_exact(8).filter_map(|x| Some(i64::from_le_bytes(x.try_into().ok()?))).collect(),
            ),
        }
    }

    /// The attention whose softmax is node `i`.
    fn attention(&self, i: usize) -> Option<Attention> {
        let softmax = &self.graph.node[i];
        let axis = softmax.attribute.iter().find(|attribute| attribute.name == "axis").map_or(-1, |x| x.i);
        if softmax.op_type != "Softmax" || !matches!(axis, -1 | 3) {
            return None;
        }
        let scores = self
            .maker(&softmax.input[0], "MatMul")
            .filter(|&scores| self.taker(scores, "Softmax") == Some(i))?;
        let mix = self.taker(i, "MatMul")?;
        let back = self.taker(mix, "Transpose")?;
        let last = self.taker(back, "Reshape")?;
        let node = |i: usize| &self.graph.node[i];
        if node(mix).input[0] != softmax.output[0] {
            return None;
        }
        let (q, q_node) = self.transposed(&node(scores).input[0], [0, 2, 1, 3])?;
        let (k, k_node) = self.transposed(&node(scores).input[1], [0, 2, 3, 1])?;
        let (v, v_node) = self.transposed(&node(mix).input[1], [0, 2, 1, 3])?;
        self.transposed(&node(back).output[0], [0, 2, 1, 3])?;
        let (heads, side_by_side) = (self.dims(self.maker(&v, "Reshape")?)?, self.dims(last)?);
        let ([_, tokens, heads, width], [_, rows, joined]) = (&heads[..], &side_by_side[..]) else {
            return None;
        };
        if tokens != rows || heads * width != *joined {
            return None;
        }
        let mut replaced = vec![scores, i, mix, back];
        let own = [(q_node, scores), (k_node, scores), (v_node, mix)];
        replaced.extend(
            own.iter().filter(|(node, by)| self.taker(*node, "MatMul") == Some(*by)).map(|(node, _)| *node),
        );
        Some(Attention { inputs: [q, k, v], heads: *heads, last, replaced })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use avdit_core::{DenoiserSpec, ScheduleKind, Target};
    use avdit_export::{ExportOptions, WeightMap, export_avdit};
    use avdit_nets::AvditConfig;
    use avdit_onnx::WriteOptions;
    use tract_onnx::prelude::Framework;

    /// The portable graph of a network, as tract reads it.
    fn portable(config: &AvditConfig) -> pb::GraphProto {
        let (layout, folder) = (config.layout(), tempfile::tempdir().unwrap());
        let (target, schedule) = (Target::Epsilon, ScheduleKind::Linear);
        let spec = DenoiserSpec { layout, target, schedule, timesteps: 1000 };
        let ones = |parameter: avdit_nets::Parameter| {
            let values = vec![1.0; parameter.len()];
            (parameter.name, (parameter.shape, values))
        };
        let weights: WeightMap = config.parameters().into_iter().map(ones).collect();
        let model = export_avdit(config, &weights, &spec, &ExportOptions::default()).unwrap();
        let path = folder.path().join("model.onnx");
        model.write(&path, &WriteOptions::default()).unwrap();
        tract_onnx::onnx().proto_model_for_path(&path).unwrap().graph.unwrap()
    }

    fn count(graph: &pb::GraphProto, op: &str) -> usize {
        graph.node.iter().filter(|node| node.op_type == op).count()
    }

    fn network(qk_norm: bool) -> AvditConfig {
        AvditConfig { width: 16, depth: 3, heads: 2, qk_norm, ..AvditConfig::preset("tiny").unwrap() }
    }

    #[test]
    fn every_attention_becomes_one_operator() {
        for qk_norm in [true, false] {
            let mut graph = portable(&network(qk_norm));
            fuse(&mut graph);
            assert_eq!(count(&graph, "MultiHeadAttention"), 3);
            // Those of the patches of the video are left.
            assert_eq!((count(&graph, "Softmax"), count(&graph, "Transpose")), (0, 2));
            let heads = graph.node.iter().find(|node| node.op_type == "MultiHeadAttention").unwrap();
            assert_eq!(heads.attribute[0].i, 2);
        }
    }

    #[test]
    fn what_is_another_operation_stays_as_it_is() {
        type Edit = fn(&mut pb::GraphProto, usize);
        let edits: [Edit; 4] = [
            |graph, softmax| graph.node[softmax].attribute[0].i = 2,
            |graph, softmax| graph.node[softmax].op_type = "Sigmoid".into(),
            |graph, softmax| {
                let scores = graph.node[softmax].input[0].clone();
                graph.output.push(pb::ValueInfoProto { name: scores, ..Default::default() });
            },
            |graph, softmax| {
                let output = graph.node[softmax].output[0].clone();
                graph.node.push(pb::NodeProto { input: vec![output], ..Default::default() });
            },
        ];
        for (i, edit) in edits.into_iter().enumerate() {
            let mut graph = portable(&network(true));
            let softmax = graph.node.iter().position(|node| node.op_type == "Softmax").unwrap();
            edit(&mut graph, softmax);
            fuse(&mut graph);
            assert_eq!(count(&graph, "MultiHeadAttention"), 2, "edit {i}");
        }
        let mut graph = portable(&network(true));
        for node in graph.node.iter_mut().filter(|node| node.op_type == "Transpose") {
            node.attribute[0].ints.reverse();
        }
        let nodes = graph.node.len();
        fuse(&mut graph);
        assert_eq!(graph.node.len(), nodes);
    }
}
