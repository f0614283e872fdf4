//! The operations of a network on numbers, in double precision and on one example: for what an export computes
//! beforehand. Slow beside an engine, and as exact as the weights.

use crate::conv;
use crate::error::{Error, Result};
use crate::weights::{self, WeightSource};
use avdit_nets::{Ops, Window};
use std::rc::Rc;

/// A tensor without a batch.
#[derive(Clone, Debug)]
pub(crate) struct Numbers {
    pub(crate) dims: Vec<usize>,
    pub(crate) data: Rc<[f64]>,
}

impl Numbers {
    pub(crate) fn new(dims: &[usize], data: Vec<f64>) -> Self {
        Self { dims: dims.to_vec(), data: data.into() }
    }

    pub(crate) fn map(&self, f: impl Fn(f64) -> f64) -> Self {
        Self { dims: self.dims.clone(), data: self.data.iter().map(|&x| f(x)).collect() }
    }

    /// Rows of the last dimension.
    fn rows(&self) -> std::slice::ChunksExact<'_, f64> {
        self.data.chunks_exact(self.width())
    }

    fn width(&self) -> usize {
        self.dims.last().copied().unwrap_or(1)
    }
}

/// Runs a network on numbers, with weights that are loaded as they are met.
pub(crate) struct Evaluator<'w> {
    weights: &'w dyn WeightSource,
}

impl<'w> Evaluator<'w> {
    pub(crate) fn new(weights: &'w dyn WeightSource) -> Self {
        Self { weights }
    }

    pub(crate) fn load(&self, name: &str) -> Result<Numbers> {
        let (dims, data) = weights::load(self.weights, name)?;
        Ok(Numbers { dims, data: data.into_iter().map(f64::from).collect() })
    }

    pub(crate) fn load_if_there(&self, name: &str) -> Result<Option<Numbers>> {
        self.weights.shape(name).map(|_| self.load(name)).transpose()
    }

    /// `x·Wᵀ + b` on the last dimension with the weight `name` (out, in…).
    fn product(&self, x: &Numbers, name: &str, bias: Option<&Numbers>) -> Result<Numbers> {
        let weight = self.load(name)?;
        let inputs = x.width();
        if weight.dims.len() < 2 || weight.dims[1..].iter().product::<usize>() != inputs || inputs == 0 {
            let expected = format!("(out, {inputs})");
            return Err(Error::mismatch(format!("parameter {name}"), expected, format!("{:?}", weight.dims)));
        }
        let outputs = weight.dims[0];
        let mut y = vec![0.0; x.rows().len() * outputs];
        for (o, weight) in weight.data.chunks_exact(inputs).enumerate() {
            let bias = bias.map_or(0.0, |bias| bias.data[o]);
            x.rows().enumerate().for_each(|(row, x)| y[row * outputs + o] = dot(x, weight) + bias);
        }
        let mut dims = x.dims.clone();
        dims.pop();
        dims.push(outputs);
        Ok(Numbers::new(&dims, y))
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (a.as_chunks::<8>(), b.as_chunks::<8>());
    let mut lanes = [0.0; 8];
    for (a, b) in a.0.iter().zip(b.0) {
        (0..8).for_each(|i| lanes[i] += a[i] * b[i]);
    }
    lanes.iter().sum::<f64>() + a.1.iter().zip(b.1).map(|(a, b)| a * b).sum::<f64>()
}

/// Steps of a row-major tensor under `dims`, 0 where its size is 1 and is repeated.
fn strides(dims: &[usize], under: &[usize]) -> Vec<usize> {
    let mut step = 1;
    let mut out = vec![0; under.len()];
    for (i, &size) in dims.iter().enumerate().rev() {
        out[under.len() - dims.len() + i] = if size == 1 { 0 } else { step };
        step *= size;
    }
    out
}

/// The elements at every place of `dims`, in order, through strides.
fn walk(dims: &[usize], strides: &[usize], mut visit: impl FnMut(usize)) {
    let mut place = vec![0; dims.len()];
    for _ in 0..dims.iter().product() {
        visit(place.iter().zip(strides).map(|(i, step)| i * step).sum());
        for d in (0..dims.len()).rev() {
            place[d] += 1;
            if place[d] < dims[d] {
                break;
            }
            place[d] = 0;
        }
    }
}

pub(crate) fn binary(op: &str, a: &Numbers, b: &Numbers, f: impl Fn(f64, f64) -> f64) -> Result<Numbers> {
    let rank = a.dims.len().max(b.dims.len());
    let size = |x: &Numbers, d: usize| (d + x.dims.len()).checked_sub(rank).map_or(1, |d| x.dims[d]);
    let dims: Vec<usize> = (0..rank).map(|d| size(a, d).max(size(b, d))).collect();
    if (0..rank).any(|d| [size(a, d), size(b, d)].iter().any(|&n| n != 1 && n != dims[d])) {
        return Err(Error::mismatch(op, "shapes that broadcast", format!("{:?} and {:?}", a.dims, b.dims)));
    }
    let mut left = Vec::with_capacity(dims.iter().product());
    walk(&dims, &strides(&a.dims, &dims), |i| left.push(a.data[i]));
    let mut places = left.iter_mut();
    walk(&dims, &strides(&b.dims, &dims), |i| {
        if let Some(x) = places.next() {
            *x = f(*x, b.data[i]);
        }
    });
    Ok(Numbers::new(&dims, left))
}

impl Ops for Evaluator<'_> {
    type Tensor = Numbers;
    type Error = Error;

