//! The operations of a network on a tape.

use super::kernels::activation::Activation;
use super::kernels::{attention, gate, linear, modulate, rms};
use super::shape::shape_error;
use super::tensor::TapeTensor;
use super::{Tape, TapeTensor as T};
use crate::error::{Error, Result};
use avdit_nets::{Ops, Window};
use std::rc::Rc;

impl<'a> Tape<'a> {
    fn activation(&self, x: &TapeTensor, kind: Activation) -> Result<TapeTensor> {
        let x = self.dense(x)?;
        let mut y = self.pool.take(x.values.len());
        kind.forward(&mut y, &x.values, self.min);
        let (batch, dims) = (x.batch, x.dims.clone());
        Ok(self.made(y, batch, dims, x.node.is_some(), move |tape, mut grad| {
            kind.backward(&mut grad, &x.values, tape.min);
            tape.give(&x, grad);
            Ok(())
        }))
    }

    /// Three matrices as heads; those of v may have a width of their own.
    fn heads(q: &T, k: &T, v: &T) -> Result<attention::Dims> {
        let ([groups @ .., queries, heads, width], [.., keys, _, value]) = (&q.dims[..], &v.dims[..]) else {
            return Err(shape_error(format!("attention of {:?}, expected (tokens, heads, d)", q.dims)));
        };
        let is = |x: &T, tokens: usize, width: usize| {
            let dims = [groups, &[tokens, *heads, width]].concat();
            x.dims == dims && x.batch == q.batch && x.gather.is_none()
        };
        if groups.len() > 1 || !is(q, *queries, *width) || !is(k, *keys, *width) || !is(v, *keys, *value) {
            return Err(shape_error(format!("attention of {:?}, {:?} and {:?}", q.dims, k.dims, v.dims)));
        }
        Ok(attention::Dims { queries: *queries, keys: *keys, heads: *heads, width: *width, value: *value })
    }

    /// A tensor (…, heads, d) as rows of all heads, without a copy where its columns admit it.
    fn rows_of_heads(&self, x: &T, heads: usize) -> Result<T> {
        let width = heads * x.dims.last().copied().unwrap_or(1);
        if x.columns.width == width {
            return Ok(x.clone());
        }
        self.reshaped(x, &[x.len() / width.max(1), width])
    }

    /// `x·Wᵀ + b` by the numbers of W and b; a weight (out, in…) is seen as a matrix.
    fn product(&self, x: &TapeTensor, name: &str, node: usize, bias: Option<usize>) -> Result<TapeTensor> {
        let (shape, weight) = self.parameters.list[node];
        let mut dims = x.dims.clone();
        let inputs = dims.pop().unwrap_or(0);
        if shape.len() < 2 || shape[1..].iter().product::<usize>() != inputs || inputs == 0 {
            return Err(shape_error(format!("{name}: weight {shape:?} on {:?}", x.dims)));
        }
        dims.push(shape[0]);
        let x = if x.gather.is_none() && x.columns.width == inputs { x.clone() } else { self.dense(x)? };
        let matrix = x.matrix();
        let mut y = self.pool.take(matrix.rows * shape[0]);
        linear::forward(&mut y, matrix, weight, bias.map(|i| self.parameters.list[i].1), self.min);
        let trains = self.parameters.trained[node];
        let bias = bias.filter(|&bias| self.parameters.trained[bias]);
        let depends = trains || bias.is_some() || x.node.is_some();
        Ok(self.made(y, x.batch, dims, depends, move |tape, grad| {
            if trains {
                tape.write(node, weight.len(), |dw, fresh| {
                    linear::weight(dw, fresh, &grad, x.matrix(), tape.min)
                });
            }
            if let Some(bias) = bias {
                tape.write(bias, shape[0], |db, fresh| linear::bias(db, fresh, &grad, tape.min));
            }
            match x.node {
                None => {}
                Some(node) if x.is_dense() => tape.write(node, x.values.len(), |dx, fresh| {
                    linear::input(dx, fresh, &grad, weight, inputs, tape.min);
                }),
                Some(_) => {
                    let mut dx = tape.pool.take(x.matrix().rows * inputs);
                    linear::input(&mut dx, true, &grad, weight, inputs, tape.min);
                    tape.give(&x, dx);
                }
            }
            Ok(())
        }))
    }
}

