//! As nodes of a graph. Every target has the same form of these: engines have kernels for them.

use super::{check_groups, check_lstm, check_transposed, lstm_names};
use crate::error::{Error, Result};
use crate::recorder::{Recorder, Value};
use crate::weights;
use avdit_nets::conv_ops::{Beyond, ConvOps, check_mirror};
use avdit_nets::{Ops, Window};
use avdit_onnx::proto::AttributeProto;
use avdit_onnx::{attribute, tensor};

impl Recorder<'_> {
    /// Puts a parameter into the graph under its name, once, under other dimensions if they are told: its own shape.
    fn stored(&self, name: &str, dims: Option<&[usize]>) -> Result<Vec<usize>> {
        let (shape, values) = weights::load(self.weights, name)?;
        let mut graph = self.graph();
        // A layer that the network uses again is in the graph already.
        if graph.value_type(name).is_none() {
            graph.initializer(tensor::f32s(name, dims.unwrap_or(&shape), &values)?)?;
        }
        Ok(shape)
    }

    /// A bias of so many outputs, if the weights have one.
    fn stored_bias(&self, name: &str, outputs: usize) -> Result<Option<String>> {
        let Some(got) = self.weights.shape(name) else { return Ok(None) };
        if got != [outputs] {
            return Err(Error::ParameterShape { name: name.to_owned(), expected: vec![outputs], got });
        }
        self.stored(name, None)?;
        Ok(Some(name.to_owned()))
    }

    fn activated(&self, op: &str, x: &Value, attributes: Vec<AttributeProto>) -> Result<Value> {
        let name = self.batched(x, op)?;
        let y = self.graph().node(op, "", &[&name], attributes)?;
        Ok(self.made(y))
    }

    /// The parts of a layer of cells, each of one matrix, whose rows go from PyTorch's order (input, forget, candidate,
    /// output) to ONNX's (input, output, forget, candidate), as one tensor behind a direction.
    fn gates(&self, name: &str, parts: &[&str], cells: usize) -> Result<String> {
        if self.graph().value_type(name).is_some() {
            return Ok(name.to_owned());
        }
        let (mut all, mut dims) = (Vec::new(), Vec::new());
        for part in parts {
            let (shape, values) = weights::load(self.weights, part)?;
            let gate = values.len() / 4;
            for i in [0, 3, 1, 2] {
                all.extend_from_slice(&values[i * gate..(i + 1) * gate]);
            }
            dims = shape;
        }
        dims[0] = 4 * cells * parts.len();
        dims.insert(0, 1);
        let mut tensor = tensor::f32s(name, &dims, &all)?;
        tensor.doc_string = Some(format!("{}, gates in the order of ONNX", parts.join(" and ")));
        Ok(self.graph().initializer(tensor)?)
    }
}

fn ints(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}