    fn dims(&self, x: &Numbers) -> Vec<usize> {
        x.dims.clone()
    }

    fn constant(&self, _: &str, dims: &[usize], data: Vec<f32>) -> Result<Numbers> {
        Ok(Numbers::new(dims, data.into_iter().map(f64::from).collect()))
    }

    fn parameter(&self, name: &str) -> Result<Numbers> {
        self.load(name)
    }

    fn linear(&self, x: &Numbers, name: &str) -> Result<Numbers> {
        let bias = format!("{name}.bias");
        let bias = self.load_if_there(&bias)?;
        self.product(x, &format!("{name}.weight"), bias.as_ref())
    }

    fn matmul(&self, x: &Numbers, name: &str) -> Result<Numbers> {
        self.product(x, name, None)
    }

    fn embedding(&self, labels: &Numbers, name: &str) -> Result<Numbers> {
        let table = self.load(&format!("{name}.weight"))?;
        let rows = table.rows().len();
        let row = |&label: &f64| match label {
            label if label.fract() == 0.0 && label >= 0.0 && label < rows as f64 => Ok(label as usize),
            label => Err(Error::mismatch(format!("label of {name}"), format!("0 to {}", rows - 1), label)),
        };
        let picked = labels.data.iter().map(row).collect::<Result<Vec<_>>>()?;
        self.gather_rows(&table, &picked)
    }

    fn linear_split(&self, x: &Numbers, name: &str, parts: usize) -> Result<Vec<Numbers>> {
        let y = self.linear(x, name)?;
        let (last, n) = (y.dims.len() - 1, y.width() / parts);
        (0..parts).map(|i| self.narrow(&y, last, i * n, n)).collect()
    }

    fn conv(&self, x: &Numbers, name: &str, window: &Window) -> Result<Numbers> {
        let bias = self.load_if_there(&format!("{name}.bias"))?;
        conv::evaluate(x, name, &self.load(&format!("{name}.weight"))?, bias.as_ref(), window)
    }

    fn reshape(&self, x: &Numbers, dims: &[usize]) -> Result<Numbers> {
        if dims.iter().product::<usize>() != x.data.len() {
            return Err(Error::mismatch(
                "reshape",
                format!("the elements of {:?}", x.dims),
                format!("{dims:?}"),
            ));
        }
        Ok(Numbers { dims: dims.to_vec(), data: x.data.clone() })
    }

