//! How much memory a graph holds at once.

use super::bound::{Bound, Value};
use super::work;
use crate::error::Result;
use crate::model::Model;
use crate::tensor;
use std::collections::HashMap;

/// What a graph holds in memory while it runs, in bytes.
///
/// Counted: every initializer once; of what nodes make, each value from the node that makes it to the last one that
/// reads it, outputs of the graph to the end. A view holds nothing of its own, and an operation on single elements
/// writes over an input of its size that nothing reads later. Nodes run in the graph's order. Not counted: the
/// graph's inputs (the caller's), what a kernel needs inside, an engine's own copies of the weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Initializers.
    pub weight_bytes: u64,
    /// The largest sum of values that live at once: no allocator needs less.
    pub live_bytes: u64,
    /// The extent of a block that holds all values as ONNX Runtime plans it: a value takes over a place whose value is
    /// dead if both have the same type and shape; places lie as low as they fit beside those held at the same time.
    pub arena_bytes: u64,
    /// The node at which most is alive.
    pub at: String,
    /// What is alive there, largest first.
    pub residents: Vec<Resident>,
}

/// A value that lives at the peak.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resident {
    /// Its name.
    pub value: String,
    /// Its size.
    pub bytes: u64,
}

impl Memory {
    /// Weights and an arena of activations.
    pub fn peak_bytes(&self) -> u64 {
        self.weight_bytes + self.arena_bytes
    }
}

/// A place in memory, and the value that it is made for.
#[derive(Clone)]
struct Buffer<'a> {
    value: &'a str,
    like: Option<&'a Value>,
    bytes: u64,
    /// The nodes at which it is held, both included.
    from: usize,
    to: usize,
}

/// Predicts the memory of a graph, where each symbolic dimension has the size bound to its name.
///
/// # Errors
/// As [`super::of`].
pub fn memory(model: &Model, sizes: &[(&str, usize)]) -> Result<Memory> {
    let bound = Bound::of(model, sizes)?;
    let weights = model.graph().initializer.iter().map(tensor::byte_len);
    let weight_bytes = weights.sum::<Result<usize>>()? as u64;
    let buffers = buffers(model, &bound);
    let live = |node: usize| buffers.iter().filter(move |b| b.from <= node && node <= b.to);
    let sum = |node: usize| live(node).map(|buffer| buffer.bytes).sum::<u64>();
    let nodes = &model.graph().node;
    // The first of equals.
    let peak = (0..nodes.len()).rev().max_by_key(|&node| sum(node));
    let mut residents: Vec<_> = peak.map_or(Vec::new(), |peak| {
        live(peak).map(|buffer| Resident { value: buffer.value.to_owned(), bytes: buffer.bytes }).collect()
    });
    residents.sort_by_key(|resident| std::cmp::Reverse(resident.bytes));
    Ok(Memory {
        weight_bytes,
        live_bytes: peak.map_or(0, sum),
        arena_bytes: arena(&handed_on(&buffers)),
        at: peak.map_or(String::new(), |peak| nodes[peak].name().to_owned()),
        residents,
    })
}

fn buffers<'a>(model: &'a Model, bound: &'a Bound) -> Vec<Buffer<'a>> {
    let graph = model.graph();
    let mut last_use: HashMap<&str, usize> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        last_use.extend(node.input.iter().map(|input| (input.as_str(), i)));
    }
    last_use.extend(graph.output.iter().map(|output| (output.name(), graph.node.len())));
    let mut buffers: Vec<Buffer<'_>> = Vec::new();
    // The buffer of every value that a node has made.
    let mut place: HashMap<&str, usize> = HashMap::new();
    for (i, node) in graph.node.iter().enumerate() {
        for (n, output) in node.output.iter().enumerate().filter(|(_, output)| !output.is_empty()) {
            let (bytes, to) = (bound.bytes(output), last_use.get(output.as_str()).copied().unwrap_or(i));
            let free = |input: &&String| {
                place.get(input.as_str()).is_some_and(|&b| buffers[b].to == i && buffers[b].bytes == bytes)
            };
            let reused = match n {
                0 if work::view(node) => node.input.first().and_then(|input| place.get(input.as_str())),
                0 if work::in_place(node) => {
                    node.input.iter().find(free).and_then(|input| place.get(input.as_str()))
                }
                _ => None,
            };
            let buffer = match reused.copied() {
                Some(buffer) => {
                    buffers[buffer].to = buffers[buffer].to.max(to);
                    buffer
                }
                // A view of what the caller or the model holds.
                None if work::view(node) => continue,
                None => {
                    let like = bound.get(output);
                    buffers.push(Buffer { value: output, like, bytes, from: i, to });
                    buffers.len() - 1
                }
            };
            place.insert(output, buffer);
        }
    }
    buffers
}

/// The same places where a value takes over the one that fell free last of those made for its type and shape.
fn handed_on<'a>(buffers: &[Buffer<'a>]) -> Vec<Buffer<'a>> {
    let mut places: Vec<Buffer<'a>> = Vec::new();
    for buffer in buffers {
        let free = places.iter_mut().filter(|place| place.to < buffer.from && place.like == buffer.like);
        match free.max_by_key(|place| place.to) {
            Some(place) => place.to = buffer.to,
            None => places.push(buffer.clone()),
        }
    }
    places
}

/// The end of the last block, where each buffer in order of time goes to the lowest gap that fits.
fn arena(buffers: &[Buffer<'_>]) -> u64 {
    let mut placed: Vec<(u64, &Buffer<'_>)> = Vec::new();
    for buffer in buffers {
        let mut taken: Vec<(u64, u64)> = placed
            .iter()
            .filter(|(_, other)| other.from <= buffer.to && buffer.from <= other.to)
            .map(|(start, other)| (*start, start + other.bytes))
            .collect();
        taken.sort_unstable();
        let mut start = 0;
        for (from, to) in taken {
            if from >= start + buffer.bytes {
                break;
            }
            start = start.max(to);
        }
        placed.push((start, buffer));
    }
    placed.iter().map(|(start, buffer)| start + buffer.bytes).max().unwrap_or(0)
}
