//! A graph being rewritten node by node: new names, new constants, new nodes in order.

use avdit_onnx::proto::{AttributeProto, GraphProto, NodeProto, TensorProto};
use avdit_onnx::{DataType, Model, attribute};
use std::collections::{HashMap, HashSet};

/// The nodes so far, and the names that are taken.
pub(crate) struct Edit {
    pub(crate) nodes: Vec<NodeProto>,
    pub(crate) constants: Vec<TensorProto>,
    taken: HashSet<String>,
}

impl Edit {
    pub(crate) fn of(graph: &GraphProto) -> Self {
        let values = graph.node.iter().flat_map(|node| &node.output).cloned();
        let names = graph.node.iter().map(|node| node.name().to_owned());
        let tensors = graph.initializer.iter().map(|tensor| tensor.name().to_owned());
        let inputs = graph.input.iter().map(|input| input.name().to_owned());
        let taken = values.chain(names).chain(tensors).chain(inputs).collect();
        Self { nodes: Vec::with_capacity(graph.node.len()), constants: Vec::new(), taken }
    }

    /// A name that nothing has yet: this one, or this one with a number.
    pub(crate) fn fresh(&mut self, name: &str) -> String {
        let numbered = (1..).map(|i| format!("{name}_{i}"));
        let free = std::iter::once(name.to_owned()).chain(numbered).find(|name| !self.taken.contains(name));
        let free = free.expect("there is no end of numbers");
        self.taken.insert(free.clone());
        free
    }

    /// Adds a constant, under a name that is free; which one.
    pub(crate) fn constant(&mut self, mut tensor: TensorProto) -> String {
        let name = self.fresh(tensor.name());
        tensor.name = Some(name.clone());
        self.constants.push(tensor);
        name
    }

    /// Adds a node whose outputs are named after it; their names.
    pub(crate) fn node(
        &mut self,
        (domain, op): (&str, &str),
        name: &str,
        inputs: &[&str],
        n_outputs: usize,
        attributes: Vec<AttributeProto>,
    ) -> Vec<String> {
        let name = self.fresh(name);
        let outputs: Vec<String> = match n_outputs {
            1 => vec![name.clone()],
            n => (0..n).map(|i| self.fresh(&format!("{name}:{i}"))).collect(),
        };
        self.nodes.push(NodeProto {
            name: Some(name),
            op_type: Some(op.to_owned()),
            domain: Some(domain.to_owned()),
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: outputs.clone(),
            attribute: attributes,
            ..Default::default()
        });
        outputs
    }

    /// An operator of ONNX with one output; its name.
    pub(crate) fn op(
        &mut self,
        op: &str,
        name: &str,
        inputs: &[&str],
        attributes: Vec<AttributeProto>,
    ) -> String {
        self.node(("", op), name, inputs, 1, attributes).remove(0)
    }

    /// A conversion to another type; the value's name.
    pub(crate) fn cast(&mut self, value: &str, to: DataType) -> String {
        let name = format!("{value}/{}", to.as_str_name().to_ascii_lowercase());
        self.op("Cast", &name, &[value], vec![attribute::int("to", i64::from(to as i32))])
    }

    /// Makes the last node put out `value`.
    pub(crate) fn rename_last(&mut self, value: &str) {
        if let Some(last) = self.nodes.last_mut() {
            value.clone_into(&mut last.output[0]);
        }
    }

    /// Puts the nodes and constants into the model, and drops the initializers that nothing takes.
    pub(crate) fn finish(self, model: &mut Model, domains: &[&str]) {
        let graph = model.graph_mut();
        graph.node = self.nodes;
        graph.initializer.extend(self.constants);
        graph.value_info.clear();
        let used: HashSet<&str> =
            graph.node.iter().flat_map(|node| &node.input).map(String::as_str).collect();
        let public: HashSet<&str> = graph.output.iter().map(|output| output.name()).collect();
        graph.initializer.retain(|tensor| used.contains(tensor.name()) || public.contains(tensor.name()));
        domains.iter().for_each(|domain| model.import(domain, 1));
    }
}

/// The value of a cast that was made before, or a new one.
pub(crate) fn cast_once(
    edit: &mut Edit,
    made: &mut HashMap<(String, i32), String>,
    value: &str,
    to: DataType,
) -> String {
    let key = (value.to_owned(), to as i32);
    if let Some(name) = made.get(&key) {
        return name.clone();
    }
    let name = edit.cast(value, to);
    made.insert(key, name.clone());
    name
}
