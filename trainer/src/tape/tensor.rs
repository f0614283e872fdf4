//! What a tape hands to a network: values, and where their gradient belongs.

use super::buffer::Buffer;
use std::rc::Rc;
use std::sync::Arc;

/// A tensor of a [`Tape`](super::Tape): all of a node's values, or a view of them that copies nothing.
#[derive(Clone)]
pub struct TapeTensor {
    /// All values of the node, row-major.
    pub(super) values: Rc<Buffer>,
    /// Where the gradient goes; none for what does not depend on a parameter.
    pub(super) node: Option<usize>,
    /// Examples; 1 for what is the same for each.
    pub(super) batch: usize,
    /// After the batch.
    pub(super) dims: Vec<usize>,
    /// The columns of the values that this tensor is.
    pub(super) columns: Columns,
    /// The row of each example's matrix that each token takes, where rows are still kept once per cell.
    pub(super) gather: Option<Arc<[usize]>>,
}

/// Some columns of a row-major matrix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Columns {
    /// Of how many.
    pub(super) of: usize,
    pub(super) start: usize,
    pub(super) width: usize,
}

impl Columns {
    pub(super) fn all(width: usize) -> Self {
        Self { of: width, start: 0, width }
    }

    pub(super) fn is_all(self) -> bool {
        self.of == self.width
    }
}

/// Rows of a matrix with others between them.
#[derive(Clone, Copy)]
pub(super) struct Matrix<'a> {
    pub(super) values: &'a [f32],
    pub(super) rows: usize,
    pub(super) columns: Columns,
}

impl<'a> Matrix<'a> {
    /// With all its columns.
    pub(super) fn dense(values: &'a [f32], width: usize) -> Self {
        Self { values, rows: values.len() / width.max(1), columns: Columns::all(width) }
    }

    #[inline(always)]
    pub(super) fn row(&self, row: usize) -> &'a [f32] {
        let Columns { of, start, width } = self.columns;
        &self.values[row * of + start..][..width]
    }
}

impl TapeTensor {
    /// Of values that are this tensor alone.
    pub(super) fn new(values: Rc<Buffer>, node: Option<usize>, batch: usize, dims: Vec<usize>) -> Self {
        let width = dims.last().copied().unwrap_or(1);
        Self { values, node, batch, dims, columns: Columns::all(width), gather: None }
    }

    /// Whether the values are this tensor, element by element.
    pub(super) fn is_dense(&self) -> bool {
        self.gather.is_none() && self.columns.is_all()
    }

    /// The values of a dense tensor.
    ///
    /// Any other one is made dense first ([`Tape::dense`](super::Tape)).
    pub(crate) fn dense_values(&self) -> &[f32] {
        debug_assert!(self.is_dense());
        &self.values
    }

    /// Its rows before they are gathered.
    pub(super) fn matrix(&self) -> Matrix<'_> {
        Matrix {
            values: &self.values,
            rows: self.values.len() / self.columns.of.max(1),
            columns: self.columns,
        }
    }

    /// What it gathers rows of.
    pub(super) fn gathered(&self) -> TapeTensor {
        let rows = self.matrix().rows / self.batch;
        Self { gather: None, dims: vec![rows, self.columns.width], ..self.clone() }
    }

    /// Elements of an example.
    pub(super) fn len(&self) -> usize {
        self.dims.iter().product()
    }
}
