//! Kind `lora_adapter`: LoRA as factors and merged, of a layer and of a convolution, and an adapter beside a layer.
//!
//! Of the adapter's activations those are run that networks here can have; GELU by the error function is in none.

use super::golden::Golden;
use super::measure::{of_largest, single};
use super::network::Case;
use super::row::Row;
use anyhow::{Context, Result};
use avdit_export::WeightMap;
use avdit_nets::lora::{lora, merge};
use avdit_nets::{ConvOps, Network, Parameter, Port, Window};
use avdit_runtime::EngineKind;

const MERGE: &str = "nets f64";

/// Every quantity on every engine.
pub(super) fn cases(golden: &Golden, engines: &[EngineKind]) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, found) in [
        ("merge", merges(golden)),
        ("lora", layers(golden, engines)),
        ("conv", convolution(golden, engines)),
        ("adapter", adapters(golden, engines)),
    ] {
        match found {
            Ok(found) => rows.extend(found),
            Err(error) => rows.push(Row::failed(&golden.name, what, "-", &error)),
        }
    }
    rows
}

/// Relative errors in double and single precision.
fn tolerances(golden: &Golden) -> Result<[f64; 2]> {
    Ok([golden.tolerance("rel ")?, golden.tolerance_before(" in float32")?])
}

/// The rank and α/r.
fn lora_of(golden: &Golden) -> Result<(usize, f64)> {
    let rank = golden.json["lora"]["rank"].as_u64().context("lora.rank")?;
    let alpha = golden.json["lora"]["alpha"].as_f64().context("lora.alpha")?;
    Ok((rank as usize, alpha / rank as f64))
}

/// The largest |a − b| over the largest |b|.
fn far(got: &[f64], expected: &[f64]) -> f64 {
    let largest = expected.iter().fold(0.0f64, |max, x| max.max(x.abs()));
    super::scaled(got, expected) * (1.0 + largest) / largest
}

/// W + scale·B·A of both layers, and back.
fn merged(golden: &Golden, layer: &str) -> Result<Vec<f64>> {
    let (rank, scale) = lora_of(golden)?;
    let [w, a, b] = ["W", "A", "B"].map(|name| golden.tensor(&format!("{layer}.{name}")));
    Ok(merge(&w?.data, [&a?.data, &b?.data], rank, scale)?)
}

fn merges(golden: &Golden) -> Result<Vec<Row>> {
    let [double, in_single] = tolerances(golden)?;
    let row = |name: &str, error: f64, tolerance: f64| Row::new(&golden.name, name, MERGE, error, tolerance);
    let expected = |name: &str| Ok::<_, anyhow::Error>(&golden.tensor(name)?.data);
    let whole = merged(golden, "lora")?;
    let (rank, scale) = lora_of(golden)?;
    let back = merge(&whole, [expected("lora.A")?, expected("lora.B")?], rank, -scale)?;
    let rounded: Vec<f64> = whole.iter().map(|&x| f64::from(x as f32)).collect();
    let conv = merged(golden, "conv")?;
    Ok(vec![
        row("lora.W_merged_f64", far(&whole, expected("lora.W_merged_f64")?), double),
        row("lora.W_unmerged_back", far(&back, expected("lora.W_unmerged_back")?), double),
        row("lora.W_merged", far(&rounded, expected("lora.W_merged")?), in_single),
        row("conv.W_merged_f64", far(&conv, expected("conv.W_merged_f64")?), double),
    ])
}

/// Tensors of the file under the names of parameters.
fn weights(golden: &Golden, names: &[(&str, &str)]) -> Result<WeightMap> {
    let named = |(parameter, tensor): &(&str, &str)| {
        let tensor = golden.tensor(tensor)?;
        Ok(((*parameter).to_owned(), (tensor.shape.clone(), single(tensor))))
    };
    names.iter().map(named).collect()
}

/// What a small network makes of tensors of the file, against another one of it.
fn rows_of(
    golden: &Golden,
    small: Small,
    weights: &WeightMap,
    inputs: &[&str],
    expected: &str,
    engines: &[EngineKind],
) -> Result<Vec<Row>> {
    let [_, tolerance] = tolerances(golden)?;
    let batch = golden.tensor(inputs[0])?.shape[0] / small.rows_as_batch;
    let inputs = inputs.iter().map(|name| Ok(single(golden.tensor(name)?))).collect::<Result<_>>()?;
    let expected = (expected, golden.tensor(expected)?);
    let one_example = usize::from(small.rows_as_batch == 1);
    let network = Small { output: expected.1.shape[one_example..].to_vec(), ..small.of(weights) };
    let case = Case { network: &network, weights, batch, inputs };
    Ok(case.rows(&golden.name, engines, |engine, made| {
        let error = of_largest(&made["y"], expected.1);
        Ok(vec![Row::new(&golden.name, expected.0, engine, error, tolerance)])
    }))
}

