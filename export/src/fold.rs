//! Arithmetic with constants that the weights can take over.
//!
//! A factor behind a linear layer or a norm's weight goes into it (the scale of attention into Wq and bq, or into
//! the norm of q); a constant added to an output of a layer goes into its bias (the `1 +` of adaLN's scale). Only
//! where nothing else sees the values on the way, so that every other value of the graph stays as it was.

use crate::rewrite::{self, Links};
use avdit_onnx::proto::{GraphProto, NodeProto, TensorProto};
use avdit_onnx::{DataType, Model, Result, attribute, tensor};

/// Elements of an initializer, and what they are to become.
struct Change {
    initializer: usize,
    range: std::ops::Range<usize>,
    factor: f32,
    offset: f32,
}

/// Folds what can be folded. The model stays valid.
pub(crate) fn fold_constants(model: &mut Model) -> Result<()> {
    let graph = model.graph_mut();
    let mut i = 0;
    while i < graph.node.len() {
        let Some((value, changes)) = fold(graph, &graph.node[i]) else {
            i += 1;
            continue;
        };
        for change in changes {
            apply(&mut graph.initializer[change.initializer], &change)?;
        }
        let removed = graph.node.remove(i);
        rewrite::redirect(graph, &removed.output[0], &value);
    }
    rewrite::drop_unused_initializers(graph);
    Ok(())
}

/// The value that a node may be replaced by, and the changes that make up for it.
fn fold(graph: &GraphProto, node: &NodeProto) -> Option<(String, Vec<Change>)> {
    let (op @ ("Mul" | "Add"), [value, constant]) = (node.op_type(), &node.input[..]) else { return None };
    let constant = scalar(graph.initializer.iter().find(|tensor| tensor.name() == constant)?)?;
    if graph.output.iter().any(|output| output.name() == node.output[0]) {
        return None;
    }
    let links = Links::of(graph);
    let changes = match op {
        "Mul" => scale(graph, &links, value, constant)?,
        _ => vec![shift(graph, &links, value, None, constant)?],
    };
    Some((value.clone(), changes))
}

fn scalar(tensor: &TensorProto) -> Option<f32> {
    if tensor.dims.is_empty() { tensor::to_f32s(tensor)?.first().copied() } else { None }
}

/// An initializer of single-precision numbers that one node alone takes, and its length.
fn own(graph: &GraphProto, links: &Links, name: &str) -> Option<(usize, usize)> {
    let i = links.initializer(name).filter(|_| links.used_once(name))?;
    let tensor = &graph.initializer[i];
    let len = tensor::dims(tensor).ok()?.iter().product();
    Some((i, len)).filter(|_| tensor::data_type(tensor) == DataType::Float)
}

/// The changes that multiply `value`, which is used once, by `factor`.
fn scale(graph: &GraphProto, links: &Links, value: &str, factor: f32) -> Option<Vec<Change>> {
    let node = links.producer(graph, value).filter(|_| links.used_once(value))?;
    let whole = |(initializer, len)| Change { initializer, range: 0..len, factor, offset: 0.0 };
    match (node.op_type(), &node.input[..]) {
        ("Reshape" | "Transpose", [x, ..]) => scale(graph, links, x, factor),
        ("Mul" | "MatMul", [_, weight]) => Some(vec![whole(own(graph, links, weight)?)]),
        ("Gemm", [_, weight, bias]) => {
            Some(vec![whole(own(graph, links, weight)?), whole(own(graph, links, bias)?)])
        }
        ("Add", [x, bias]) => {
            let bias = whole(own(graph, links, bias)?);
            let mut changes = scale(graph, links, x, factor)?;
            changes.push(bias);
            Some(changes)
        }
        _ => None,
    }
}

/// The change that adds `offset` to `value`, which is used once; `part` is its range in the last dimension of what
/// it was cut from.
fn shift(
    graph: &GraphProto,
    links: &Links,
    value: &str,
    part: Option<std::ops::Range<usize>>,
    offset: f32,
) -> Option<Change> {
    let node = links.producer(graph, value).filter(|_| links.used_once(value))?;
    match (node.op_type(), &node.input[..]) {
        // Behind the batch and the rows, 2 is the last dimension of every layer's output.
        ("Split", [x, sizes]) if part.is_none() && attribute::int_or(node, "axis", 0) == 2 => {
            let sizes = tensor::to_i64s(&graph.initializer[links.initializer(sizes)?])?;
            let place = node.output.iter().position(|output| output == value)?;
            let start = sizes[..place].iter().sum::<i64>() as usize;
            shift(graph, links, x, Some(start..start + sizes[place] as usize), offset)
        }
        ("Gather", [x, _]) if attribute::int_or(node, "axis", 0) == 1 => shift(graph, links, x, part, offset),
        // A table of rows.
        ("Gather", [x, _]) if attribute::int_or(node, "axis", 0) == 0 => {
            let (initializer, len) = own(graph, links, x)?;
            Some(Change { initializer, range: 0..len, factor: 1.0, offset })
        }
        // The rows of a layer's output take their batch back; the last dimension is still the layer's.
        ("Reshape", [x, _]) => {
            let gemm =
                links.producer(graph, x).filter(|node| node.op_type() == "Gemm" && links.used_once(x))?;
            let (initializer, len) = own(graph, links, gemm.input.get(2)?)?;
            Some(Change { initializer, range: part.unwrap_or(0..len), factor: 1.0, offset })
        }
        ("Add", [a, b]) => match own(graph, links, b) {
            Some((initializer, len)) if graph.initializer[initializer].dims.len() == 1 => {
                Some(Change { initializer, range: part.unwrap_or(0..len), factor: 1.0, offset })
            }
            _ => {
                shift(graph, links, b, part.clone(), offset).or_else(|| shift(graph, links, a, part, offset))
            }
        },
        _ => None,
    }
}

fn apply(tensor: &mut TensorProto, change: &Change) -> Result<()> {
    let mut values = tensor::to_f32s(tensor).unwrap_or_default();
    for value in &mut values[change.range.clone()] {
        *value = *value * change.factor + change.offset;
    }
    let changed = tensor::f32s(tensor.name(), &tensor::dims(tensor)?, &values)?;
    let what = match (change.factor, change.offset) {
        (factor, 0.0) => format!("times {factor}"),
        (_, offset) => format!("plus {offset} in {}..{}", change.range.start, change.range.end),
    };
    let doc = if tensor.doc_string().is_empty() { what } else { format!("{}, {what}", tensor.doc_string()) };
    *tensor = TensorProto { doc_string: Some(doc), ..changed };
    Ok(())
}
