//! A graph under construction from a network: what its tensors are, and how they enter the graph.

use crate::error::{Error, Result};
use crate::lowering::Lowering;
use crate::weights::WeightSource;
use avdit_onnx::{DataType, Dim, GraphBuilder, tensor};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// A tensor of the graph under construction.
#[derive(Clone, Debug)]
pub struct Value {
    /// Dimensions after the batch.
    pub(crate) dims: Vec<usize>,
    pub(crate) place: Place,
}

#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A value of the graph, which has a batch.
    Graph(String),
    /// Numbers that are known, and have no batch; in the graph only where it uses them.
    Fixed { name: String, data: Rc<[f32]> },
}

/// Records every operation as nodes of a graph: the interpreter of [`Ops`](avdit_nets::Ops) that exports.
pub struct Recorder<'w> {
    graph: RefCell<GraphBuilder>,
    pub(crate) weights: &'w dyn WeightSource,
    pub(crate) lowering: Lowering,
    batch: Dim,
    pub(crate) taps: RefCell<Vec<(String, String)>>,
}

impl<'w> Recorder<'w> {
    /// An empty graph whose batch is a symbol, `batch`, or fixed.
    pub fn new(name: &str, weights: &'w dyn WeightSource, lowering: Lowering, batch: Option<usize>) -> Self {
        let batch = batch.map_or_else(|| Dim::Symbol("batch".to_owned()), Dim::Known);
        Self { graph: GraphBuilder::new(name).into(), weights, lowering, batch, taps: RefCell::default() }
    }

    /// Declares an input of single-precision numbers; `dims` without the batch.
    ///
    /// # Errors
    /// [`Error::Onnx`] if the name is taken.
    pub fn input(&self, name: &str, dims: &[usize]) -> Result<Value> {
        let shape = std::iter::once(self.batch.clone()).chain(dims.iter().copied().map(Dim::Known)).collect();
        let name = self.graph().input(name, DataType::Float, shape)?;
        Ok(Value { dims: dims.to_vec(), place: Place::Graph(name) })
    }

    /// The graph, what was tapped as (name, value), in order.
    pub fn finish(self) -> (GraphBuilder, Vec<(String, String)>) {
        (self.graph.into_inner(), self.taps.into_inner())
    }

    /// The name of a value in the graph, for its outputs.
    ///
    /// # Errors
    /// [`Error::Onnx`] if it cannot be put there.
    pub fn name_of(&self, x: &Value) -> Result<String> {
        match &x.place {
            Place::Graph(name) => Ok(name.clone()),
            Place::Fixed { name, data } => Ok(self.graph().constant(tensor::f32s(name, &x.dims, data)?)?),
        }
    }

    pub(crate) fn graph(&self) -> RefMut<'_, GraphBuilder> {
        self.graph.borrow_mut()
    }

    /// A value that has a batch.
    pub(crate) fn batched(&self, x: &Value, what: &str) -> Result<String> {
        match &x.place {
            Place::Graph(name) => Ok(name.clone()),
            Place::Fixed { name, .. } => {
                Err(Error::mismatch(what, "a tensor with a batch", format!("the fixed tensor {name}")))
            }
        }
    }

    /// The value that the graph has computed, with its dimensions from there.
    pub(crate) fn made(&self, name: String) -> Value {
        let graph = self.graph();
        let shape = &graph.value_type(&name).expect("the builder types every node").shape;
        let size = |dim: &Dim| match dim {
            Dim::Known(size) => *size,
            Dim::Symbol(_) => unreachable!("only the batch is a symbol"),
        };
        let dims = shape[1..].iter().map(size).collect();
        Value { dims, place: Place::Graph(name.clone()) }
    }

    /// A name as a path in the present scope: `blocks.3.attn.qkv` in `blocks.3` is `attn/qkv`.
    pub(crate) fn path(&self, name: &str) -> String {
        let graph = self.graph();
        let inner = match name.strip_prefix(graph.scope()) {
            Some(rest) => rest.strip_prefix('.').unwrap_or(if rest.is_empty() { rest } else { name }),
            None => name,
        };
        inner.replace('.', "/")
    }

    pub(crate) fn unary(&self, op: &str, x: &Value) -> Result<Value> {
        let name = self.batched(x, op)?;
        let y = self.graph().node(op, "", &[&name], vec![])?;
        Ok(self.made(y))
    }

    pub(crate) fn binary(&self, op: &str, path: &str, a: &Value, b: &Value) -> Result<Value> {
        let batched = |x: &Value| matches!(x.place, Place::Graph(_));
        // The batch is the first dimension only if the side that has it is not the shorter one.
        let (ranks, sides) = ((a.dims.len(), b.dims.len()), (batched(a), batched(b)));
        let aligned = match sides {
            (true, true) => ranks.0 == ranks.1,
            (true, false) => ranks.0 >= ranks.1,
            (false, true) => ranks.1 >= ranks.0,
            (false, false) => false,
        };
        if !aligned {
            let got = format!("{:?} and {:?}, with a batch: {sides:?}", a.dims, b.dims);
            return Err(Error::mismatch(op, "operands that broadcast behind the batch", got));
        }
        let (a, b) = (self.name_of(a)?, self.name_of(b)?);
        let y = self.graph().node(op, path, &[&a, &b], vec![])?;
        Ok(self.made(y))
    }
}
