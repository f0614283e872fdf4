//! Operations that pick rows by what is known only when they run, or sum them.

use super::kernels::add;
use super::shape::shape_error;
use super::{Tape, TapeTensor};
use crate::error::{Error, Result};

impl Tape<'_> {
    /// The rows of `{name}.weight` (R, D) that labels (n) name, (n, D).
    pub(super) fn rows_of_table(&self, labels: &TapeTensor, name: &str) -> Result<TapeTensor> {
        let node = self.parameters.get(&format!("{name}.weight"))?;
        let (shape, table) = self.parameters.list[node];
        let labels = self.dense(labels)?;
        let ([rows, width], [n]) = (shape, &labels.dims[..]) else {
            return Err(shape_error(format!("{name}: labels {:?} of a table {shape:?}", labels.dims)));
        };
        let (rows, width, n) = (*rows, *width, *n);
        let row = |&label: &f32| match label {
            label if label.fract() == 0.0 && label >= 0.0 && label < rows as f32 => Ok(label as usize),
            label => Err(Error::Parameter {
                name: format!("{name}.weight"),
                what: format!("it has rows 0 to {}, got the label {label}", rows - 1),
            }),
        };
        let picked = labels.dense_values().iter().map(row).collect::<Result<Vec<_>>>()?;
        let mut y = self.pool.take(picked.len() * width);
        for (y, row) in y.chunks_exact_mut(width).zip(&picked) {
            y.copy_from_slice(&table[row * width..][..width]);
        }
        let trains = self.parameters.trained[node];
        Ok(self.made(y, labels.batch, vec![n, width], trains, move |tape, grad| {
            tape.write(node, table.len(), |sum, fresh| {
                if fresh {
                    sum.fill(0.0);
                }
                for (grad, row) in grad.chunks_exact(width).zip(&picked) {
                    add(&mut sum[row * width..][..width], grad);
                }
            });
            Ok(())
        }))
    }

    /// The mean along a dimension.
    pub(super) fn mean_along(&self, x: &TapeTensor, dim: usize) -> Result<TapeTensor> {
        let x = self.dense(x)?;
        let Some(&n) = x.dims.get(dim).filter(|&&n| n > 0) else {
            return Err(shape_error(format!("the mean along dimension {dim} of {:?}", x.dims)));
        };
        let inner: usize = x.dims[dim + 1..].iter().product();
        let mut dims = x.dims.clone();
        dims.remove(dim);
        let share = 1.0 / n as f32;
        let mut y = self.pool.zeros(x.values.len() / n);
        for (y, x) in y.chunks_exact_mut(inner).zip(x.values.chunks_exact(n * inner)) {
            x.chunks_exact(inner).for_each(|x| add(y, x));
            y.iter_mut().for_each(|y| *y *= share);
        }
        Ok(self.made(y, x.batch, dims, x.node.is_some(), move |tape, mut grad| {
            grad.iter_mut().for_each(|grad| *grad *= share);
            let mut dx = tape.pool.take(x.values.len());
            for (dx, grad) in dx.chunks_exact_mut(n * inner).zip(grad.chunks_exact(inner)) {
                dx.chunks_exact_mut(inner).for_each(|dx| dx.copy_from_slice(grad));
            }
            tape.give(&x, dx);
            Ok(())
        }))
    }
}