    fn permute(&self, x: &Numbers, order: &[usize]) -> Result<Numbers> {
        let dims: Vec<usize> = order.iter().map(|&d| x.dims[d]).collect();
        let steps = strides(&x.dims, &x.dims);
        let steps: Vec<usize> = order.iter().map(|&d| steps[d]).collect();
        let mut data = Vec::with_capacity(x.data.len());
        walk(&dims, &steps, |i| data.push(x.data[i]));
        Ok(Numbers::new(&dims, data))
    }

    fn concat(&self, xs: &[&Numbers], dim: usize) -> Result<Numbers> {
        let block = |x: &Numbers| x.dims[dim..].iter().product::<usize>();
        let outer: usize = xs[0].dims[..dim].iter().product();
        let data =
            (0..outer).flat_map(|i| xs.iter().flat_map(move |x| &x.data[i * block(x)..(i + 1) * block(x)]));
        let data = data.copied().collect();
        let mut dims = xs[0].dims.clone();
        dims[dim] = xs.iter().map(|x| x.dims[dim]).sum();
        Ok(Numbers { dims, data })
    }

    fn narrow(&self, x: &Numbers, dim: usize, start: usize, len: usize) -> Result<Numbers> {
        if x.dims.get(dim).is_none_or(|&size| start + len > size) {
            let got = format!("{start}..{} of dimension {dim}", start + len);
            return Err(Error::mismatch("narrow", format!("a range inside {:?}", x.dims), got));
        }
        let inner: usize = x.dims[dim + 1..].iter().product();
        let rows = x.data.chunks_exact(x.dims[dim] * inner);
        let data = rows.flat_map(|row| &row[start * inner..(start + len) * inner]).copied().collect();
        let mut dims = x.dims.clone();
        dims[dim] = len;
        Ok(Numbers { dims, data })
    }

    fn gather_rows(&self, x: &Numbers, indices: &[usize]) -> Result<Numbers> {
        let (rows, width) = (x.rows().len(), x.width());
        if let Some(index) = indices.iter().find(|&&i| i >= rows) {
            return Err(Error::mismatch("gather_rows", format!("indices below {rows}"), index));
        }
        let data = indices.iter().flat_map(|i| &x.data[i * width..(i + 1) * width]).copied().collect();
        Ok(Numbers { dims: vec![indices.len(), width], data })
    }

    fn add(&self, a: &Numbers, b: &Numbers) -> Result<Numbers> {
        binary("add", a, b, |a, b| a + b)
    }

    fn mul(&self, a: &Numbers, b: &Numbers) -> Result<Numbers> {
        binary("mul", a, b, |a, b| a * b)
    }

    fn mean(&self, x: &Numbers, dim: usize) -> Result<Numbers> {
        let Some(&n) = x.dims.get(dim).filter(|&&n| n > 0) else {
            return Err(Error::mismatch("mean", format!("a dimension of {:?}", x.dims), dim));
        };
        let inner: usize = x.dims[dim + 1..].iter().product();
        let mean = |x: &[f64]| -> Vec<f64> {
            (0..inner).map(|i| (0..n).map(|k| x[k * inner + i]).sum::<f64>() / n as f64).collect()
        };
        let data = x.data.chunks_exact(n * inner).flat_map(mean).collect();
        let mut dims = x.dims.clone();
        dims.remove(dim);
        Ok(Numbers { dims, data })
    }

    fn cos(&self, x: &Numbers) -> Result<Numbers> {
        Ok(x.map(f64::cos))
    }

    fn sin(&self, x: &Numbers) -> Result<Numbers> {
        Ok(x.map(f64::sin))
    }

    fn relu(&self, x: &Numbers) -> Result<Numbers> {
        Ok(x.map(|x| x.max(0.0)))
    }

    fn silu(&self, x: &Numbers) -> Result<Numbers> {
        Ok(x.map(|x| x / (1.0 + (-x).exp())))
    }

    fn gelu(&self, x: &Numbers) -> Result<Numbers> {
        let slope = (2.0 / std::f64::consts::PI).sqrt();
        Ok(x.map(|x| 0.5 * x * (1.0 + (slope * (x + 0.044_715 * x.powi(3))).tanh())))
    }

