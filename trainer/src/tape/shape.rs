//! Operations that move values: their gradients move back the same way.

use super::buffer::Buffer;
use super::tensor::{Columns, TapeTensor};
use super::{Tape, kernels};
use crate::error::{Error, Result};
use std::rc::Rc;

pub(super) fn shape_error(what: impl Into<String>) -> Error {
    Error::Shape(what.into())
}

/// For each row along the last dimension of `out`, where it begins in an operand that is broadcast to it; and whether
/// the operand goes along with the last dimension.
fn offsets(out: &[usize], operand: &[usize]) -> (Vec<usize>, bool) {
    let last = out.len() - 1;
    let mut starts = vec![0];
    let strides: Vec<usize> = (0..out.len()).map(|i| operand[i + 1..].iter().product()).collect();
    for i in 0..last {
        let stride = if operand[i] == 1 { 0 } else { strides[i] };
        starts = starts.iter().flat_map(|start| (0..out[i]).map(move |j| start + j * stride)).collect();
    }
    (starts, operand[last] > 1)
}

/// Sums `grad` of shape `out` over what an operand was broadcast along, each element first multiplied by `other`'s.
fn reduce(
    into: &mut [f32],
    operand: &[usize],
    grad: &[f32],
    out: &[usize],
    other: Option<(&[f32], &[usize])>,
) {
    let width = out[out.len() - 1];
    let (starts, along) = offsets(out, operand);
    let other = other.map(|(values, shape)| (values, offsets(out, shape)));
    for (row, (grad, &start)) in grad.chunks_exact(width).zip(&starts).enumerate() {
        let factor = |i: usize| match &other {
            None => 1.0,
            Some((values, (starts, true))) => values[starts[row] + i],
            Some((values, (starts, false))) => values[starts[row]],
        };
        let terms = grad.iter().enumerate().map(|(i, g)| g * factor(i));
        if along {
            into[start..start + width].iter_mut().zip(terms).for_each(|(sum, term)| *sum += term);
        } else {
            into[start] += terms.sum::<f32>();
        }
    }
}

impl<'a> Tape<'a> {
    /// Runs of `len` values of each example of `x`'s node, one after another: a copy of them in another order.
    fn copy_runs(&self, x: &TapeTensor, starts: Vec<usize>, len: usize, dims: Vec<usize>) -> TapeTensor {
        let of = x.values.len() / x.batch;
        let mut values = self.pool.take(x.batch * starts.len() * len);
        for (out, x) in values.chunks_exact_mut(starts.len() * len).zip(x.values.chunks_exact(of)) {
            for (out, &start) in out.chunks_exact_mut(len).zip(&starts) {
                out.copy_from_slice(&x[start..start + len]);
            }
        }
        let (batch, whole) = (x.batch, TapeTensor::new(x.values.clone(), x.node, x.batch, vec![of]));
        self.made(values, batch, dims, x.node.is_some(), move |tape, grad| {
            let mut dx = tape.pool.zeros(whole.values.len());
            for (dx, grad) in dx.chunks_exact_mut(of).zip(grad.chunks_exact(starts.len() * len)) {
                for (grad, &start) in grad.chunks_exact(len).zip(&starts) {
                    dx[start..start + len].iter_mut().zip(grad).for_each(|(sum, x)| *sum += x);
                }
            }
            tape.give(&whole, dx);
            Ok(())
        })
    }

    /// The same tensor with its values in order.
    pub(crate) fn dense(&self, x: &TapeTensor) -> Result<TapeTensor> {
        if x.is_dense() {
            return Ok(x.clone());
        }
        let Columns { of, start, width } = x.columns;
        let rows = x.values.len() / of / x.batch;
        let starts = match &x.gather {
            Some(gather) => gather.iter().map(|row| row * of + start).collect(),
            None => (0..rows).map(|row| row * of + start).collect(),
        };
        Ok(self.copy_runs(x, starts, width, x.dims.clone()))
    }

