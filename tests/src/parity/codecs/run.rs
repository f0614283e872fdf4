//! A network of one input and one output on everything that runs it.

use super::single;
use crate::parity::Tensor;
use anyhow::{Context, Result};
use avdit_export::{ExportOptions, Lowering, evaluate_network, export_network};
use avdit_nets::Network;
use avdit_nets::weight_norm::Tensors;
use avdit_runtime::{EngineKind, EngineOptions, Function};
use avdit_trainer::ops::{CandleOps, CandleTensor};
use candle_core::{Device, Tensor as Candle};
use std::collections::HashMap;
use std::path::Path;

/// What each engine made of a batch, by the engine's name.
pub(super) type Made = Vec<(String, Result<Vec<f32>>)>;

/// Runs a batch on the engines that apply: Candle with its own operations and with the decomposed ones, the evaluator in
/// double precision, the portable graph and the one for each engine.
pub(super) fn on_all(network: &impl Network, weights: &Tensors, x: &Tensor, engines: &[EngineKind]) -> Made {
    let mut made = Made::new();
    for &kind in engines {
        match kind {
            EngineKind::Candle => {
                for (name, decomposed) in [("candle", false), ("candle, decomposed", true)] {
                    made.push((
                        name.to_owned(),
                        on_candle(network, weights, x, decomposed).map(|made| made.0),
                    ));
                }
                made.push(("export f64".to_owned(), evaluated(network, weights, x)));
            }
            EngineKind::Tract => made.push((kind.to_string(), exported(network, weights, x, kind, None))),
            EngineKind::OrtCpu => {
                made.push((kind.to_string(), exported(network, weights, x, kind, None)));
                let target = Lowering::OrtCpu;
                let name = format!("{kind}, for {target}");
                made.push((name, exported(network, weights, x, kind, Some(target))));
            }
            // Graphs of one input and one output run on the CPU.
            _ => {}
        }
    }
    made
}

/// What the network shows of the first example, by name.
pub(super) type Taps = Vec<(String, Vec<f32>)>;

/// The output on Candle, and the taps.
pub(super) fn on_candle(
    network: &impl Network,
    weights: &Tensors,
    x: &Tensor,
    decomposed: bool,
) -> Result<(Vec<f32>, Taps)> {
    let tensor = |(name, (shape, data)): (&String, &(Vec<usize>, Vec<f32>))| -> Result<_> {
        Ok((name.clone(), Candle::from_slice(data, shape.as_slice(), &Device::Cpu)?))
    };
    let tensors = weights.iter().map(tensor).collect::<Result<HashMap<_, _>>>()?;
    let ops = CandleOps::new(&tensors, &Device::Cpu).with_taps();
    let ops = if decomposed { ops.decomposed() } else { ops };
    let x = Candle::from_vec(single(&x.data), x.shape.as_slice(), &Device::Cpu)?;
    let y = network.run(&ops, &[CandleTensor::new(x)])?[0].dense()?.flatten_all()?.to_vec1()?;
    let first =
        |(name, x): (String, Candle)| -> Result<_> { Ok((name, x.get(0)?.flatten_all()?.to_vec1()?)) };
    Ok((y, ops.into_taps().into_iter().map(first).collect::<Result<_>>()?))
}

fn evaluated(network: &impl Network, weights: &Tensors, x: &Tensor) -> Result<Vec<f32>> {
    let mut made = Vec::new();
    for i in 0..x.shape[0] {
        made.extend(single(&evaluate_network(network, weights, &[&single(x.part(i)?)])?[0]));
    }
    Ok(made)
}

/// The graph for a target on an engine, example by example.
fn exported(
    network: &impl Network,
    weights: &Tensors,
    x: &Tensor,
    kind: EngineKind,
    target: Option<Lowering>,
) -> Result<Vec<f32>> {
    let export = ExportOptions { lowering: target.unwrap_or_default(), ..ExportOptions::default() };
    let bytes = export_network(network, weights, &export)?.to_bytes()?;
    let options = EngineOptions { threads: 1, ..EngineOptions::default() };
    let (input, output) = (&network.inputs()[0].1, &network.outputs()[0].1);
    let path = Path::new(network.name());
    let function = Function::open(&bytes, path, [input, output], kind, &options)?;
    let mut made = Vec::new();
    for i in 0..x.shape[0] {
        made.extend(function.run(&single(x.part(i)?)).with_context(|| format!("example {i}"))?);
    }
    Ok(made)
}
