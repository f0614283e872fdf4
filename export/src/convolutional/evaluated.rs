//! On numbers, in double precision.

use super::{check_groups, check_lstm, check_transposed, lstm_names};
use crate::error::{Error, Result};
use crate::evaluator::{Evaluator, Numbers, binary};
use avdit_nets::Window;
use avdit_nets::conv_ops::{Beyond, ConvOps, check_mirror, mirrored};

impl ConvOps for Evaluator<'_> {
    fn sub(&self, a: &Numbers, b: &Numbers) -> Result<Numbers> {
        binary("sub", a, b, |a, b| a - b)
    }

    fn div(&self, a: &Numbers, b: &Numbers) -> Result<Numbers> {
        binary("div", a, b, |a, b| a / b)
    }

    fn leaky_relu(&self, x: &Numbers, slope: f64) -> Result<Numbers> {
        Ok(x.map(|x| if x > 0.0 { x } else { slope * x }))
    }

    fn elu(&self, x: &Numbers) -> Result<Numbers> {
        Ok(x.map(|x| if x > 0.0 { x } else { x.exp_m1() }))
    }

    fn tanh(&self, x: &Numbers) -> Result<Numbers> {
        Ok(x.map(f64::tanh))
    }

    fn group_norm(&self, x: &Numbers, name: &str, groups: usize, eps: f64) -> Result<Numbers> {
        let channels = check_groups(name, &x.dims, groups)?;
        let places = x.data.len() / channels.max(1);
        let [weight, bias] = [self.load(&format!("{name}.weight"))?, self.load(&format!("{name}.bias"))?];
        for (what, got) in [("weight", &weight), ("bias", &bias)] {
            if got.dims != [channels] {
                let (name, expected) = (format!("{name}.{what}"), vec![channels]);
                return Err(Error::ParameterShape { name, expected, got: got.dims.clone() });
            }
        }
        let mut y = Vec::with_capacity(x.data.len());
        for group in x.data.chunks_exact(channels / groups * places) {
            let n = group.len() as f64;
            let mean = group.iter().sum::<f64>() / n;
            let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            y.extend(group.iter().map(|x| (x - mean) / (variance + eps).sqrt()));
        }
        for (channel, y) in y.chunks_exact_mut(places).enumerate() {
            y.iter_mut().for_each(|y| *y = *y * weight.data[channel] + bias.data[channel]);
        }
        Ok(Numbers::new(&x.dims, y))
    }

    fn conv_transposed(&self, x: &Numbers, name: &str, window: &Window) -> Result<Numbers> {
        let weight = self.load(&format!("{name}.weight"))?;
        let dims = check_transposed(name, window, &weight.dims, &x.dims)?;
        let bias = self.load_if_there(&format!("{name}.bias"))?;
        if let Some(bias) = bias.as_ref().filter(|bias| bias.dims != dims[..1]) {
            let (expected, got) = (dims[..1].to_vec(), bias.dims.clone());
            return Err(Error::ParameterShape { name: format!("{name}.bias"), expected, got });
        }
        let product = |dims: &[usize]| dims.iter().product::<usize>();
        let (kernel, inputs, places) = (&weight.dims[2..], product(&x.dims[1..]), product(&dims[1..]));
        let (taps, per_group, channels) = (product(kernel), weight.dims[1], x.dims[0] / window.groups);
        let mut y = vec![0.0; product(&dims)];
        if let Some(bias) = &bias {
            let channels = y.chunks_exact_mut(places).zip(bias.data.iter());
            channels.for_each(|(y, b)| y.fill(*b));
        }
        for tap in 0..taps {
            // The places that a plain convolution would have read are those that are written.
            let pairs = crate::conv::pairs(window, kernel, &dims[1..], &x.dims[1..], tap);
            for (channel, x) in x.data.chunks_exact(inputs).enumerate() {
                for out in 0..per_group {
                    let w = weight.data[(channel * per_group + out) * taps + tap];
                    let out = channel / channels * per_group + out;
                    let y = &mut y[out * places..(out + 1) * places];
                    pairs.iter().for_each(|&(from, to)| y[to] += w * x[from]);
                }
            }
        }
        Ok(Numbers::new(&dims, y))
    }

    fn pad(&self, x: &Numbers, before: usize, after: usize, beyond: Beyond) -> Result<Numbers> {
        let len = x.dims.last().copied().unwrap_or(0);
        if beyond == Beyond::Mirror {
            let checked = check_mirror(len, before, after);
            checked.map_err(|(expected, got)| Error::mismatch("pad", expected, got))?;
        }
        let mut data = Vec::new();
        for row in x.data.chunks_exact(len.max(1)) {
            match beyond {
                Beyond::Mirror => data.extend(mirrored(len, before, after).map(|i| row[i])),
                Beyond::Zeros => {
                    data.extend(std::iter::repeat_n(0.0, before));
                    data.extend_from_slice(row);
                    data.extend(std::iter::repeat_n(0.0, after));
                }
            }
        }
        let mut dims = x.dims.clone();
        dims.iter_mut().last().into_iter().for_each(|size| *size += before + after);
        Ok(Numbers::new(&dims, data))
    }

    fn repeat_places(&self, x: &Numbers, factors: &[usize]) -> Result<Numbers> {
        if factors.len() + 1 != x.dims.len() {
            let got = format!("{factors:?} for {:?}", x.dims);
            return Err(Error::mismatch("repeat_places", "a factor for every dimension of places", got));
        }
        let (mut dims, mut data) = (x.dims.clone(), x.data.to_vec());
        for (d, &factor) in factors.iter().enumerate() {
            let inner: usize = dims[d + 2..].iter().product();
            let rows = data.chunks_exact(inner.max(1));
            data = rows.flat_map(|row| std::iter::repeat_n(row, factor)).flatten().copied().collect();
            dims[d + 1] *= factor;
        }
        Ok(Numbers::new(&dims, data))
    }

    fn lstm(&self, x: &Numbers, name: &str, layer: usize) -> Result<Numbers> {
        let names = lstm_names(name, layer);
        let [w, r] = [self.load(&names[0])?, self.load(&names[1])?];
        let cells = check_lstm(name, &x.dims, [&w.dims, &r.dims])?;
        let biases = [self.load(&names[2])?, self.load(&names[3])?];
        for (name, bias) in names[2..].iter().zip(&biases) {
            if bias.dims != [4 * cells] {
                let (expected, got) = (vec![4 * cells], bias.dims.clone());
                return Err(Error::ParameterShape { name: name.clone(), expected, got });
            }
        }
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
        let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
        let (mut state, mut memory) = (vec![0.0; cells], vec![0.0; cells]);
        let mut y = Vec::with_capacity(x.dims[0] * cells);
        for input in x.data.chunks_exact(x.dims[1]) {
            let gate = |row: usize| {
                let of_input = dot(&w.data[row * x.dims[1]..(row + 1) * x.dims[1]], input);
                let of_state = dot(&r.data[row * cells..(row + 1) * cells], &state);
                of_input + of_state + biases[0].data[row] + biases[1].data[row]
            };
            let gates: Vec<f64> = (0..4 * cells).map(gate).collect();
            for cell in 0..cells {
                let [input, forget, candidate, output] = [0, 1, 2, 3].map(|i| gates[i * cells + cell]);
                memory[cell] = sigmoid(forget) * memory[cell] + sigmoid(input) * candidate.tanh();
                state[cell] = sigmoid(output) * memory[cell].tanh();
            }
            y.extend_from_slice(&state);
        }
        Ok(Numbers::new(&[x.dims[0], cells], y))
    }
}
