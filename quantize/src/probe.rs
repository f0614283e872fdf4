//! What the values inside a graph are: how large, and where the first one is that is no number.

use crate::edit::Edit;
use crate::error::{Error, Result};
use crate::states::State;
use crate::workbench::{Failure, Workbench};
use avdit_core::{Latents, Levels};
use avdit_onnx::{DataType, Dim, Model, ValueType};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// The largest magnitude of every value that a node makes, over all states; NaN where one is no number, infinity where
/// one is infinite. Values are looked at in groups that hold at most `memory_bytes` of one state.
///
/// # Errors
/// If the graph cannot be run.
pub fn magnitudes(
    bench: &mut dyn Workbench,
    model: &Model,
    states: &[State],
    memory_bytes: u64,
) -> Result<BTreeMap<String, f32>> {
    let all = model.graph().node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
    let mut largest = BTreeMap::new();
    for group in groups(model, &all, memory_bytes)? {
        show(bench, model, &group, states, &mut |name, values| {
            let most = values.iter().fold(0.0f32, |most, x| {
                if x.is_nan() || most.is_nan() { f32::NAN } else { most.max(x.abs()) }
            });
            let entry = largest.entry(name.to_owned()).or_insert(0.0f32);
            *entry = if most.is_nan() || entry.is_nan() { f32::NAN } else { entry.max(most) };
        })?;
    }
    Ok(largest)
}

/// Shows values of a group on every state, state after state.
///
/// # Errors
/// If the graph cannot be run.
pub(crate) fn show(
    bench: &mut dyn Workbench,
    model: &Model,
    group: &Group,
    states: &[State],
    see: &mut dyn FnMut(&str, &[f32]),
) -> Result<()> {
    let inputs: Vec<(&Latents, &Levels)> = states.iter().map(|state| (&state.noisy, &state.levels)).collect();
    let (shown, names) = showing(model, group)?;
    let mut by_output = |output: &str, values: &[f32]| {
        if let Some(name) = names.get(output) {
            see(name, values);
        }
    };
    bench.probe(&shown, &inputs, &mut by_output).map_err(engine)
}

/// The first node, in the graph's order, that makes a number that is not finite; none if all are.
///
/// # Errors
/// If the graph cannot be run.
pub fn first_not_finite(
    bench: &mut dyn Workbench,
    model: &Model,
    states: &[State],
    memory_bytes: u64,
) -> Result<Option<String>> {
    let largest = magnitudes(bench, model, states, memory_bytes)?;
    let bad = |name: &String| largest.get(name).is_some_and(|most| !most.is_finite());
    let node = model.graph().node.iter().find(|node| node.output.iter().any(bad));
    Ok(node.map(|node| node.name().to_owned()))
}

/// Values that are looked at together.
pub(crate) type Group = Vec<(String, ValueType)>;

/// Copies of a value while it is looked at: the engine's, and the one that is shown.
const COPIES: u64 = 2;

/// Those of the `wanted` values that the graph takes or makes and that hold floats, in groups that take at most
/// `memory_bytes` for one example, all their copies counted; its outputs are seen anyway.
pub(crate) fn groups(model: &Model, wanted: &BTreeSet<&str>, memory_bytes: u64) -> Result<Vec<Group>> {
    let types = model.infer_shapes()?;
    let public: HashSet<&str> = model.graph().output.iter().map(|output| output.name()).collect();
    let (mut groups, mut held): (Vec<Group>, u64) = (vec![Vec::new()], 0);
    let inputs = model.inputs()?;
    let batch: HashSet<&Dim> = inputs.iter().filter_map(|(_, value)| value.shape.first()).collect();
    let inputs: Vec<&String> = inputs.iter().map(|(name, _)| name).collect();
    for output in inputs.into_iter().chain(model.graph().node.iter().flat_map(|node| &node.output)) {
        let Some(value) = types.get(output).filter(|value| is_float(value.data_type)) else { continue };
        if public.contains(output.as_str()) || !wanted.contains(output.as_str()) {
            continue;
        }
        let bytes = COPIES * bytes(value, &batch);
        if held + bytes > memory_bytes && groups.last().is_some_and(|group| !group.is_empty()) {
            groups.push(Vec::new());
            held = 0;
        }
        held += bytes;
        if let Some(group) = groups.last_mut() {
            group.push((output.clone(), value.clone()));
        }
    }
    groups.retain(|group| !group.is_empty());
    Ok(groups)
}

/// Bytes of a value for one example; 1 MiB where a size is not known, as rows are that the batch was joined with.
fn bytes(value: &ValueType, batch: &HashSet<&Dim>) -> u64 {
    let size = |dim: &Dim| match dim {
        Dim::Known(size) => Some(*size as u64),
        symbol => batch.contains(symbol).then_some(1),
    };
    let known: Option<u64> = value.shape.iter().map(size).product();
    known.map_or(1 << 20, |n| 4 * n)
}

fn is_float(data_type: DataType) -> bool {
    matches!(data_type, DataType::Float | DataType::Float16 | DataType::Bfloat16)
}

/// The graph with some of its values as outputs in single precision, and which output is which value.
fn showing(model: &Model, values: &Group) -> Result<(Model, BTreeMap<String, String>)> {
    let mut shown = model.clone();
    let mut edit = Edit::of(shown.graph());
    edit.nodes.clone_from(&shown.graph().node);
    let mut names = BTreeMap::new();
    let made: HashSet<&str> =
        model.graph().node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
    for (name, value) in values {
        // What a node makes in single precision needs no copy.
        let as_it_is = value.data_type == DataType::Float && made.contains(name.as_str());
        let output = if as_it_is { name.clone() } else { edit.cast(name, DataType::Float) };
        let declared = ValueType { data_type: DataType::Float, shape: value.shape.clone() };
        shown.graph_mut().output.push(declared.declare(&output));
        names.insert(output, name.clone());
    }
    edit.finish(&mut shown, &[]);
    Ok((shown, names))
}

fn engine(source: Failure) -> Error {
    Error::Core(avdit_core::Error::Engine { engine: "of the probe", source })
}