fn layers(golden: &Golden, engines: &[EngineKind]) -> Result<Vec<Row>> {
    let (_, scale) = lora_of(golden)?;
    let x = golden.tensor("lora.x")?.shape.clone();
    let small = |kind| Small { rows_as_batch: x[0], ..Small::new(kind, vec![("x", x.clone())]) };
    let names = [("W.weight", "lora.W"), ("W.bias", "lora.b"), ("lora.A", "lora.A"), ("lora.B", "lora.B")];
    let factors = weights(golden, &names)?;
    let mut whole = weights(golden, &names[..2])?;
    let values = merged(golden, "lora")?.into_iter().map(|x| x as f32).collect();
    whole.get_mut("W.weight").context("W")?.1 = values;
    let mut rows =
        rows_of(golden, small(Kind::Lora(scale)), &factors, &["lora.x"], "lora.y_unmerged", engines)?;
    rows.extend(rows_of(golden, small(Kind::Layer), &whole, &["lora.x"], "lora.y_merged", engines)?);
    Ok(rows)
}

/// The merged kernel, as the specification says "padding 1".
fn convolution(golden: &Golden, engines: &[EngineKind]) -> Result<Vec<Row>> {
    let text = golden.json["conv"].as_str().context("conv")?;
    let padding = text.rsplit("padding ").next().and_then(|rest| rest.split([')', ' ', ',']).next());
    let padding = padding.context("padding")?.parse().context("padding")?;
    let mut weights = weights(golden, &[("W.weight", "conv.W")])?;
    let values = merged(golden, "conv")?.into_iter().map(|x| x as f32).collect();
    weights.get_mut("W.weight").context("W")?.1 = values;
    let inputs = vec![("x", golden.tensor("conv.x")?.shape[1..].to_vec())];
    let small = Small::new(Kind::Conv(padding), inputs);
    rows_of(golden, small, &weights, &["conv.x"], "conv.y", engines)
}

fn adapters(golden: &Golden, engines: &[EngineKind]) -> Result<Vec<Row>> {
    let scale = golden.json["adapter"]["scale"].as_f64().context("adapter.scale")?;
    let names =
        [("down.weight", "W_down"), ("down.bias", "b_down"), ("up.weight", "W_up"), ("up.bias", "b_up")];
    let names = names.map(|(parameter, tensor)| (parameter, format!("adapter.{tensor}")));
    let names: Vec<_> = names.iter().map(|(parameter, tensor)| (*parameter, tensor.as_str())).collect();
    let weights = weights(golden, &names)?;
    let dims = golden.tensor("adapter.x")?.shape[1..].to_vec();
    let inputs = vec![("x", dims.clone()), ("f", dims)];
    let mut rows = Vec::new();
    for name in golden.tensors.keys() {
        let activation = match name.strip_prefix("adapter.y_") {
            Some("relu") => Activation::Relu,
            Some("silu") => Activation::Silu,
            Some("gelu_tanh") => Activation::Gelu,
            _ => continue,
        };
        let kind = Kind::Adapter(activation, scale);
        let small = Small::new(kind, inputs.clone());
        let from = ["adapter.x", "adapter.F_of_x"];
        rows.extend(rows_of(golden, small, &weights, &from, name, engines)?);
    }
    Ok(rows)
}

#[derive(Clone, Copy)]
enum Activation {
    Relu,
    Silu,
    Gelu,
}

#[derive(Clone, Copy)]
enum Kind {
    Layer,
    Lora(f64),
    Conv(usize),
    Adapter(Activation, f64),
}

/// A layer as a network.
struct Small {
    kind: Kind,
    inputs: Vec<Port>,
    output: Vec<usize>,
    parameters: Vec<Parameter>,
    /// How many of the first axis of an input make one example.
    rows_as_batch: usize,
}

impl Small {
    fn new(kind: Kind, inputs: Vec<Port>) -> Self {
        Self { kind, inputs, output: Vec::new(), parameters: Vec::new(), rows_as_batch: 1 }
    }

    /// With the parameters of some weights.
    fn of(mut self, weights: &WeightMap) -> Self {
        let parameter = |(name, (shape, _)): (&String, &(Vec<usize>, Vec<f32>))| Parameter {
            name: name.clone(),
            shape: shape.clone(),
            init: avdit_nets::Init::Zeros,
        };
        self.parameters = weights.iter().map(parameter).collect();
        self
    }
}

impl Network for Small {
    fn name(&self) -> &'static str {
        "layer"
    }

    fn inputs(&self) -> Vec<Port> {
        self.inputs.clone()
    }

    fn outputs(&self) -> Vec<Port> {
        vec![("y", self.output.clone())]
    }

    fn parameters(&self) -> Vec<Parameter> {
        self.parameters.clone()
    }

    fn run<O: ConvOps>(&self, ops: &O, inputs: &[O::Tensor]) -> Result<Vec<O::Tensor>, O::Error> {
        let x = &inputs[0];
        Ok(vec![match self.kind {
            Kind::Layer => ops.linear(x, "W")?,
            Kind::Lora(scale) => ops.add(&ops.linear(x, "W")?, &lora(ops, x, "lora", scale)?)?,
            Kind::Conv(padding) => ops.conv(x, "W", &Window::new(2).padding(&[(padding, padding); 2]))?,
            Kind::Adapter(activation, scale) => {
                let hidden = ops.linear(x, "down")?;
                let hidden = match activation {
                    Activation::Relu => ops.relu(&hidden),
                    Activation::Silu => ops.silu(&hidden),
                    Activation::Gelu => ops.gelu(&hidden),
                };
                let up = ops.linear(&hidden?, "up")?;
                let scale = ops.constant("adapter_scale", &[], vec![scale as f32])?;
                ops.add(&inputs[1], &ops.mul(&up, &scale)?)?
            }
        }])
    }
}
