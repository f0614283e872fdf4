//! Reshapes that follow one another become one, and those that change nothing none.
//!
//! Layers that take matrices alone leave a pair of them around each; what lies between two layers and works element by
//! element, such as a GELU, takes the matrix as well.

use crate::rewrite::{self, Links};
use avdit_onnx::proto::{GraphProto, NodeProto};
use avdit_onnx::{Dim, Model, Result, ValueType, tensor};
use std::collections::BTreeMap;

/// Operators of one input that take every shape.
const ELEMENTWISE: [&str; 2] = ["Gelu", "FastGelu"];

type Types = BTreeMap<String, ValueType>;

/// Merges what can be merged. The model stays valid.
pub(crate) fn merge_reshapes(model: &mut Model) -> Result<()> {
    loop {
        let types = model.infer_shapes()?;
        let graph = model.graph_mut();
        let links = Links::of(graph);
        let mut reshapes = (0..graph.node.len()).filter(|&i| is_reshape(&graph.node[i]));
        let step = reshapes.find_map(|i| Step::of(graph, &links, &types, i));
        match step {
            Some(step) => step.take(graph)?,
            None => return Ok(()),
        }
    }
}

fn is_reshape(node: &NodeProto) -> bool {
    node.op_type() == "Reshape"
}

/// What can be done about a reshape.
enum Step {
    /// It makes what it takes.
    Remove { node: usize },
    /// It may take another value, and then be told these dimensions.
    Take { node: usize, value: String, dims: Vec<i64> },
    /// The operator before it may take what the reshape before that takes.
    Pass { node: usize, operator: usize, value: String, dims: Vec<i64> },
}

impl Step {
    fn of(graph: &GraphProto, links: &Links, types: &Types, i: usize) -> Option<Self> {
        let node = &graph.node[i];
        let (x, y) = (&node.input[0], &node.output[0]);
        let public = graph.output.iter().any(|output| output.name() == y);
        if types.get(x) == types.get(y) && !public {
            return Some(Step::Remove { node: i });
        }
        let dims = || target(types.get(y)?);
        let before = links.producer(graph, x)?;
        if is_reshape(before) {
            return Some(Step::Take { node: i, value: before.input[0].clone(), dims: dims()? });
        }
        let first = links.producer(graph, before.input.first()?)?;
        let between = ELEMENTWISE.contains(&before.op_type()) && before.input.len() == 1;
        if !between || !is_reshape(first) || !links.used_once(x) || !links.used_once(&first.output[0]) {
            return None;
        }
        let operator = graph.node.iter().position(|node| node.name() == before.name())?;
        Some(Step::Pass { node: i, operator, value: first.input[0].clone(), dims: dims()? })
    }

    fn take(self, graph: &mut GraphProto) -> Result<()> {
        match self {
            Step::Remove { node } => {
                let removed = graph.node.remove(node);
                rewrite::redirect(graph, &removed.output[0], &removed.input[0]);
            }
            Step::Take { node, value, dims } => {
                let name = integers(graph, &dims)?;
                graph.node[node].input = vec![value, name];
            }
            Step::Pass { node, operator, value, dims } => {
                let name = integers(graph, &dims)?;
                graph.node[operator].input = vec![value];
                graph.node[node].input[1] = name;
            }
        }
        let links = Links::of(graph);
        graph.node.retain(|node| !is_reshape(node) || links.is_used(&node.output[0]));
        rewrite::drop_unused_initializers(graph);
        Ok(())
    }
}

/// The dimensions that make a type of anything with as many elements; none if more than one is open.
fn target(made: &ValueType) -> Option<Vec<i64>> {
    let dims: Vec<i64> = made
        .shape
        .iter()
        .map(|dim| match dim {
            Dim::Known(size) => *size as i64,
            Dim::Symbol(_) => -1,
        })
        .collect();
    (dims.iter().filter(|&&dim| dim == -1).count() <= 1).then_some(dims)
}

/// A vector of integers in the graph, by name.
fn integers(graph: &mut GraphProto, values: &[i64]) -> Result<String> {
    let same = |tensor: &&avdit_onnx::proto::TensorProto| {
        tensor.dims == [values.len() as i64] && tensor::to_i64s(tensor).as_deref() == Some(values)
    };
    if let Some(found) = graph.initializer.iter().find(same) {
        return Ok(found.name().to_owned());
    }
    let joined = values.iter().map(i64::to_string).collect::<Vec<_>>().join("_");
    let name = format!("shape_{joined}");
    graph.initializer.push(tensor::i64s(&name, values)?);
    Ok(name)
}
