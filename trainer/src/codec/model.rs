//! The autoencoder of one modality with its trainable parameters.

use crate::error::{Error, Result};
use crate::model::Weights;
use crate::ops::{CandleOps, CandleTensor};
use crate::optimizer::Trainable;
use avdit_core::Modality;
use avdit_nets::codec::Part;
use avdit_nets::{AutoencoderConfig, Parameter};
use candle_core::{Device, Tensor, Var};
use std::collections::HashMap;

/// The encoder and the decoder of a modality, on the CPU.
pub struct Autoencoder {
    config: AutoencoderConfig,
    modality: Modality,
    names: Vec<String>,
    vars: Vec<Var>,
    tensors: HashMap<String, Tensor>,
}

/// The parameters of a modality, in the network's order.
pub(super) fn parameters(config: &AutoencoderConfig, modality: Modality) -> Vec<Parameter> {
    match modality {
        Modality::Video => config.video.parameters(),
        Modality::Audio => config.audio.parameters(),
    }
}

impl Autoencoder {
    /// With its initial parameters under a seed.
    ///
    /// # Errors
    /// If Candle fails.
    pub fn new(config: &AutoencoderConfig, modality: Modality, seed: u64) -> Result<Self> {
        // Numbered through all of the codec, so that no two parameters begin alike.
        let all = config.parameters();
        let own = parameters(config, modality);
        let first = all.iter().position(|parameter| parameter.name == own[0].name).unwrap_or(0);
        let initial = own.iter().enumerate().map(|(i, p)| (p.name.clone(), p.initial(seed, first + i)));
        Self::with_weights(config, modality, &initial.collect())
    }

    /// With the given parameters; others among the weights are not heeded.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first one that is missing or of another size.
    pub fn with_weights(config: &AutoencoderConfig, modality: Modality, weights: &Weights) -> Result<Self> {
        let (mut names, mut vars, mut tensors) = (Vec::new(), Vec::new(), HashMap::new());
        for parameter in parameters(config, modality) {
            let missing = || Error::Parameter { name: parameter.name.clone(), what: "missing".into() };
            let values = weights.get(&parameter.name).ok_or_else(missing)?;
            crate::network::check_len(&parameter, values.len())?;
            let var = Var::from_slice(values, parameter.shape.as_slice(), &Device::Cpu)?;
            tensors.insert(parameter.name.clone(), var.as_tensor().clone());
            names.push(parameter.name);
            vars.push(var);
        }
        Ok(Self { config: config.clone(), modality, names, vars, tensors })
    }

    /// Latents of a batch: pictures (B, F, 3, H, W) → (B, F', C, H', W'), or sound (B, samples) → (B, A, Ca).
    ///
    /// # Errors
    /// If the shape is wrong or Candle fails.
    pub fn encode(&self, x: &Tensor) -> Result<Tensor> {
        self.run(self.parts().0, x)
    }

    /// The way back.
    ///
    /// # Errors
    /// If the shape is wrong or Candle fails.
    pub fn decode(&self, z: &Tensor) -> Result<Tensor> {
        self.run(self.parts().1, z)
    }

    /// The encoder and the decoder.
    pub(super) fn parts(&self) -> (Part, Part) {
        match self.modality {
            Modality::Video => (Part::VideoEncoder, Part::VideoDecoder),
            Modality::Audio => (Part::AudioEncoder, Part::AudioDecoder),
        }
    }

    fn run(&self, part: Part, x: &Tensor) -> Result<Tensor> {
        let ops = CandleOps::new(&self.tensors, &Device::Cpu);
        Ok(part.run(&ops, &self.config, &CandleTensor::new(x.clone()))?.dense()?)
    }

    /// The values of one example as a batch of one for `part`.
    pub(super) fn tensor(&self, part: Part, values: Vec<f32>) -> Result<Tensor> {
        let dims = [&[1], part.input(&self.config).as_slice()].concat();
        Ok(Tensor::from_vec(values, dims, &Device::Cpu)?)
    }
}

impl Trainable for Autoencoder {
    fn variables(&self) -> Vec<(&str, &Var)> {
        self.names.iter().map(String::as_str).zip(&self.vars).collect()
    }
}