    fn layer_norm(&self, x: &Numbers, eps: f64) -> Result<Numbers> {
        let n = x.width() as f64;
        let normal = |row: &[f64]| {
            let mean = row.iter().sum::<f64>() / n;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
            row.iter().map(|x| (x - mean) / (variance + eps).sqrt()).collect::<Vec<_>>()
        };
        Ok(Numbers { dims: x.dims.clone(), data: x.rows().flat_map(normal).collect() })
    }

    fn modulate(&self, x: &Numbers, shift: &Numbers, scale: &Numbers, eps: f64) -> Result<Numbers> {
        let y = self.layer_norm(x, eps)?;
        self.add(&self.mul(&y, &scale.map(|scale| 1.0 + scale))?, shift)
    }

    fn gate_add(&self, x: &Numbers, gate: &Numbers, y: &Numbers) -> Result<Numbers> {
        self.add(x, &self.mul(gate, y)?)
    }

    fn rms_norm(&self, x: &Numbers, name: &str, eps: f64) -> Result<Numbers> {
        let n = x.width() as f64;
        let normal = |row: &[f64]| {
            let root = (row.iter().map(|x| x * x).sum::<f64>() / n + eps).sqrt();
            row.iter().map(|x| x / root).collect::<Vec<_>>()
        };
        let y = Numbers { dims: x.dims.clone(), data: x.rows().flat_map(normal).collect() };
        self.mul(&y, &self.load(&format!("{name}.weight"))?)
    }

    fn attention(&self, q: &Numbers, k: &Numbers, v: &Numbers) -> Result<Numbers> {
        if let [groups, ..] = q.dims[..]
            && q.dims.len() == 4
        {
            let group = |x: &Numbers, i: usize| {
                let len = x.data.len() / groups;
                Numbers::new(&x.dims[1..], x.data[i * len..(i + 1) * len].to_vec())
            };
            let each = (0..groups).map(|i| self.attention(&group(q, i), &group(k, i), &group(v, i)));
            let each = each.collect::<Result<Vec<_>>>()?;
            let dims = [groups, q.dims[1], v.dims[2] * v.dims[3]].to_vec();
            return Ok(Numbers { dims, data: each.iter().flat_map(|y| y.data.iter().copied()).collect() });
        }
        let ([tokens, heads, width], [others, _, value_width]) = (&q.dims[..], &v.dims[..]) else {
            let got = format!("{:?}", q.dims);
            return Err(Error::mismatch("q of an attention", "(tokens, heads, width)", got));
        };
        if k.dims != [*others, *heads, *width] {
            let expected = format!("{:?}", [others, heads, width]);
            return Err(Error::mismatch("k of an attention", expected, format!("{:?}", k.dims)));
        }
        let (tokens, others, heads) = (*tokens, *others, *heads);
        let (width, value_width) = (*width, *value_width);
        let of = |width: usize, token: usize, head: usize| {
            (token * heads + head) * width..(token * heads + head + 1) * width
        };
        let row = |token, head| of(width, token, head);
        let mut y = vec![0.0; tokens * heads * value_width];
        for (token, head) in (0..tokens).flat_map(|token| (0..heads).map(move |head| (token, head))) {
            let query = &q.data[row(token, head)];
            let scores =
                (0..others).map(|other| dot(query, &k.data[row(other, head)]) / (width as f64).sqrt());
            let scores: Vec<f64> = scores.collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
            let sum: f64 = weights.iter().sum();
            for (other, weight) in weights.iter().enumerate() {
                let value = &v.data[of(value_width, other, head)];
                y[of(value_width, token, head)]
                    .iter_mut()
                    .zip(value)
                    .for_each(|(y, v)| *y += weight / sum * v);
            }
        }
        Ok(Numbers::new(&[tokens, heads * value_width], y))
    }

    fn scope(&self, _: &str) {}

    fn tap(&self, _: &str, _: &Numbers) {}
}
