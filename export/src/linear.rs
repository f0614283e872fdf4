//! Linear layers: weights transposed to (in, out), and cut where the network cuts the output.

use crate::error::{Error, Result};
use crate::lowering::Layer;
use crate::recorder::{Recorder, Value};
use crate::weights;
use avdit_onnx::{DataType, tensor};

/// Some rows of a linear layer.
struct Affine<'a> {
    /// The weight's name in the checkpoint.
    source: &'a str,
    /// The path of this part in the graph.
    name: String,
    /// The names of its tensors in the graph.
    tensors: [String; 2],
    inputs: usize,
    rows: std::ops::Range<usize>,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

/// The names of the parts of a layer: `qkv` has `q`, `k` and `v`, others are numbered.
fn part_names(name: &str, parts: usize) -> Vec<String> {
    let (front, last) =
        name.rsplit_once('.').map_or(("", name), |(front, last)| (&name[..=front.len()], last));
    match (parts, last.chars().count()) {
        (1, _) => vec![name.to_owned()],
        (n, letters) if n == letters => last.chars().map(|letter| format!("{front}{letter}")).collect(),
        _ => (0..parts).map(|i| format!("{name}.{i}")).collect(),
    }
}

impl Recorder<'_> {
    /// A linear layer whose output is cut into `parts`, as so many layers.
    pub(crate) fn affine_parts(&self, x: &Value, name: &str, parts: usize) -> Result<Vec<Value>> {
        let input = self.batched(x, name)?;
        let source = format!("{name}.weight");
        let (shape, weight) = self.matrix(x, &source, parts)?;
        let inputs = weight.len() / shape[0];
        let bias_name = format!("{name}.bias");
        let bias = match self.weights.shape(&bias_name) {
            None => None,
            Some(dims) if dims == shape[..1] => Some(weights::load(self.weights, &bias_name)?.1),
            Some(got) => {
                return Err(Error::ParameterShape { name: bias_name, expected: vec![shape[0]], got });
            }
        };
        let n = shape[0] / parts;
        let part = |(i, part_name)| {
            let rows = i * n..(i + 1) * n;
            // A part of a layer may have no bias where the layer has one.
            let none = |bias: &&[f32]| parts > 1 && bias[rows.clone()].iter().all(|x| *x == 0.0);
            let bias = bias.as_deref().filter(|bias| !none(bias));
            let tensors = ["weight", "bias"].map(|tensor| format!("{part_name}.{tensor}"));
            let weight = &weight;
            self.affine(
                &input,
                &Affine { source: &source, name: part_name, tensors, inputs, rows, weight, bias },
            )
        };
        part_names(name, parts).into_iter().enumerate().map(part).collect()
    }

    /// `x·Wᵀ` with the whole matrix `name`.
    pub(crate) fn product(&self, x: &Value, name: &str) -> Result<Value> {
        let input = self.batched(x, name)?;
        let (shape, weight) = self.matrix(x, name, 1)?;
        let (tensors, inputs) = ([name.to_owned(), String::new()], weight.len() / shape[0]);
        let (rows, name) = (0..shape[0], name.to_owned());
        let source = &tensors[0].clone();
        self.affine(&input, &Affine { source, name, tensors, inputs, rows, weight: &weight, bias: None })
    }

    /// Shape and values of a weight (out, in…) for x, whose outputs can be cut into `parts`.
    fn matrix(&self, x: &Value, name: &str, parts: usize) -> Result<(Vec<usize>, Vec<f32>)> {
        let (shape, weight) = weights::load(self.weights, name)?;
        let inputs = x.dims.last().copied().unwrap_or(1);
        let fits = |outputs: usize| outputs > 0 && parts > 0 && outputs.is_multiple_of(parts);
        if shape.len() < 2 || shape[1..].iter().product::<usize>() != inputs || !fits(shape[0]) {
            let expected = format!("a multiple of {parts} rows of {inputs}");
            return Err(Error::mismatch(format!("parameter {name}"), expected, format!("{shape:?}")));
        }
        Ok((shape, weight))
    }

    /// `x·Wᵀ + b` with rows `rows` of W and b.
    fn affine(&self, x: &str, part: &Affine<'_>) -> Result<Value> {
        let Affine { source, name, tensors: [weight_name, bias_name], inputs, rows, weight, bias } = part;
        let (n, path) = (rows.len(), self.path(name));
        let range = format!("rows {}..{} of {source}", rows.start, rows.end);
        let mut graph = self.graph();
        // A layer that the network uses again is in the graph already.
        if graph.value_type(weight_name).is_none() {
            let rows = &weight[rows.start * inputs..rows.end * inputs];
            let transposed = transpose(rows, *inputs).into();
            let mut weight = tensor::raw(weight_name, DataType::Float, &[*inputs, n], transposed)?;
            weight.doc_string = Some(format!("{range}, transposed"));
            graph.initializer(weight)?;
        }
        if let Some(bias) = bias.filter(|_| graph.value_type(bias_name).is_none()) {
            let mut bias = tensor::f32s(bias_name, &[n], &bias[rows.clone()])?;
            bias.doc_string = Some(range.replace(".weight", ".bias"));
            graph.initializer(bias)?;
        }
        let bias = bias.map(|_| bias_name.as_str());
        let y = self.lowering.affine(&mut graph, &Layer { path: &path, x, weight: weight_name, bias })?;
        drop(graph);
        Ok(self.made(y))
    }
}

/// Side of the squares that are transposed one after another, so that reads and writes stay within a cache.
const TILE: usize = 32;

/// The bytes of (rows, columns) as (columns, rows).
fn transpose(values: &[f32], columns: usize) -> Vec<u8> {
    let rows = values.len() / columns;
    let mut bytes = vec![0; values.len() * 4];
    let (elements, _) = bytes.as_chunks_mut::<4>();
    for first_row in (0..rows).step_by(TILE) {
        for first_column in (0..columns).step_by(TILE) {
            for column in first_column..columns.min(first_column + TILE) {
                for row in first_row..rows.min(first_row + TILE) {
                    elements[column * rows + row] = values[row * columns + column].to_le_bytes();
                }
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_of_a_matrix_finds_its_place_whatever_the_size() {
        for (rows, columns) in [(1, 1), (3, 5), (32, 32), (33, 70), (100, 31)] {
            let values: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
            let transposed = transpose(&values, columns);
            let at = |i: usize| f32::from_le_bytes(transposed[i * 4..i * 4 + 4].try_into().unwrap());
            for (row, column) in (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column))) {
                assert_eq!(at(column * rows + row), values[row * columns + column], "{rows}x{columns}");
            }
        }
    }
}
