//! The operations of a network as nodes of its graph.

use crate::error::{Error, Result};
use crate::lowering::Heads;
use crate::recorder::{Place, Recorder, Value};
use crate::weights;
use avdit_nets::{Ops, Window};
use avdit_onnx::{DataType, attribute, tensor};

fn ints(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&value| value as i64).collect()
}

impl Recorder<'_> {
    /// Groups that do not see each other join the batch for as long as they are attended to.
    fn attention_in_groups(&self, qkv: [&Value; 3]) -> Result<Value> {
        let (groups, tokens) = (qkv[0].dims[0], qkv[0].dims[1]);
        let join = |x: &Value| {
            let name = self.batched(x, "attention")?;
            let mut graph = self.graph();
            let shape = graph.integers(&[vec![-1], ints(&x.dims[1..])].concat())?;
            let joined = graph.node("Reshape", "attn", &[&name, &shape], vec![])?;
            drop(graph);
            Ok::<_, Error>(self.made(joined))
        };
        let [q, k, v] = qkv.map(join);
        let y = self.attention(&q?, &k?, &v?)?;
        let name = self.batched(&y, "attention")?;
        let mut graph = self.graph();
        let shape = graph.integers(&[vec![-1], ints(&[groups, tokens, y.dims[1]])].concat())?;
        let y = graph.node("Reshape", "attn", &[&name, &shape], vec![])?;
        drop(graph);
        Ok(self.made(y))
    }
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
        self.affine_parts(x, name, parts)
    }

    fn matmul(&self, x: &Value, name: &str) -> Result<Value> {
        self.product(x, name)
    }

    fn embedding(&self, labels: &Value, name: &str) -> Result<Value> {
        let weight = format!("{name}.weight");
        let labels = self.batched(labels, name)?;
        let (dims, table) = weights::load(self.weights, &weight)?;
        let path = self.path(name);
        let mut graph = self.graph();
        if graph.value_type(&weight).is_none() {
            graph.initializer(tensor::f32s(&weight, &dims, &table)?)?;
        }
        let to_integers = vec![attribute::int("to", DataType::Int64 as i64)];
        let labels = graph.node("Cast", &path, &[&labels], to_integers)?;
        let y = graph.node("Gather", &path, &[&weight, &labels], vec![attribute::int("axis", 0)])?;
        drop(graph);
        Ok(self.made(y))
    }

    fn conv(&self, x: &Value, name: &str, window: &Window) -> Result<Value> {
        self.convolution(x, name, window)
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

    fn mean(&self, x: &Value, dim: usize) -> Result<Value> {
        if dim >= x.dims.len() {
            return Err(Error::mismatch("mean", format!("a dimension of {:?}", x.dims), dim));
        }
        let name = self.batched(x, "mean")?;
        let mut graph = self.graph();
        let axes = graph.integers(&[dim as i64 + 1])?;
        let y = graph.node("ReduceMean", "", &[&name, &axes], vec![attribute::int("keepdims", 0)])?;
        drop(graph);
        Ok(self.made(y))
    }

    fn cos(&self, x: &Value) -> Result<Value> {
        self.unary("Cos", x)
    }

    fn sin(&self, x: &Value) -> Result<Value> {
        self.unary("Sin", x)
    }

    fn relu(&self, x: &Value) -> Result<Value> {
        self.unary("Relu", x)
    }

    fn silu(&self, x: &Value) -> Result<Value> {
        let y = self.lowering.silu(&mut self.graph(), &self.batched(x, "silu")?)?;
        Ok(self.made(y))
    }

    fn gelu(&self, x: &Value) -> Result<Value> {
        let y = self.lowering.gelu(&mut self.graph(), &self.batched(x, "gelu")?)?;
        Ok(self.made(y))
    }

    fn layer_norm(&self, x: &Value, eps: f64) -> Result<Value> {
        let width = x.dims.last().copied().unwrap_or(1);
        let name = self.batched(x, "layer_norm")?;
        let y = self.lowering.layer_norm(&mut self.graph(), &name, width, eps)?;
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
        let weight_name = format!("{name}.weight");
        if graph.value_type(&weight_name).is_none() {
            graph.initializer(tensor::f32s(&weight_name, &weight.dims, data)?)?;
        }
        let y = self.lowering.rms_norm(&mut graph, &path, [&self.batched(x, name)?, &weight_name], eps)?;
        drop(graph);
        Ok(self.made(y))
    }

    fn attention(&self, q: &Value, k: &Value, v: &Value) -> Result<Value> {
        if q.dims.len() == 4 {
            return self.attention_in_groups([q, k, v]);
        }
        let ([tokens, heads, head_width], [others, _, value_width]) = (&q.dims[..], &v.dims[..]) else {
            return Err(Error::mismatch(
                "q of an attention",
                "(tokens, heads, width), or (groups, tokens, heads, width)",
                format!("{:?}", q.dims),
            ));
        };
        if k.dims != [*others, *heads, *head_width] {
            let expected = format!("{:?}", [others, heads, head_width]);
            return Err(Error::mismatch("k of an attention", expected, format!("{:?}", k.dims)));
        }
        let (tokens, others, heads) = (*tokens, *others, *heads);
        let (head_width, value_width) = (*head_width, *value_width);
        let [q, k, v] = [self.batched(q, "q")?, self.batched(k, "k")?, self.batched(v, "v")?];
        let heads = Heads { q: &q, k: &k, v: &v, tokens, others, heads, head_width, value_width };
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
