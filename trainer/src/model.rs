//! A network with its trainable parameters on a Candle device.

use crate::error::{Error, Result};
use crate::objective::NoisyBatch;
use crate::ops::{CandleOps, CandleTensor};
use avdit_core::{Latents, Layout, Levels, Modality};
use avdit_nets::avdit::{AvditConfig, AvditInputs, avdit};
use candle_core::backprop::GradStore;
use candle_core::{Device, Tensor, Var};
use std::collections::{BTreeMap, HashMap};

/// Values by parameter name.
pub type Weights = BTreeMap<String, Vec<f32>>;

/// An AVDiT whose parameters are variables, in the network's order.
pub struct Model {
    config: AvditConfig,
    layout: Layout,
    device: Device,
    names: Vec<String>,
    vars: Vec<Var>,
    tensors: HashMap<String, Tensor>,
}

/// The loss of a batch and its two terms.
pub struct Loss {
    /// Their sum, to differentiate.
    pub total: Tensor,
    /// The video term.
    pub video: Tensor,
    /// The audio term.
    pub audio: Tensor,
}

impl Model {
    /// With its initial parameters under a seed.
    ///
    /// # Errors
    /// If the configuration is unsound or Candle fails.
    pub fn new(config: &AvditConfig, seed: u64, device: &Device) -> Result<Self> {
        let initial = config
            .parameters()
            .iter()
            .enumerate()
            .map(|(i, p)| (p.name.clone(), p.initial(seed, i)))
            .collect();
        Self::with_weights(config, &initial, device)
    }

    /// With the given parameters.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first one that is missing, left over or of another size.
    pub fn with_weights(config: &AvditConfig, weights: &Weights, device: &Device) -> Result<Self> {
        config.check()?;
        let list = config.parameters();
        if let Some(name) = weights.keys().find(|name| !list.iter().any(|p| &p.name == *name)) {
            return Err(Error::Parameter {
                name: name.clone(),
                what: "the network has no such parameter".into(),
            });
        }
        let mut model = Self {
            config: config.clone(),
            layout: config.layout(),
            device: device.clone(),
            names: Vec::new(),
            vars: Vec::new(),
            tensors: HashMap::new(),
        };
        for parameter in list {
            let fail = |what: String| Error::Parameter { name: parameter.name.clone(), what };
            let values =
                weights.get(&parameter.name).ok_or_else(|| fail("missing from the checkpoint".into()))?;
            if values.len() != parameter.len() {
                let shape = &parameter.shape;
                return Err(fail(format!(
                    "checkpoint has {} values, network expects {shape:?}",
                    values.len()
                )));
            }
            let var = Var::from_tensor(&Tensor::from_slice(values, parameter.shape.as_slice(), device)?)?;
            model.tensors.insert(parameter.name.clone(), var.as_tensor().clone());
            model.names.push(parameter.name);
            model.vars.push(var);
        }
        Ok(model)
    }

    /// Its configuration.
    pub fn config(&self) -> &AvditConfig {
        &self.config
    }

    /// Names and variables, in the network's order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.names.iter().map(String::as_str).zip(&self.vars)
    }

    /// The current values.
    ///
    /// # Errors
    /// If Candle cannot read a tensor.
    pub fn weights(&self) -> Result<Weights> {
        self.parameters().map(|(name, var)| Ok((name.to_owned(), var.flatten_all()?.to_vec1()?))).collect()
    }

    fn tensor(&self, modality: Modality, latents: &Latents) -> Result<Tensor> {
        let shape = self.layout.shape(modality, latents.batch);
        Ok(Tensor::from_slice(latents.get(modality), shape, &self.device)?)
    }

    fn inputs(&self, noisy: &Latents, levels: &Levels) -> Result<AvditInputs<CandleTensor>> {
        let levels = |modality| -> Result<CandleTensor> {
            let shape = (noisy.batch, self.layout.segments());
            Ok(CandleTensor::new(Tensor::from_slice(levels.get(modality), shape, &self.device)?))
        };
        Ok(AvditInputs {
            video: CandleTensor::new(self.tensor(Modality::Video, noisy)?),
            audio: CandleTensor::new(self.tensor(Modality::Audio, noisy)?),
            video_levels: levels(Modality::Video)?,
            audio_levels: levels(Modality::Audio)?,
        })
    }

    /// Predictions `(video, audio)`, differentiable.
    ///
    /// # Errors
    /// If a shape is wrong or Candle fails.
    pub fn forward(&self, noisy: &Latents, levels: &Levels) -> Result<(Tensor, Tensor)> {
        self.run(&CandleOps::new(&self.tensors, &self.device), noisy, levels)
    }

    /// Predictions with every intermediate result that the network shows, by name.
    ///
    /// # Errors
    /// As [`Model::forward`].
    #[allow(clippy::type_complexity)]
    pub fn forward_with_taps(
        &self,
        noisy: &Latents,
        levels: &Levels,
    ) -> Result<((Tensor, Tensor), Vec<(String, Tensor)>)> {
        let ops = CandleOps::new(&self.tensors, &self.device).with_taps();
        let outputs = self.run(&ops, noisy, levels)?;
        Ok((outputs, ops.into_taps()))
    }

    fn run(&self, ops: &CandleOps<'_>, noisy: &Latents, levels: &Levels) -> Result<(Tensor, Tensor)> {
        noisy.check(&self.layout)?;
        levels.check(&self.layout, noisy.batch)?;
        let (video, audio) = avdit(ops, &self.config, &self.inputs(noisy, levels)?)?;
        Ok((video.dense()?, audio.dense()?))
    }

    /// The loss of a noisy batch.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn loss(&self, batch: &NoisyBatch) -> Result<Loss> {
        let (video, audio) = self.forward(&batch.noisy, &batch.levels)?;
        let term = |prediction: Tensor, modality| -> Result<Tensor> {
            let error = (prediction - self.tensor(modality, &batch.target)?)?;
            Ok((error * self.tensor(modality, &batch.weight)?)?.sqr()?.sum_all()?)
        };
        let (video, audio) = (term(video, Modality::Video)?, term(audio, Modality::Audio)?);
        Ok(Loss { total: (&video + &audio)?, video, audio })
    }

    /// Checks that a backward pass reached every parameter.
    ///
    /// # Errors
    /// [`Error::NoGradient`] naming those that it did not reach.
    pub fn check_gradients(&self, grads: &GradStore) -> Result<()> {
        let missing: Vec<&str> = self
            .parameters()
            .filter(|(_, var)| grads.get(var.as_tensor()).is_none())
            .map(|(name, _)| name)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::NoGradient { count: missing.len(), total: self.names.len(), names: missing.join(", ") })
    }
}