impl Ops for Tape<'_> {
    type Tensor = TapeTensor;
    type Error = Error;

    fn dims(&self, x: &T) -> Vec<usize> {
        x.dims.clone()
    }

    fn constant(&self, _name: &str, dims: &[usize], data: Vec<f32>) -> Result<T> {
        if data.len() != dims.iter().product::<usize>() {
            return Err(shape_error(format!("a constant of {} values for {dims:?}", data.len())));
        }
        Ok(self.input(&data, 1, dims))
    }

    fn parameter(&self, name: &str) -> Result<T> {
        self.parameter_tensor(name)
    }

    fn linear(&self, x: &T, name: &str) -> Result<T> {
        let node = self.parameters.get(&format!("{name}.weight"))?;
        self.product(x, name, node, self.parameters.find(&format!("{name}.bias")))
    }

    fn matmul(&self, x: &T, name: &str) -> Result<T> {
        self.product(x, name, self.parameters.get(name)?, None)
    }

    fn embedding(&self, labels: &T, name: &str) -> Result<T> {
        self.rows_of_table(labels, name)
    }

    fn conv(&self, _x: &T, name: &str, _window: &Window) -> Result<T> {
        Err(shape_error(format!(
            "{name}: convolutions are trained by Candle's own differentiation, not by the tape"
        )))
    }

    fn linear_split(&self, x: &T, name: &str, parts: usize) -> Result<Vec<T>> {
        let y = self.linear(x, name)?;
        let (last, width) = (y.dims.len() - 1, y.columns.width / parts);
        (0..parts).map(|i| self.narrowed(&y, last, i * width, width)).collect()
    }

    fn reshape(&self, x: &T, dims: &[usize]) -> Result<T> {
        self.reshaped(x, dims)
    }

    fn permute(&self, x: &T, order: &[usize]) -> Result<T> {
        self.permuted(x, order)
    }

    fn concat(&self, xs: &[&T], dim: usize) -> Result<T> {
        self.joined(xs, dim)
    }

    fn narrow(&self, x: &T, dim: usize, start: usize, len: usize) -> Result<T> {
        self.narrowed(x, dim, start, len)
    }

    fn gather_rows(&self, x: &T, indices: &[usize]) -> Result<T> {
        let x = if x.gather.is_some() { self.dense(x)? } else { x.clone() };
        let [rows, width] = x.dims[..] else {
            return Err(shape_error(format!("rows of {:?}, expected (rows, width)", x.dims)));
        };
        if let Some(index) = indices.iter().find(|&&index| index >= rows) {
            return Err(shape_error(format!("row {index} of {:?}", x.dims)));
        }
        Ok(TapeTensor { dims: vec![indices.len(), width], gather: Some(indices.into()), ..x })
    }

    fn add(&self, a: &T, b: &T) -> Result<T> {
        self.broadcast(a, b, false)
    }

    fn mul(&self, a: &T, b: &T) -> Result<T> {
        self.broadcast(a, b, true)
    }

    fn mean(&self, x: &T, dim: usize) -> Result<T> {
        self.mean_along(x, dim)
    }

    fn cos(&self, x: &T) -> Result<T> {
        self.activation(x, Activation::Cos)
    }

    fn sin(&self, x: &T) -> Result<T> {
        self.activation(x, Activation::Sin)
    }

    fn relu(&self, x: &T) -> Result<T> {
        self.activation(x, Activation::Relu)
    }

    fn silu(&self, x: &T) -> Result<T> {
        self.activation(x, Activation::Silu)
    }

    fn gelu(&self, x: &T) -> Result<T> {
        self.activation(x, Activation::Gelu)
    }

    fn layer_norm(&self, x: &T, eps: f64) -> Result<T> {
        let [tokens, d] = x.dims[..] else {
            return Err(shape_error(format!("layer_norm of {:?}, expected (tokens, D)", x.dims)));
        };
        let zeros = T::new(Rc::new(self.pool.zeros(x.batch * d)), None, x.batch, vec![1, d]);
        let nothing = self.gather_rows(&zeros, &vec![0; tokens])?;
        self.modulate(x, &nothing, &nothing, eps)
    }

    fn modulate(&self, x: &T, shift: &T, scale: &T, eps: f64) -> Result<T> {
        let x = self.dense(x)?;
        let alike = shift.gather == scale.gather;
        let (shift, scale) =
            if alike { (shift.clone(), scale.clone()) } else { (self.dense(shift)?, self.dense(scale)?) };
        let ((shift, rows), (scale, _)) = (self.cells(&shift)?, self.cells(&scale)?);
        let [tokens, d] = x.dims[..] else {
            return Err(shape_error(format!("modulate {:?}, expected (tokens, D)", x.dims)));
        };
        let fits = |cells: &T| cells.batch == x.batch && cells.columns.width == d && cells.dims == shift.dims;
        if rows.len() != tokens || !fits(&shift) || !fits(&scale) {
            return Err(shape_error(format!(
                "modulate {:?} by {:?} and {:?}",
                x.dims, shift.dims, scale.dims
            )));
        }
        let (count, eps) = (shift.dims[0], eps as f32);
        let mut y = self.pool.take(x.values.len());
        let cells = modulate::Cells { shift: shift.matrix(), scale: scale.matrix(), rows: &rows, count, eps };
        modulate::forward(&mut y, &x.values, d, &cells, self.min);
        let depends = [&x, &shift, &scale].iter().any(|x| x.node.is_some());
        Ok(self.made(y, x.batch, x.dims.clone(), depends, move |tape, grad| {
            let cells =
                modulate::Cells { shift: shift.matrix(), scale: scale.matrix(), rows: &rows, count, eps };
            let len = x.batch * count * d;
            let (mut dshift, mut dscale) = (tape.pool.zeros(len), tape.pool.zeros(len));
            let mut run = |dx: &mut [f32], replace| {
                let into = modulate::Into { x: dx, replace, shift: &mut dshift, scale: &mut dscale };
                modulate::backward(into, &grad, &x.values, d, &cells, tape.min);
            };
            match x.node {
                Some(node) => tape.write(node, x.values.len(), run),
                None => run(&mut tape.pool.take(x.values.len()), true),
            }
            tape.give(&shift, dshift);
            tape.give(&scale, dscale);
            Ok(())
        }))
    }

    fn gate_add(&self, x: &T, gate: &T, y: &T) -> Result<T> {
        let (x, y) = (self.dense(x)?, self.dense(y)?);
        let (gate, rows) = self.cells(gate)?;
        let [tokens, d] = x.dims[..] else {
            return Err(shape_error(format!("gate_add to {:?}, expected (tokens, D)", x.dims)));
        };
        let fits = y.dims == x.dims && y.batch == x.batch && gate.batch == x.batch && gate.columns.width == d;
        if rows.len() != tokens || !fits {
            return Err(shape_error(format!("gate_add of {:?}, {:?} and {:?}", x.dims, gate.dims, y.dims)));
        }
        let count = gate.dims[0];
        let mut out = self.pool.take(x.values.len());
        let gates = gate::Gate { values: gate.matrix(), rows: &rows, count };
        gate::forward(&mut out, &x.values, &y.values, d, &gates, self.min);
        let depends = [&x, &y, &gate].iter().any(|x| x.node.is_some());
        let (batch, dims) = (x.batch, x.dims.clone());
        let x = T { values: Rc::new(self.pool.take(0)), ..x }; // only where its gradient goes is needed
        Ok(self.made(out, batch, dims, depends, move |tape, grad| {
            let gates = gate::Gate { values: gate.matrix(), rows: &rows, count };
            let (mut dy, mut dgate) = (tape.pool.take(grad.len()), tape.pool.zeros(batch * count * d));
            gate::backward(&mut dy, &mut dgate, &grad, &y.values, d, &gates, tape.min);
            tape.give(&gate, dgate);
            tape.give(&y, dy);
            tape.give(&x, grad);
            Ok(())
        }))
    }

    fn rms_norm(&self, x: &T, name: &str, eps: f64) -> Result<T> {
        let node = self.parameters.get(&format!("{name}.weight"))?;
        let (_, weight) = self.parameters.list[node];
        let x = if x.gather.is_some() { self.dense(x)? } else { x.clone() };
        if x.dims.last() != Some(&weight.len()) {
            return Err(shape_error(format!("{name}: weight of {} on {:?}", weight.len(), x.dims)));
        }
        let eps = eps as f32;
        let mut y = self.pool.take(x.batch * x.len());
        rms::forward(&mut y, x.matrix(), weight, eps, self.min);
        let trains = self.parameters.trained[node];
        let depends = trains || x.node.is_some();
        Ok(self.made(y, x.batch, x.dims.clone(), depends, move |tape, mut grad| {
            let mut run = |dw: &mut [f32], fresh| {
                rms::backward(&mut grad, dw, fresh, x.matrix(), weight, eps, tape.min);
            };
            match trains {
                true => tape.write(node, weight.len(), run),
                false => run(&mut tape.pool.take(weight.len()), true),
            }
            tape.give(&x, grad);
            Ok(())
        }))
    }

    fn attention(&self, q: &T, k: &T, v: &T) -> Result<T> {
        let dims = Self::heads(q, k, v)?;
        let mut made_dims = q.dims[..q.dims.len() - 2].to_vec();
        made_dims.push(dims.heads * dims.value);
        let q = self.rows_of_heads(q, dims.heads)?;
        let (k, v) = (self.rows_of_heads(k, dims.heads)?, self.rows_of_heads(v, dims.heads)?);
        let (batch, rows) = (q.batch, q.matrix().rows);
        let mut y = self.pool.take(rows * dims.heads * dims.value);
        let mut logs = self.pool.take(rows * dims.heads);
        attention::forward(&mut y, &mut logs, [q.matrix(), k.matrix(), v.matrix()], dims, self.min);
        let depends = [&q, &k, &v].iter().any(|x| x.node.is_some());
        let made = self.made(y, batch, made_dims, false, |_, _| Ok(()));
        if !(depends && self.recording.get()) {
            return Ok(made);
        }
        let y = made.values.clone();
        let node = self.enter(Box::new(move |tape, grad| {
            let [mut dq, mut dk, mut dv] = [(&q, dims.width), (&k, dims.width), (&v, dims.value)]
                .map(|(x, width)| tape.pool.take(x.matrix().rows * dims.heads * width));
            let saved = attention::Saved { qkv: [q.matrix(), k.matrix(), v.matrix()], y: &y, logs: &logs };
            attention::backward([&mut dq, &mut dk, &mut dv], &saved, &grad, dims, tape.min);
            tape.give(&q, dq);
            tape.give(&k, dk);
            tape.give(&v, dv);
            Ok(())
        }));
        Ok(T { node: Some(node), ..made })
    }

    fn block(&self, inputs: &[&T], run: avdit_nets::ops::Block<Self>) -> Result<T> {
        let inputs: Vec<T> = inputs.iter().map(|&x| x.clone()).collect();
        if !(self.checkpoint && self.recording.get()) {
            return run(self, &inputs);
        }
        self.recording.set(false);
        let y = run(self, &inputs);
        self.recording.set(true);
        let y = y?;
        // Run again, the block leaves entries that the way back goes on with.
        let node = self.enter(Box::new(move |tape, grad| {
            let again = run(tape, &inputs)?;
            tape.give(&again, grad);
            Ok(())
        }));
        Ok(T { node: Some(node), ..self.dense(&y)? })
    }

    fn scope(&self, _name: &str) {}

    fn tap(&self, _name: &str, _x: &T) {}
}