    pub(super) fn permuted(&self, x: &TapeTensor, order: &[usize]) -> Result<TapeTensor> {
        let x = self.dense(x)?;
        let stride = |i: usize| x.dims[i + 1..].iter().product::<usize>();
        let dims: Vec<usize> = order.iter().map(|&i| x.dims[i]).collect();
        // The last dimensions that stay where they are move as a whole.
        let moved = order.iter().enumerate().rposition(|(i, &j)| i != j).map_or(0, |i| i + 1);
        let mut starts = vec![0];
        for &i in &order[..moved] {
            let (count, step) = (x.dims[i], stride(i));
            starts = starts.iter().flat_map(|start| (0..count).map(move |j| start + j * step)).collect();
        }
        let len = x.dims[moved..].iter().product();
        Ok(self.copy_runs(&x, starts, len, dims))
    }

    pub(super) fn narrowed(
        &self,
        x: &TapeTensor,
        dim: usize,
        start: usize,
        len: usize,
    ) -> Result<TapeTensor> {
        if dim >= x.dims.len() || start + len > x.dims[dim] {
            return Err(shape_error(format!(
                "entries {start}..{} of dimension {dim} of {:?}",
                start + len,
                x.dims
            )));
        }
        let mut dims = x.dims.clone();
        dims[dim] = len;
        if dim + 1 == dims.len() && dim > 0 && x.columns.width == x.dims[dim] {
            let columns = Columns { start: x.columns.start + start, width: len, ..x.columns };
            return Ok(TapeTensor { dims, columns, ..x.clone() });
        }
        let x = self.dense(x)?;
        let inner: usize = x.dims[dim + 1..].iter().product();
        let outer: usize = x.dims[..dim].iter().product();
        let starts = (0..outer).map(|i| (i * x.dims[dim] + start) * inner).collect();
        Ok(self.copy_runs(&x, starts, len * inner, dims))
    }

    pub(super) fn reshaped(&self, x: &TapeTensor, dims: &[usize]) -> Result<TapeTensor> {
        if dims.iter().product::<usize>() != x.len() {
            return Err(shape_error(format!("{:?} cannot be seen as {dims:?}", x.dims)));
        }
        // Columns stay a view if the new dimensions still end with a whole row.
        let mut tail = 1;
        let ends = dims.iter().rev().any(|size| {
            tail *= size;
            tail == x.columns.width
        });
        if x.gather.is_none() && !x.columns.is_all() && ends {
            return Ok(TapeTensor { dims: dims.to_vec(), ..x.clone() });
        }
        let x = self.dense(x)?;
        Ok(TapeTensor::new(x.values.clone(), x.node, x.batch, dims.to_vec()))
    }

    pub(super) fn joined(&self, xs: &[&TapeTensor], dim: usize) -> Result<TapeTensor> {
        let xs = xs.iter().map(|x| self.dense(x)).collect::<Result<Vec<_>>>()?;
        let Some(first) = xs.first() else { return Err(shape_error("nothing to join")) };
        let fits = |x: &TapeTensor| {
            let same = |i: usize| i == dim || x.dims.get(i) == first.dims.get(i);
            x.batch == first.batch && x.dims.len() == first.dims.len() && (0..x.dims.len()).all(same)
        };
        if dim >= first.dims.len() || !xs.iter().all(fits) {
            let shapes: Vec<_> = xs.iter().map(|x| &x.dims).collect();
            return Err(shape_error(format!("{shapes:?} cannot be joined along dimension {dim}")));
        }
        let mut dims = first.dims.clone();
        dims[dim] = xs.iter().map(|x| x.dims[dim]).sum();
        let outer = first.batch * first.dims[..dim].iter().product::<usize>();
        let row: usize = dims[dim..].iter().product();
        let mut values = self.pool.take(outer * row);
        let mut start = 0;
        let mut places = Vec::new();
        for x in &xs {
            let len = x.dims[dim..].iter().product();
            for (out, x) in values.chunks_exact_mut(row).zip(x.values.chunks_exact(len)) {
                out[start..start + len].copy_from_slice(x);
            }
            places.push((start, len));
            start += len;
        }
        let (batch, depends) = (first.batch, xs.iter().any(|x| x.node.is_some()));
        Ok(self.made(values, batch, dims, depends, move |tape, grad| {
            for (x, (start, len)) in xs.iter().zip(places).filter(|(x, _)| x.node.is_some()) {
                let mut dx = tape.pool.take(x.values.len());
                for (dx, grad) in dx.chunks_exact_mut(len).zip(grad.chunks_exact(row)) {
                    dx.copy_from_slice(&grad[start..start + len]);
                }
                tape.give(x, dx);
            }
            Ok(())
        }))
    }

