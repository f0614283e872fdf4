//! An imported network on Candle, to compare graphs with.

use crate::error::{Error, Result};
use crate::ops::{CandleOps, CandleTensor};
use crate::weight_file::WeightFile;
use avdit_nets::Network;
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// What a network makes of one example on the CPU. `inputs` are in the order of [`Network::inputs`], without a batch.
///
/// # Errors
/// [`Error::Shape`] if an input is missing or of another size, a parameter's own error, or Candle's.
pub fn run_network(network: &impl Network, weights: &WeightFile, inputs: &[&[f32]]) -> Result<Vec<Vec<f32>>> {
    let device = Device::Cpu;
    let declared = network.inputs();
    if declared.len() != inputs.len() {
        let (name, expected, got) = (network.name(), declared.len(), inputs.len());
        return Err(Error::Shape(format!("{name} takes {expected} inputs, {got} were given")));
    }
    let mut given = Vec::new();
    for ((name, dims), x) in declared.iter().zip(inputs) {
        if x.len() != dims.iter().product::<usize>() {
            return Err(Error::Shape(format!("{name} of {dims:?}, {} values were given", x.len())));
        }
        given.push(CandleTensor::new(Tensor::from_slice(x, [&[1], dims.as_slice()].concat(), &device)?));
    }
    let tensor = |parameter: avdit_nets::Parameter| -> Result<_> {
        let values = weights.load(&parameter.name)?;
        Ok((parameter.name, Tensor::from_vec(values, parameter.shape, &device)?))
    };
    let tensors = network.parameters().into_iter().map(tensor).collect::<Result<HashMap<_, _>>>()?;
    let made = network.run(&CandleOps::new(&tensors, &device), &given)?;
    made.iter().map(|y| Ok(y.dense()?.flatten_all()?.to_vec1()?)).collect()
}
