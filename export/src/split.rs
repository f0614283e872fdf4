//! Cuts: slices that together cover a value become one `Split`, which goes before a `Gather` of its rows.

use crate::rewrite::{self, Links};
use avdit_onnx::proto::{GraphProto, NodeProto};
use avdit_onnx::{Dim, Model, Result, ValueType, attribute, tensor};
use std::collections::{BTreeMap, HashMap};

/// A `Slice` of one axis: its place among the nodes, and its range.
struct Cut {
    node: usize,
    start: i64,
    end: i64,
}

/// Replaces every set of slices that covers an axis of a value without gap or overlap.
pub(crate) fn merge_slices(model: &mut Model) -> Result<()> {
    let types = model.infer_shapes()?;
    let graph = model.graph_mut();
    for ((value, axis), mut cuts) in slices(graph) {
        cuts.sort_by_key(|cut| cut.start);
        let covers = cuts.windows(2).all(|pair| pair[0].end == pair[1].start) && cuts[0].start == 0;
        let end = Dim::Known(cuts[cuts.len() - 1].end as usize);
        let size = types.get(&value).map(|ValueType { shape, .. }| &shape[axis as usize]);
        if cuts.len() > 1 && covers && size == Some(&end) {
            replace(graph, &value, axis, &cuts)?;
        }
    }
    graph.node.retain(|node| !node.op_type().is_empty());
    rewrite::drop_unused_initializers(graph);
    Ok(())
}

/// The slices of one axis with step 1, by sliced value and axis.
fn slices(graph: &GraphProto) -> BTreeMap<(String, i64), Vec<Cut>> {
    let links = Links::of(graph);
    let constant = |name: &String| -> Option<i64> {
        let values = tensor::to_i64s(&graph.initializer[links.initializer(name)?])?;
        <[i64; 1]>::try_from(values).ok().map(|[value]| value)
    };
    let mut found: BTreeMap<_, Vec<Cut>> = BTreeMap::new();
    for (i, node) in graph.node.iter().enumerate().filter(|(_, node)| node.op_type() == "Slice") {
        let [value, start, end, axis] = &node.input[..] else { continue };
        if let (Some(start), Some(end), Some(axis @ 0..)) = (constant(start), constant(end), constant(axis)) {
            found.entry((value.clone(), axis)).or_default().push(Cut { node: i, start, end });
        }
    }
    found
}

/// Puts a `Split` where the first slice was, and leaves nodes without an operator where the slices were.
fn replace(graph: &mut GraphProto, value: &str, axis: i64, cuts: &[Cut]) -> Result<()> {
    let sizes: Vec<i64> = cuts.iter().map(|cut| cut.end - cut.start).collect();
    let sizes_name = format!("sizes_{}", sizes.iter().map(i64::to_string).collect::<Vec<_>>().join("_"));
    if !graph.initializer.iter().any(|tensor| tensor.name() == sizes_name) {
        graph.initializer.push(tensor::i64s(&sizes_name, &sizes)?);
    }
    let first = cuts.iter().map(|cut| cut.node).min().expect("there are at least two cuts");
    let name = graph.node[first].name().replace("Slice", "Split");
    let mut outputs = Vec::new();
    for (i, cut) in cuts.iter().enumerate() {
        let old = graph.node[cut.node].output[0].clone();
        let public = graph.output.iter().any(|output| output.name() == old);
        let new = if public { old.clone() } else { format!("{name}:{i}") };
        rewrite::redirect(graph, &old, &new);
        outputs.push(new);
        graph.node[cut.node] = NodeProto::default();
    }
    graph.node[first] = NodeProto {
        name: Some(name),
        op_type: Some("Split".to_owned()),
        input: vec![value.to_owned(), sizes_name],
        output: outputs,
        attribute: vec![attribute::int("axis", axis)],
        ..Default::default()
    };
    Ok(())
}

/// Where the columns of gathered rows are cut, cuts them before the rows are gathered: there are as many rows as cells
/// then, not as many as tokens.
pub(crate) fn split_before_gather(model: &mut Model) {
    let graph = model.graph_mut();
    let links = Links::of(graph);
    let mut nodes = Vec::with_capacity(graph.node.len());
    let mut moved = Vec::new();
    for node in &graph.node {
        let gather = (node.op_type() == "Split").then(|| links.producer(graph, &node.input[0])).flatten();
        let public = |value: &String| graph.output.iter().any(|output| output.name() == value);
        match gather {
            Some(gather)
                if gather.op_type() == "Gather"
                    && attribute::int_or(gather, "axis", 0) == 1
                    && attribute::int_or(node, "axis", 0) == 2
                    && links.used_once(&node.input[0])
                    && !node.output.iter().any(public) =>
            {
                let mut split = node.clone();
                split.input[0].clone_from(&gather.input[0]);
                nodes.push(split);
                for (i, part) in node.output.iter().enumerate() {
                    let name = format!("{}:{i}", gather.name());
                    let (input, output) = (vec![part.clone(), gather.input[1].clone()], vec![name.clone()]);
                    nodes.push(NodeProto { name: Some(name.clone()), input, output, ..gather.clone() });
                    moved.push((part.clone(), name));
                }
                nodes.retain(|other: &NodeProto| other.name() != gather.name());
            }
            _ => nodes.push(node.clone()),
        }
    }
    // Every use of a part but that of its own gather.
    let moved: HashMap<_, _> = moved.into_iter().collect();
    for node in &mut nodes {
        for input in &mut node.input {
            match moved.get(input) {
                Some(name) if node.name.as_ref() != Some(name) => input.clone_from(name),
                _ => {}
            }
        }
    }
    graph.node = nodes;
}
