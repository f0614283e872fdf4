//! Convolutions: as a node of a graph, and on numbers.

use crate::error::{Error, Result};
use crate::evaluator::Numbers;
use crate::recorder::{Recorder, Value};
use crate::weights;
use avdit_nets::Window;
use avdit_onnx::{attribute, tensor};

/// The shape of the output, or what does not fit.
fn check(name: &str, window: &Window, weight: &[usize], input: &[usize]) -> Result<Vec<usize>> {
    let checked = window.check(weight, input);
    checked.map_err(|(expected, got)| Error::mismatch(format!("convolution {name}"), expected, got))
}

impl Recorder<'_> {
    /// x (in, …) under `{name}.weight` and, where it exists, `{name}.bias`: (out, …).
    pub(crate) fn convolution(&self, x: &Value, name: &str, window: &Window) -> Result<Value> {
        let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
        let (shape, values) = weights::load(self.weights, &weight)?;
        check(name, window, &shape, &x.dims)?;
        let (x, path) = (self.batched(x, name)?, self.path(name));
        let mut graph = self.graph();
        let mut inputs = vec![x.as_str(), &weight];
        // A layer that the network uses again is in the graph already.
        if graph.value_type(&weight).is_none() {
            graph.initializer(tensor::f32s(&weight, &shape, &values)?)?;
        }
        if let Some(dims) = self.weights.shape(&bias) {
            if dims != shape[..1] {
                return Err(Error::ParameterShape { name: bias, expected: shape[..1].to_vec(), got: dims });
            }
            if graph.value_type(&bias).is_none() {
                let (dims, values) = weights::load(self.weights, &bias)?;
                graph.initializer(tensor::f32s(&bias, &dims, &values)?)?;
            }
            inputs.push(&bias);
        }
        let ints = |values: Vec<usize>| values.into_iter().map(|value| value as i64).collect();
        let (before, after): (Vec<_>, Vec<_>) = window.padding.iter().copied().unzip();
        let attributes = vec![
            attribute::int("group", window.groups as i64),
            attribute::ints("kernel_shape", ints(shape[2..].to_vec())),
            attribute::ints("strides", ints(window.stride.clone())),
            attribute::ints("dilations", ints(window.dilation.clone())),
            attribute::ints("pads", ints([before, after].concat())),
        ];
        let y = graph.node("Conv", &path, &inputs, attributes)?;
        drop(graph);
        Ok(self.made(y))
    }
}

/// A convolution over any number of dimensions, tap by tap.
pub(crate) fn evaluate(
    x: &Numbers,
    name: &str,
    weight: &Numbers,
    bias: Option<&Numbers>,
    window: &Window,
) -> Result<Numbers> {
    let dims = check(name, window, &weight.dims, &x.dims)?;
    if let Some(bias) = bias.filter(|bias| bias.dims != dims[..1]) {
        let (expected, got) = (dims[..1].to_vec(), bias.dims.clone());
        return Err(Error::ParameterShape { name: format!("{name}.bias"), expected, got });
    }
    let (kernel, input, output) = (&weight.dims[2..], &x.dims[1..], &dims[1..]);
    let (taps, places, inputs) = (product(kernel), product(output), product(input));
    let (per_group, outputs) = (weight.dims[1], dims[0] / window.groups);
    let mut y = vec![0.0; product(&dims)];
    for tap in 0..taps {
        let pairs = pairs(window, kernel, input, output, tap);
        for (out, y) in y.chunks_exact_mut(places).enumerate() {
            for i in 0..per_group {
                let channel = out / outputs * per_group + i;
                let x = &x.data[channel * inputs..(channel + 1) * inputs];
                let w = weight.data[(out * per_group + i) * taps + tap];
                pairs.iter().for_each(|&(to, from)| y[to] += w * x[from]);
            }
        }
    }
    if let Some(bias) = bias {
        let channels = y.chunks_exact_mut(places).zip(bias.data.iter());
        channels.for_each(|(y, b)| y.iter_mut().for_each(|y| *y += b));
    }
    Ok(Numbers::new(&dims, y))
}

fn product(dims: &[usize]) -> usize {
    dims.iter().product()
}

/// The places of the output that read inside the input under a tap, and what they read.
pub(crate) fn pairs(
    window: &Window,
    kernel: &[usize],
    input: &[usize],
    output: &[usize],
    tap: usize,
) -> Vec<(usize, usize)> {
    let read = |place: usize| {
        let (mut place, mut tap, mut from, mut step) = (place, tap, 0, 1);
        for d in (0..output.len()).rev() {
            let at = place % output[d] * window.stride[d] + tap % kernel[d] * window.dilation[d];
            let at = at.checked_sub(window.padding[d].0).filter(|&at| at < input[d])?;
            from += at * step;
            (place, tap, step) = (place / output[d], tap / kernel[d], step * input[d]);
        }
        Some(from)
    };
    (0..product(output)).filter_map(|place| Some((place, read(place)?))).collect()
}
