//! Gradients on their way back: one buffer for each node, written in place by what used the node.

use super::Tape;
use super::buffer::Buffer;
use super::kernels::add;
use super::tensor::{Columns, TapeTensor};

/// What has come back to a node so far.
pub(super) struct Grad {
    values: Buffer,
    /// Columns that something has been written to, when not all.
    written: Option<Vec<Columns>>,
}

impl Grad {
    pub(super) fn new(values: Buffer) -> Self {
        Self { values, written: None }
    }

    /// With zeros where nothing came.
    pub(super) fn finish(mut self) -> Buffer {
        if let Some(written) = self.written.take() {
            let of = written[0].of;
            let mut covered = vec![false; of];
            written.iter().for_each(|c| covered[c.start..c.start + c.width].fill(true));
            if covered.contains(&false) {
                for row in self.values.chunks_exact_mut(of) {
                    row.iter_mut().zip(&covered).filter(|(_, c)| !**c).for_each(|(x, _)| *x = 0.0);
                }
            }
        }
        self.values
    }
}

/// Rows of `from` into some columns of `into`.
fn place(into: &mut [f32], columns: Columns, from: &[f32], fresh: bool) {
    let Columns { of, start, width } = columns;
    for (into, from) in into.chunks_exact_mut(of).zip(from.chunks_exact(width)) {
        let into = &mut into[start..start + width];
        if fresh { into.copy_from_slice(from) } else { add(into, from) }
    }
}

impl Tape<'_> {
    /// Adds a gradient of the shape of a tensor that gathers nothing.
    pub(super) fn give(&self, x: &TapeTensor, grad: Buffer) {
        let Some(node) = x.node else { return };
        let mut grads = self.grads.borrow_mut();
        let slot = &mut grads[node];
        if x.columns.is_all() {
            match slot {
                None => *slot = Some(Grad::new(grad)),
                Some(sum) if sum.written.is_none() => add(&mut sum.values, &grad),
                Some(_) => {
                    let mut whole = slot.take().map(Grad::finish).unwrap_or_else(|| self.pool.take(0));
                    add(&mut whole, &grad);
                    *slot = Some(Grad::new(whole));
                }
            }
            return;
        }
        let len = x.values.len();
        let sum = slot.get_or_insert_with(|| Grad { values: self.pool.take(len), written: Some(Vec::new()) });
        let (start, end) = (x.columns.start, x.columns.start + x.columns.width);
        let overlaps = |c: &Columns| c.of != x.columns.of || (c.start < end && start < c.start + c.width);
        match &mut sum.written {
            None => place(&mut sum.values, x.columns, &grad, false),
            Some(written) if written.contains(&x.columns) => place(&mut sum.values, x.columns, &grad, false),
            Some(written) if written.iter().any(overlaps) => {
                // Columns cut in two ways: what is there is made whole before more is added.
                let Some(whole) = slot.take().map(Grad::finish) else { return };
                let mut whole = Grad::new(whole);
                place(&mut whole.values, x.columns, &grad, false);
                *slot = Some(whole);
            }
            Some(written) => {
                written.push(x.columns);
                place(&mut sum.values, x.columns, &grad, true);
            }
        }
    }

    /// Lets `write` put a gradient into a node's buffer: in place of what is there if it is new, else on top of it.
    pub(super) fn write(&self, node: usize, len: usize, write: impl FnOnce(&mut [f32], bool)) {
        let there = self.grads.borrow_mut()[node].take();
        let fresh = there.is_none();
        let mut values = there.map(Grad::finish).unwrap_or_else(|| self.pool.take(len));
        write(&mut values, fresh);
        self.grads.borrow_mut()[node] = Some(Grad::new(values));
    }
}
