//! Memory of a tape, used again and again: a step asks for the same sizes as the one before.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::rc::Rc;

/// Vectors that nobody uses, by capacity.
#[derive(Default)]
pub(crate) struct Stock(BTreeMap<usize, Vec<Vec<f32>>>);

impl Stock {
    /// A vector of a length, with any content; one of up to a quarter more is used before a new one is made.
    fn take(&mut self, len: usize) -> Vec<f32> {
        let found = self.0.range_mut(len..=len + len / 4).find_map(|(_, free)| free.pop());
        let Some(mut values) = found else { return vec![0.0; len] };
        values.resize(len, 0.0);
        values
    }

    /// Bytes of all of them.
    pub(crate) fn bytes(&self) -> usize {
        self.0.iter().map(|(capacity, free)| capacity * free.len() * size_of::<f32>()).sum()
    }

    /// Takes a vector back.
    pub(crate) fn put(&mut self, values: Vec<f32>) {
        if values.capacity() > 0 {
            self.0.entry(values.capacity()).or_default().push(values);
        }
    }
}

/// A stock that the buffers of one tape share.
#[derive(Clone, Default)]
pub(super) struct Pool(Rc<RefCell<Stock>>);

impl Pool {
    pub(super) fn new(stock: Stock) -> Self {
        Self(Rc::new(RefCell::new(stock)))
    }

    /// What is free now; buffers that are still held go nowhere when they are dropped later.
    pub(super) fn into_stock(self) -> Stock {
        self.0.take()
    }

    /// Of a length, with any content.
    pub(super) fn take(&self, len: usize) -> Buffer {
        Buffer { values: self.0.borrow_mut().take(len), pool: self.clone() }
    }

    pub(super) fn zeros(&self, len: usize) -> Buffer {
        let mut buffer = self.take(len);
        buffer.fill(0.0);
        buffer
    }

    pub(super) fn copy(&self, values: &[f32]) -> Buffer {
        let mut buffer = self.take(values.len());
        buffer.copy_from_slice(values);
        buffer
    }
}

/// Values that go back to their pool when they are dropped.
pub(super) struct Buffer {
    values: Vec<f32>,
    pool: Pool,
}

impl Buffer {
    /// The values, which the pool then never sees again.
    pub(super) fn into_vec(mut self) -> Vec<f32> {
        std::mem::take(&mut self.values)
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.0.borrow_mut().put(std::mem::take(&mut self.values));
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        &self.values
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_that_is_dropped_is_the_next_of_its_size() {
        let pool = Pool::default();
        let first = pool.zeros(1000);
        let place = first.as_ptr();
        drop(first);
        let second = pool.take(900);
        assert_eq!((second.as_ptr(), second.len()), (place, 900));
        assert_ne!(pool.take(900).as_ptr(), place, "it is in use");
        drop(second);
        assert_ne!(pool.take(500).as_ptr(), place, "twice the size would waste half of it");
    }
}