    /// `a + b` or `a·b`, where either may be broadcast.
    pub(super) fn broadcast(&self, a: &TapeTensor, b: &TapeTensor, multiply: bool) -> Result<TapeTensor> {
        let (a, b) = (self.dense(a)?, self.dense(b)?);
        let rank = a.dims.len().max(b.dims.len());
        // What is the same for every example may lack dimensions behind the batch.
        let missing = |x: &TapeTensor| if x.batch == 1 { rank - x.dims.len() } else { 0 };
        let shape = |x: &TapeTensor| [&[x.batch], &vec![1; missing(x)][..], &x.dims].concat();
        let (left, right) = (shape(&a), shape(&b));
        let fits = |(&a, &b): (&usize, &usize)| a == b || a == 1 || b == 1;
        if left.len() != right.len() || left.len() < 2 || !left.iter().zip(&right).all(fits) {
            return Err(shape_error(format!("{:?} and {:?} cannot be broadcast", a.dims, b.dims)));
        }
        let out: Vec<usize> = left.iter().zip(&right).map(|(&a, &b)| a.max(b)).collect();
        let width = out[out.len() - 1];
        let ((starts_a, along_a), (starts_b, along_b)) = (offsets(&out, &left), offsets(&out, &right));
        let mut values = self.pool.take(out.iter().product());
        for ((row, &a0), &b0) in values.chunks_exact_mut(width).zip(&starts_a).zip(&starts_b) {
            match along_a {
                true => row.copy_from_slice(&a.values[a0..a0 + width]),
                false => row.fill(a.values[a0]),
            }
            match (along_b, multiply) {
                (true, true) => kernels::multiply(row, &b.values[b0..b0 + width]),
                (true, false) => kernels::add(row, &b.values[b0..b0 + width]),
                (false, true) => row.iter_mut().for_each(|x| *x *= b.values[b0]),
                (false, false) => row.iter_mut().for_each(|x| *x += b.values[b0]),
            }
        }
        let (batch, dims, depends) = (out[0], out[1..].to_vec(), a.node.is_some() || b.node.is_some());
        Ok(self.made(values, batch, dims, depends, move |tape, grad| {
            let of = |x: &TapeTensor, shape: &[usize], other: &TapeTensor, other_shape: &[usize]| -> Buffer {
                if !multiply && shape == out.as_slice() {
                    return tape.pool.copy(&grad);
                }
                let mut dx = tape.pool.zeros(x.values.len());
                let factor = multiply.then_some((&other.values[..], other_shape));
                reduce(&mut dx, shape, &grad, &out, factor);
                dx
            };
            if a.node.is_some() {
                tape.give(&a, of(&a, &left, &b, &right));
            }
            if b.node.is_some() {
                tape.give(&b, of(&b, &right, &a, &left));
            }
            Ok(())
        }))
    }

    /// Rows of cells for every token: as they are, or one for each token.
    pub(super) fn cells(&self, x: &TapeTensor) -> Result<(TapeTensor, std::sync::Arc<[usize]>)> {
        match &x.gather {
            Some(rows) => Ok((x.gathered(), rows.clone())),
            None => Ok((x.clone(), (0..x.dims[0]).collect())),
        }
    }

    /// A parameter as a tensor.
    pub(super) fn parameter_tensor(&self, name: &str) -> Result<TapeTensor> {
        let node = self.parameters.get(name)?;
        let (shape, values) = self.parameters.list[node];
        let node = (self.recording.get() && self.parameters.trained[node]).then_some(node);
        Ok(TapeTensor::new(Rc::new(self.pool.copy(values)), node, 1, shape.to_vec()))
    }
}
