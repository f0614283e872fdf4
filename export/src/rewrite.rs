//! Looking around in a graph that is being rewritten.

use avdit_onnx::proto::{GraphProto, NodeProto, TensorProto};
use std::collections::{HashMap, HashSet};

/// Who makes and who uses each value of a graph.
pub(crate) struct Links {
    producers: HashMap<String, usize>,
    uses: HashMap<String, usize>,
    initializers: HashMap<String, usize>,
}

impl Links {
    pub(crate) fn of(graph: &GraphProto) -> Self {
        let mut uses = HashMap::new();
        let inputs = graph.node.iter().flat_map(|node| &node.input).map(String::as_str);
        for name in inputs.chain(graph.output.iter().map(|output| output.name())) {
            *uses.entry(name.to_owned()).or_insert(0) += 1;
        }
        let outputs =
            |(i, node): (usize, &NodeProto)| node.output.clone().into_iter().map(move |name| (name, i));
        let named = |(i, tensor): (usize, &TensorProto)| (tensor.name().to_owned(), i);
        Self {
            producers: graph.node.iter().enumerate().flat_map(outputs).collect(),
            uses,
            initializers: graph.initializer.iter().enumerate().map(named).collect(),
        }
    }

    /// Whether a value is used exactly once, a use as the graph's output included.
    pub(crate) fn used_once(&self, value: &str) -> bool {
        self.uses.get(value) == Some(&1)
    }

    /// Whether anything takes a value, the graph's outputs included.
    pub(crate) fn is_used(&self, value: &str) -> bool {
        self.uses.contains_key(value)
    }

    /// The node that makes a value.
    pub(crate) fn producer<'g>(&self, graph: &'g GraphProto, value: &str) -> Option<&'g NodeProto> {
        self.producers.get(value).map(|&i| &graph.node[i])
    }

    /// The place of an initializer.
    pub(crate) fn initializer(&self, name: &str) -> Option<usize> {
        self.initializers.get(name).copied()
    }
}

/// Makes every node that takes `from` take `to`.
pub(crate) fn redirect(graph: &mut GraphProto, from: &str, to: &str) {
    let inputs = graph.node.iter_mut().flat_map(|node| &mut node.input);
    inputs.filter(|input| *input == from).for_each(|input| to.clone_into(input));
}

/// Drops the initializers that nothing takes.
pub(crate) fn drop_unused_initializers(graph: &mut GraphProto) {
    let used: HashSet<&str> = graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
    graph.initializer.retain(|tensor| used.contains(tensor.name()));
}
