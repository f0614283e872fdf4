//! A network of `nets` on every engine: what it makes and shows, and its gradients.

use super::row::Row;
use anyhow::{Context, Result};
use avdit_export::{ExportOptions, Lowering, WeightMap, export_network};
use avdit_nets::Network;
use avdit_onnx::{Dim, Model, ValueType};
use avdit_runtime::{EngineKind, EngineOptions, Function};
use avdit_trainer::ops::{CandleOps, CandleTensor};
use candle_core::{Device, Tensor, Var};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// The graphs that an engine is given: its own, the portable one, and, on the CPU, those for engines that are not
/// here, which compute the same.
pub(super) fn targets(engine: EngineKind) -> &'static [Lowering] {
    use Lowering::{OrtCpu, OrtCuda, Portable, TensorRt};
    match engine {
        EngineKind::Tract => &[Portable, TensorRt],
        EngineKind::OrtCuda => &[Portable, OrtCuda],
        EngineKind::OrtTensorRt => &[TensorRt],
        _ => &[Portable, OrtCpu, OrtCuda, TensorRt],
    }
}

/// How a row calls an engine that runs the graph of a target: the portable one is what it is given unless told otherwise.
pub(super) fn engine_name(kind: EngineKind, target: Lowering) -> String {
    match target {
        Lowering::Portable => kind.name().to_owned(),
        target => format!("{kind}, for {target}"),
    }
}

/// Values by the names of outputs and taps.
pub(super) type Made = BTreeMap<String, Vec<f32>>;

/// A network with its weights and a batch of inputs, in its order.
pub(super) struct Case<'a, N> {
    pub(super) network: &'a N,
    pub(super) weights: &'a WeightMap,
    pub(super) batch: usize,
    pub(super) inputs: Vec<Vec<f32>>,
}

impl<N: Network> Case<'_, N> {
    /// Rows of what every engine makes; one that fails is a row of its own. Of the engines those count that run such a
    /// graph, which are on the CPU.
    pub(super) fn rows(
        &self,
        file: &str,
        engines: &[EngineKind],
        rows_of: impl Fn(&str, &Made) -> Result<Vec<Row>>,
    ) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut add = |engine: &str, made: Result<Made>| match made.and_then(|made| rows_of(engine, &made)) {
            Ok(found) => rows.extend(found),
            Err(error) => rows.push(Row::failed(file, self.network.name(), engine, &error)),
        };
        for &kind in engines {
            match kind {
                EngineKind::Candle => {
                    add("candle", self.candle(false));
                    add("candle, decomposed", self.candle(true));
                }
                kind if EngineKind::ON_CPU.contains(&kind) => {
                    for &target in targets(kind) {
                        add(&engine_name(kind, target), self.graph(kind, target));
                    }
                }
                _ => {}
            }
        }
        rows
    }

    fn ops<'t>(tensors: &'t HashMap<String, Tensor>, decomposed: bool) -> CandleOps<'t> {
        let ops = CandleOps::new(tensors, &Device::Cpu);
        if decomposed { ops.decomposed() } else { ops }
    }

    fn inputs(&self) -> Result<Vec<CandleTensor>> {
        let input = |((_, dims), x): ((&str, Vec<usize>), &Vec<f32>)| {
            let shape = [&[self.batch], dims.as_slice()].concat();
            Ok(CandleTensor::new(Tensor::from_slice(x, shape, &Device::Cpu)?))
        };
        self.network.inputs().into_iter().zip(&self.inputs).map(input).collect()
    }

    /// What Candle makes, and what the network shows on its way.
    pub(super) fn candle(&self, decomposed: bool) -> Result<Made> {
        let tensors = self.weights.iter().map(|(name, (shape, values))| {
            Ok((name.clone(), Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?))
        });
        let tensors = tensors.collect::<Result<_>>()?;
        let ops = Self::ops(&tensors, decomposed).with_taps();
        let outputs = self.network.run(&ops, &self.inputs()?)?;
        let mut made = Made::new();
        for ((name, _), y) in self.network.outputs().into_iter().zip(outputs) {
            made.insert(name.to_owned(), y.dense()?.flatten_all()?.to_vec1()?);
        }
        for (name, y) in ops.into_taps() {
            made.insert(name, y.flatten_all()?.to_vec1()?);
        }
        Ok(made)
    }

    /// A loss of the outputs on Candle, and the gradients by parameter of those that `trains` says; the others are no
    /// variables.
    pub(super) fn gradients(
        &self,
        decomposed: bool,
        trains: impl Fn(&str) -> bool,
        loss: impl Fn(&[Tensor]) -> Result<Tensor>,
    ) -> Result<(f64, Made)> {
        let (mut tensors, mut vars) = (HashMap::new(), Vec::new());
        for (name, (shape, values)) in self.weights {
            let tensor = Tensor::from_slice(values, shape.as_slice(), &Device::Cpu)?;
            if trains(name) {
                let var = Var::from_tensor(&tensor)?;
                tensors.insert(name.clone(), var.as_tensor().clone());
                vars.push((name, var));
            } else {
                tensors.insert(name.clone(), tensor);
            }
        }
        let outputs = self.network.run(&Self::ops(&tensors, decomposed), &self.inputs()?)?;
        let outputs = outputs.iter().map(CandleTensor::dense).collect::<candle_core::Result<Vec<_>>>()?;
        let loss = loss(&outputs)?;
        let grads = loss.backward()?;
        let mut made = Made::new();
        for (name, var) in vars {
            let grad = grads.get(&var).with_context(|| format!("no gradient of {name}"))?;
            made.insert(name.clone(), grad.flatten_all()?.to_vec1()?);
        }
        Ok((f64::from(loss.to_scalar::<f32>()?), made))
    }

    /// What an engine makes of the exported graph, taps included.
    fn graph(&self, kind: EngineKind, lowering: Lowering) -> Result<Made> {
        let batch = Some(self.batch);
        let options = ExportOptions { taps: true, lowering, batch, ..ExportOptions::default() };
        let model = export_network(self.network, self.weights, &options)?;
        let outputs = outputs(&model)?;
        let with_batch = |(_, dims): (&str, Vec<usize>)| [&[self.batch], dims.as_slice()].concat();
        let shapes = [
            self.network.inputs().into_iter().map(with_batch).collect(),
            outputs.iter().map(|(_, shape)| shape.clone()).collect(),
        ];
        let options = EngineOptions { threads: 1, ..EngineOptions::default() };
        let path = Path::new(self.network.name());
        let function = Function::with_shapes(&model.to_bytes()?, path, shapes, kind, &options)?;
        let inputs: Vec<&[f32]> = self.inputs.iter().map(Vec::as_slice).collect();
        let made = function.run_all(&inputs)?;
        Ok(outputs.into_iter().map(|(name, _)| name).zip(made).collect())
    }
}

/// Names and shapes of a graph's outputs, whose batch is fixed.
fn outputs(model: &Model) -> Result<Vec<(String, Vec<usize>)>> {
    let types = model.infer_shapes()?;
    let output = |name: &str| {
        let ValueType { shape, .. } = types.get(name).with_context(|| format!("no type of {name}"))?;
        let size = |dim: &Dim| match dim {
            Dim::Known(size) => Ok(*size),
            Dim::Symbol(symbol) => anyhow::bail!("{name} has a size {symbol}"),
        };
        Ok((name.to_owned(), shape.iter().map(size).collect::<Result<_>>()?))
    };
    model.graph().output.iter().map(|value| output(value.name())).collect()
}
