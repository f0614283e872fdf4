//! The interpreter that trains on the CPU: it runs a network and writes down how to go back.
//!
//! Each operation leaves one entry: what its gradient needs, and nothing else. Going back consumes the entries from the
//! last to the first, so that activations and gradients are freed as soon as they have been used; a gradient is written
//! into one buffer per node, in place of nothing or on top of what is there; what is freed is used again by what comes
//! next, in this step and in the one after. [`CandleOps`](crate::ops::CandleOps) computes the same on other devices, and
//! is what the tests compare with.

mod buffer;
mod gradients;
mod kernels;
mod ops;
mod rows;
mod shape;
mod tensor;

pub(crate) use buffer::Stock;
pub use tensor::TapeTensor;

use crate::error::{Error, Result};
use buffer::{Buffer, Pool};
use gradients::Grad;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

/// The learned values that a tape reads.
pub(crate) struct Parameters<'a> {
    list: Vec<(&'a [usize], &'a [f32])>,
    /// Which of them are trained: nothing is differentiated by the others.
    trained: Vec<bool>,
    index: HashMap<&'a str, usize>,
}

impl<'a> Parameters<'a> {
    /// By name, shape, values and whether it is trained, in the order in which their gradients are asked for. Of one that is
    /// not trained no gradient is computed, nor what only that would need.
    pub(crate) fn new(list: impl IntoIterator<Item = (&'a str, &'a [usize], &'a [f32], bool)>) -> Self {
        let (mut values, mut trained, mut index) = (Vec::new(), Vec::new(), HashMap::new());
        for (name, shape, data, trains) in list {
            index.insert(name, values.len());
            values.push((shape, data));
            trained.push(trains);
        }
        Self { list: values, trained, index }
    }

    fn find(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }

    fn get(&self, name: &str) -> Result<usize> {
        let missing =
            || Error::Parameter { name: name.to_owned(), what: "the network has no such parameter".into() };
        self.find(name).ok_or_else(missing)
    }
}

/// How to go back through one operation: from the gradient of what it made to those of what it used.
type Back<'a> = Box<dyn FnOnce(&Tape<'a>, Buffer) -> Result<()> + 'a>;

struct Entry<'a> {
    made: usize,
    back: Back<'a>,
}

/// Runs a network on the CPU in float32, and differentiates it.
pub struct Tape<'a> {
    parameters: &'a Parameters<'a>,
    pool: Pool,
    entries: RefCell<Vec<Entry<'a>>>,
    /// By node; the parameters are the first ones.
    grads: RefCell<Vec<Option<Grad>>>,
    recording: Cell<bool>,
    checkpoint: bool,
    /// The least number of parts of an operation that one thread takes.
    min: usize,
}

/// How a tape works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TapeOptions {
    /// Keep only the input of every block and run it again on the way back.
    pub(crate) checkpoint: bool,
    /// Whether operations spread over the threads, or stay on the one that calls.
    pub(crate) spread: bool,
}

impl<'a> Tape<'a> {
    /// An empty one; `stock` is memory to use.
    pub(crate) fn new(parameters: &'a Parameters<'a>, options: TapeOptions, stock: Stock) -> Self {
        Self {
            pool: Pool::new(stock),
            entries: RefCell::default(),
            grads: RefCell::new(parameters.list.iter().map(|_| None).collect()),
            recording: Cell::new(true),
            checkpoint: options.checkpoint,
            min: if options.spread { 1 } else { usize::MAX },
            parameters,
        }
    }

    /// A batch of values `(B, …dims)` that nothing is differentiated by.
    pub(crate) fn input(&self, values: &[f32], batch: usize, dims: &[usize]) -> TapeTensor {
        TapeTensor::new(Rc::new(self.pool.copy(values)), None, batch, dims.to_vec())
    }

    /// What an operation made. `back` is kept only if it depends on a parameter.
    fn made(
        &self,
        values: Buffer,
        batch: usize,
        dims: Vec<usize>,
        depends: bool,
        back: impl FnOnce(&Tape<'a>, Buffer) -> Result<()> + 'a,
    ) -> TapeTensor {
        let node = (depends && self.recording.get()).then(|| self.enter(Box::new(back)));
        TapeTensor::new(Rc::new(values), node, batch, dims)
    }

    fn enter(&self, back: Back<'a>) -> usize {
        let mut grads = self.grads.borrow_mut();
        let made = grads.len();
        grads.push(None);
        self.entries.borrow_mut().push(Entry { made, back });
        made
    }

    /// Σ (weight·(prediction − target))², from where [`Tape::backward`] begins; `look` is shown prediction − target.
    pub(crate) fn loss(
        &self,
        prediction: &TapeTensor,
        target: &[f32],
        weight: &[f32],
        look: impl FnOnce(&[f32]),
    ) -> Result<f64> {
        let prediction = self.dense(prediction)?;
        let mut slope = self.pool.copy(prediction.dense_values());
        slope.iter_mut().zip(target).for_each(|(error, target)| *error -= target);
        look(&slope);
        let loss = kernels::loss::loss(&mut slope, weight);
        self.give(&prediction, slope);
        Ok(loss)
    }

    /// Begins [`Tape::backward`] at a tensor too, with the slope of a loss that was computed elsewhere.
    pub(crate) fn begin_at(&self, x: &TapeTensor, slope: &[f32]) {
        self.give(x, self.pool.copy(slope));
    }

    /// Goes back through everything, and gives the gradient of each parameter, `None` where it did not come; and the
    /// memory, to be used again.
    pub(crate) fn backward(self) -> Result<(Vec<Option<Vec<f32>>>, Stock)> {
        loop {
            // An entry may add others: a block that is run again.
            let Some(Entry { made, back }) = self.entries.borrow_mut().pop() else { break };
            let grad = self.grads.borrow_mut()[made].take();
            if let Some(grad) = grad {
                back(&self, grad.finish())?;
            }
        }
        let grads = self.grads.take().into_iter().take(self.parameters.list.len());
        let grads = grads.map(|grad| grad.map(|grad| grad.finish().into_vec())).collect();
        Ok((grads, self.pool.into_stock()))
    }
}

#[cfg(test)]
mod tests;
