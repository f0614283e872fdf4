//! The interpreter of networks that records them as an ONNX graph.

use crate::error::{Error, Result};
use crate::lowering::{Heads, Lowering};
use crate::weights::{self, WeightSource};
use avdit_nets::Ops;
use avdit_onnx::{DataType, Dim, GraphBuilder, attribute, tensor};
use std::cell::{RefCell, RefMut};
use std::rc::Rc;

/// A tensor of the graph under construction.
#[derive(Clone, Debug)]
pub struct Value {
    /// Dimensions after the batch.
    dims: Vec<usize>,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    /// A value of the graph, which has a batch.
    Graph(String),
    /// Numbers that are known, and have no batch; in the graph only where it uses them.
    Fixed { name: String, data: Rc<[f32]> },
}

/// Records every operation as nodes of a graph.
pub struct Recorder<'w> {
    graph: RefCell<GraphBuilder>,
    weights: &'w dyn WeightSource,
    lowering: Lowering,
    batch: Dim,
    taps: RefCell<Vec<(String, String)>>,
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

    fn graph(&self) -> RefMut<'_, GraphBuilder> {
        self.graph.borrow_mut()
    }

    /// A value that has a batch.
    fn batched(&self, x: &Value, what: &str) -> Result<String> {
        match &x.place {
            Place::Graph(name) => Ok(name.clone()),
            Place::Fixed { name, .. } => {
                Err(Error::mismatch(what, "a tensor with a batch", format!("the fixed tensor {name}")))
            }
        }
    }

    /// The value that the graph has computed, with its dimensions from there.
    fn made(&self, name: String) -> Value {
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
    fn path(&self, name: &str) -> String {
        let graph = self.graph();
        let inner = match name.strip_prefix(graph.scope()) {
            Some(rest) => rest.strip_prefix('.').unwrap_or(if rest.is_empty() { rest } else { name }),
            None => name,
        };
        inner.replace('.', "/")
    }

    fn unary(&self, op: &str, x: &Value) -> Result<Value> {
        let name = self.batched(x, op)?;
        let y = self.graph().node(op, "", &[&name], vec![])?;
        Ok(self.made(y))
    }

    fn binary(&self, op: &str, path: &str, a: &Value, b: &Value) -> Result<Value> {
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

    /// `x·Wᵀ + b` with rows `rows` of W and b, whose names in the graph begin with `name`.
    fn affine(&self, x: &str, part: &Affine<'_>) -> Result<Value> {
        let Affine { source, name, inputs, rows, weight, bias } = part;
        let n = rows.len();
        let mut transposed = vec![0u8; inputs * n * 4];
        for (row, values) in weight[rows.start * inputs..rows.end * inputs].chunks_exact(*inputs).enumerate()
        {
            for (column, value) in values.iter().enumerate() {
                let at = (column * n + row) * 4;
                transposed[at..at + 4].copy_from_slice(&value.to_le_bytes());
            }
        }
        let path = self.path(name);
        let mut graph = self.graph();
        let weight_name = format!("{name}.weight");
        let mut weight = tensor::raw(&weight_name, DataType::Float, &[*inputs, n], transposed.into())?;
        let range = format!("rows {}..{} of {source}", rows.start, rows.end);
        weight.doc_string = Some(format!("{range}.weight, transposed"));
        let weight = graph.initializer(weight)?;
        let mut y = graph.node("MatMul", &path, &[x, &weight], vec![])?;
        if let Some(bias) = bias {
            let mut bias = tensor::f32s(&format!("{name}.bias"), &[n], &bias[rows.clone()])?;
            bias.doc_string = Some(format!("{range}.bias"));
            let bias = graph.initializer(bias)?;
            y = graph.node("Add", &path, &[&y, &bias], vec![])?;
        }
        drop(graph);
        Ok(self.made(y))
    }
}

/// Some rows of a linear layer.
struct Affine<'a> {
    /// The layer's name in the checkpoint.
    source: &'a str,
    /// The name of this part in the graph.
    name: String,
    inputs: usize,
    rows: std::ops::Range<usize>,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
}

/// The names of the parts of a layer: `qkv` has `q`, `k` and `v`, others are numbered.
fn part_names(name: &str, parts: usize) -> Vec<String> {
    let (front, last) =
        name.rsplit_once('.').map_or(("", name), |(front, last)| (&name[..=front.len()], last));
    match (parts, last.chars().count()) {
        (1, _) => vec![name.to_owned()],
        (n, letters) if n == letters => last.chars().map(|letter| format!("{front}{letter}")).collect(),
        _ => (0..parts).map(|i| format!("{name}.{i}")).collect(),
    }
}

