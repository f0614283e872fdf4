//! Slices that together cut a value into parts become one `Split`.

use crate::rewrite::{self, Links};
use avdit_onnx::proto::{GraphProto, NodeProto};
use avdit_onnx::{Dim, Model, Result, ValueType, attribute, tensor};
use std::collections::BTreeMap;

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