impl ConvOps for Recorder<'_> {
    fn sub(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary("Sub", "", a, b)
    }

    fn div(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary("Div", "", a, b)
    }

    fn leaky_relu(&self, x: &Value, slope: f64) -> Result<Value> {
        self.activated("LeakyRelu", x, vec![attribute::float("alpha", slope as f32)])
    }

    fn elu(&self, x: &Value) -> Result<Value> {
        self.activated("Elu", x, vec![])
    }

    fn tanh(&self, x: &Value) -> Result<Value> {
        self.activated("Tanh", x, vec![])
    }

    /// Groups become channels for the norm, which ONNX Runtime and TensorRT fuse with what follows.
    fn group_norm(&self, x: &Value, name: &str, groups: usize, eps: f64) -> Result<Value> {
        let channels = check_groups(name, &x.dims, groups)?;
        let mut per_channel = vec![1; x.dims.len()];
        per_channel[0] = channels;
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        for name in [&weight, &bias] {
            let got = self.stored(name, Some(&per_channel))?;
            if got != [channels] {
                return Err(Error::ParameterShape { name: name.clone(), expected: vec![channels], got });
            }
        }
        let (x_name, path) = (self.batched(x, name)?, self.path(name));
        let mut graph = self.graph();
        let ones = graph.constant(tensor::f32s("ones", &[groups], &vec![1.0; groups])?)?;
        let zeros = graph.constant(tensor::f32s("zeros", &[groups], &vec![0.0; groups])?)?;
        let grouped = graph.integers(&[0, groups as i64, -1])?;
        let y = graph.node("Reshape", &path, &[&x_name, &grouped], vec![])?;
        let eps = vec![attribute::float("epsilon", eps as f32)];
        let y = graph.node("InstanceNormalization", &path, &[&y, &ones, &zeros], eps)?;
        let back = graph.integers(&[vec![0], ints(&x.dims)].concat())?;
        let y = graph.node("Reshape", &path, &[&y, &back], vec![])?;
        let y = graph.node("Mul", &path, &[&y, &weight], vec![])?;
        let y = graph.node("Add", &path, &[&y, &bias], vec![])?;
        drop(graph);
        Ok(self.made(y))
    }

    fn conv_transposed(&self, x: &Value, name: &str, window: &Window) -> Result<Value> {
        let weight = format!("{name}.weight");
        let shape = self.stored(&weight, None)?;
        let outputs = check_transposed(name, window, &shape, &x.dims)?[0];
        let bias = self.stored_bias(&format!("{name}.bias"), outputs)?;
        let (x, path) = (self.batched(x, name)?, self.path(name));
        let inputs: Vec<&str> = [x.as_str(), &weight].into_iter().chain(bias.as_deref()).collect();
        let (before, after): (Vec<_>, Vec<_>) = window.padding.iter().copied().unzip();
        let attributes = vec![
            attribute::int("group", window.groups as i64),
            attribute::ints("kernel_shape", ints(&shape[2..])),
            attribute::ints("strides", ints(&window.stride)),
            attribute::ints("dilations", ints(&window.dilation)),
            attribute::ints("pads", ints(&[before, after].concat())),
        ];
        let y = self.graph().node("ConvTranspose", &path, &inputs, attributes)?;
        Ok(self.made(y))
    }

    fn pad(&self, x: &Value, before: usize, after: usize, beyond: Beyond) -> Result<Value> {
        let Some(&len) = x.dims.last() else {
            return Err(Error::mismatch("pad", "a dimension", format!("{:?}", x.dims)));
        };
        let mode = match beyond {
            Beyond::Zeros => "constant",
            Beyond::Mirror => {
                check_mirror(len, before, after)
                    .map_err(|(expected, got)| Error::mismatch("pad", expected, got))?;
                "reflect"
            }
        };
        let name = self.batched(x, "pad")?;
        let mut graph = self.graph();
        let mut pads = vec![0; 2 * (x.dims.len() + 1)];
        (pads[x.dims.len()], pads[2 * x.dims.len() + 1]) = (before as i64, after as i64);
        let pads = graph.integers(&pads)?;
        let y = graph.node("Pad", "", &[&name, &pads], vec![attribute::string("mode", mode)])?;
        drop(graph);
        Ok(self.made(y))
    }

    fn repeat_places(&self, x: &Value, factors: &[usize]) -> Result<Value> {
        if factors.len() + 1 != x.dims.len() || factors.contains(&0) {
            let got = format!("{factors:?} for {:?}", x.dims);
            return Err(Error::mismatch("repeat_places", "a factor for every dimension of places", got));
        }
        let sizes: Vec<i64> = x.dims[1..].iter().zip(factors).map(|(size, n)| (size * n) as i64).collect();
        let axes = (2..2 + factors.len() as i64).collect();
        let name = self.batched(x, "repeat_places")?;
        let mut graph = self.graph();
        let sizes = graph.integers(&sizes)?;
        let attributes = vec![
            attribute::ints("axes", axes),
            attribute::string("mode", "nearest"),
            attribute::string("coordinate_transformation_mode", "asymmetric"),
            attribute::string("nearest_mode", "floor"),
        ];
        let y = graph.node("Resize", "", &[&name, "", "", &sizes], attributes)?;
        drop(graph);
        Ok(self.made(y))
    }

    fn lstm(&self, x: &Value, name: &str, layer: usize) -> Result<Value> {
        let names = lstm_names(name, layer);
        let [w, r, bias_w, bias_r] = &names;
        let shape = |name: &str| {
            let shape = self.weights.shape(name);
            shape.ok_or_else(|| Error::MissingParameter { name: name.to_owned(), expected: Vec::new() })
        };
        let cells = check_lstm(name, &x.dims, [&shape(w)?, &shape(r)?])?;
        for bias in [bias_w, bias_r] {
            let got = shape(bias)?;
            if got != [4 * cells] {
                return Err(Error::ParameterShape { name: bias.clone(), expected: vec![4 * cells], got });
            }
        }
        let bias = self.gates(&format!("{name}.bias_l{layer}"), &[bias_w, bias_r], cells)?;
        let (w, r) = (self.gates(w, &[w], cells)?, self.gates(r, &[r], cells)?);
        // Time stands before the batch there.
        let rows = {
            let (x, path) = (self.batched(x, name)?, self.path(name));
            let mut graph = self.graph();
            let order = vec![attribute::ints("perm", vec![1, 0, 2])];
            let x = graph.node("Transpose", &path, &[&x], order)?;
            let cells = vec![attribute::int("hidden_size", cells as i64)];
            let y = graph.node("LSTM", &path, &[&x, &w, &r, &bias], cells)?; // (time, 1, batch, cells)
            let order = vec![attribute::ints("perm", vec![2, 1, 0, 3])];
            graph.node("Transpose", &path, &[&y], order)?
        };
        self.reshape(&self.made(rows), &[x.dims[0], cells])
    }
}