fn ints(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}

impl Ops for Recorder<'_> {
    type Tensor = Value;
    type Error = Error;

    fn dims(&self, x: &Value) -> Vec<usize> {
        x.dims.clone()
    }

    fn constant(&self, name: &str, dims: &[usize], data: Vec<f32>) -> Result<Value> {
        if data.len() != dims.iter().product::<usize>() {
            return Err(Error::mismatch(format!("constant {name}"), format!("{dims:?}"), data.len()));
        }
        Ok(Value { dims: dims.to_vec(), place: Place::Fixed { name: name.to_owned(), data: data.into() } })
    }

    fn parameter(&self, name: &str) -> Result<Value> {
        let (dims, data) = weights::load(self.weights, name)?;
        Ok(Value { dims, place: Place::Fixed { name: name.to_owned(), data: data.into() } })
    }

    fn linear(&self, x: &Value, name: &str) -> Result<Value> {
        Ok(self.linear_split(x, name, 1)?.remove(0))
    }

    fn linear_split(&self, x: &Value, name: &str, parts: usize) -> Result<Vec<Value>> {
        let input = self.batched(x, name)?;
        let (shape, weight) = weights::load(self.weights, &format!("{name}.weight"))?;
        let inputs = x.dims.last().copied().unwrap_or(1);
        if shape.len() != 2 || shape[1] != inputs || parts == 0 || !shape[0].is_multiple_of(parts) {
            let expected = format!("a multiple of {parts} rows of {inputs}");
            return Err(Error::mismatch(format!("parameter {name}.weight"), expected, format!("{shape:?}")));
        }
        let bias_name = format!("{name}.bias");
        let bias = match self.weights.shape(&bias_name) {
            None => None,
            Some(dims) if dims == shape[..1] => Some(weights::load(self.weights, &bias_name)?.1),
            Some(got) => {
                return Err(Error::ParameterShape { name: bias_name, expected: vec![shape[0]], got });
            }
        };
        let n = shape[0] / parts;
        let part = |(i, part_name)| {
            let (rows, bias) = (i * n..(i + 1) * n, bias.as_deref());
            self.affine(
                &input,
                &Affine { source: name, name: part_name, inputs, rows, weight: &weight, bias },
            )
        };
        part_names(name, parts).into_iter().enumerate().map(part).collect()
    }

    fn reshape(&self, x: &Value, dims: &[usize]) -> Result<Value> {
        let name = self.batched(x, "reshape")?;
        let mut graph = self.graph();
        let shape = graph.integers(&[vec![0], ints(dims)].concat())?;
        let y = graph.node("Reshape", "", &[&name, &shape], vec![])?;
        drop(graph);
        Ok(self.made(y))
    }

    fn permute(&self, x: &Value, order: &[usize]) -> Result<Value> {
        let name = self.batched(x, "permute")?;
        let perm = std::iter::once(0).chain(order.iter().map(|&d| d as i64 + 1)).collect();
        let y = self.graph().node("Transpose", "", &[&name], vec![attribute::ints("perm", perm)])?;
        Ok(self.made(y))
    }

    fn concat(&self, xs: &[&Value], dim: usize) -> Result<Value> {
        let names = xs.iter().map(|x| self.batched(x, "concat")).collect::<Result<Vec<_>>>()?;
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let y = self.graph().node("Concat", "", &names, vec![attribute::int("axis", dim as i64 + 1)])?;
        Ok(self.made(y))
    }

    fn narrow(&self, x: &Value, dim: usize, start: usize, len: usize) -> Result<Value> {
        if x.dims.get(dim).is_none_or(|&size| start + len > size) {
            let got = format!("{start}..{} of dimension {dim}", start + len);
            return Err(Error::mismatch("narrow", format!("a range inside {:?}", x.dims), got));
        }
        match &x.place {
            Place::Fixed { name, data } => {
                let mut dims = x.dims.clone();
                dims[dim] = len;
                let inner: usize = x.dims[dim + 1..].iter().product();
                let rows = data.chunks_exact(x.dims[dim] * inner);
                let data = rows.flat_map(|row| &row[start * inner..(start + len) * inner]).copied().collect();
                let name = format!("{name}.{start}_{}", start + len);
                Ok(Value { dims, place: Place::Fixed { name, data } })
            }
            Place::Graph(name) => {
                let mut graph = self.graph();
                let [start, end, axis] = [start, start + len, dim + 1].map(|i| graph.integers(&[i as i64]));
                let y = graph.node("Slice", "", &[name, &start?, &end?, &axis?], vec![])?;
                drop(graph);
                Ok(self.made(y))
            }
        }
    }

    fn gather_rows(&self, x: &Value, indices: &[usize]) -> Result<Value> {
        let [rows, width] = x.dims[..] else {
            return Err(Error::mismatch("gather_rows", "(rows, width)", format!("{:?}", x.dims)));
        };
        if let Some(index) = indices.iter().find(|&&i| i >= rows) {
            return Err(Error::mismatch("gather_rows", format!("indices below {rows}"), index));
        }
        match &x.place {
            Place::Fixed { name, data } => {
                let data = indices.iter().flat_map(|i| &data[i * width..(i + 1) * width]).copied().collect();
                let dims = vec![indices.len(), width];
                Ok(Value { dims, place: Place::Fixed { name: format!("{name}.rows"), data } })
            }
            Place::Graph(name) => {
                let mut graph = self.graph();
                let indices = graph.integers(&ints(indices))?;
                let y = graph.node("Gather", "", &[name, &indices], vec![attribute::int("axis", 1)])?;
                drop(graph);
                Ok(self.made(y))
            }
        }
    }

    fn add(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary("Add", "", a, b)
    }

    fn mul(&self, a: &Value, b: &Value) -> Result<Value> {
        self.binary("Mul", "", a, b)
    }

    fn cos(&self, x: &Value) -> Result<Value> {
        self.unary("Cos", x)
    }

    fn sin(&self, x: &Value) -> Result<Value> {
        self.unary("Sin", x)
    }

    fn silu(&self, x: &Value) -> Result<Value> {
        let y = self.lowering.silu(&mut self.graph(), &self.batched(x, "silu")?)?;
        Ok(self.made(y))
    }

    fn gelu(&self, x: &Value) -> Result<Value> {
        let y = self.lowering.gelu(&mut self.graph(), &self.batched(x, "gelu")?)?;
        Ok(self.made(y))
    }

    fn modulate(&self, x: &Value, shift: &Value, scale: &Value, eps: f64) -> Result<Value> {
        let width = x.dims.last().copied().unwrap_or(1);
        let (x, shift, scale) =
            (self.batched(x, "modulate")?, self.batched(shift, "shift")?, self.batched(scale, "scale")?);
        let y = self.lowering.modulate(&mut self.graph(), [&x, &shift, &scale], width, eps)?;
        Ok(self.made(y))
    }

    fn gate_add(&self, x: &Value, gate: &Value, y: &Value) -> Result<Value> {
        let y = self.binary("Mul", "gate", y, gate)?;
        self.binary("Add", "residual", x, &y)
    }

    fn rms_norm(&self, x: &Value, name: &str, eps: f64) -> Result<Value> {
        let weight = self.parameter(&format!("{name}.weight"))?;
        if weight.dims != x.dims[x.dims.len() - 1..] {
            let expected = x.dims[x.dims.len() - 1..].to_vec();
            return Err(Error::ParameterShape { name: format!("{name}.weight"), expected, got: weight.dims });
        }
        let Place::Fixed { data, .. } = &weight.place else { unreachable!("a parameter is fixed") };
        let path = self.path(name);
        let mut graph = self.graph();
        let weight = graph.initializer(tensor::f32s(&format!("{name}.weight"), &weight.dims, data)?)?;
        let y = self.lowering.rms_norm(&mut graph, &path, [&self.batched(x, name)?, &weight], eps)?;
        drop(graph);
        Ok(self.made(y))
    }

    fn attention(&self, q: &Value, k: &Value, v: &Value) -> Result<Value> {
        let [tokens, heads, head_width] = q.dims[..] else {
            return Err(Error::mismatch(
                "q of an attention",
                "(tokens, heads, width)",
                format!("{:?}", q.dims),
            ));
        };
        let [q, k, v] = [self.batched(q, "q")?, self.batched(k, "k")?, self.batched(v, "v")?];
        let heads = Heads { q: &q, k: &k, v: &v, tokens, heads, head_width };
        let y = self.lowering.attention(&mut self.graph(), &heads)?;
        Ok(self.made(y))
    }

    fn scope(&self, name: &str) {
        self.graph().set_scope(name);
    }

    fn tap(&self, name: &str, x: &Value) {
        if let Place::Graph(value) = &x.place {
            self.taps.borrow_mut().push((name.to_owned(), value.clone()));
        }
    }
}
