//! A network with its trainable parameters on a Candle device: the loss and its gradients.

use crate::error::{Error, Result};
use crate::network::{self, Network};
use crate::objective::NoisyBatch;
use crate::optimizer::Trainable;
use avdit_core::{Latents, Levels, Modality};
use avdit_nets::avdit::AvditConfig;
use candle_core::{Device, Tensor, Var};
use rayon::prelude::*;
use std::collections::BTreeMap;

/// Values by parameter name.
pub type Weights = BTreeMap<String, Vec<f32>>;

/// An AVDiT whose parameters are variables, in the network's order.
pub struct Model {
    network: Network,
    names: Vec<String>,
    vars: Vec<Var>,
}

/// The loss of a batch and its two terms.
pub struct Loss {
    /// Their sum, to differentiate.
    pub total: Tensor,
    /// The video term.
    pub video: Tensor,
    /// The audio term.
    pub audio: Tensor,
    /// The sum of squared errors of each cell without any weight, `(B, 2N)` in cell order.
    pub cells: Vec<f64>,
}

/// The values of the two terms of a loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LossValues {
    /// The video term.
    pub video: f64,
    /// The audio term.
    pub audio: f64,
    /// The sum of squared errors of each cell without any weight, `(B, 2N)` in cell order.
    pub cells: Vec<f64>,
}

impl LossValues {
    /// Their sum.
    pub fn total(&self) -> f64 {
        self.video + self.audio
    }
}

/// Gradients in the order of [`Model::parameters`]; `None` where the backward pass did not come.
pub struct Gradients(Vec<Option<Tensor>>);

impl Gradients {
    /// One entry for each parameter.
    pub fn iter(&self) -> impl Iterator<Item = Option<&Tensor>> {
        self.0.iter().map(Option::as_ref)
    }
}

impl From<Vec<Option<Tensor>>> for Gradients {
    fn from(gradients: Vec<Option<Tensor>>) -> Self {
        Self(gradients)
    }
}

impl Trainable for Model {
    fn variables(&self) -> Vec<(&str, &Var)> {
        self.parameters().collect()
    }
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
        let list = config.parameters();
        if let Some(name) = weights.keys().find(|name| !list.iter().any(|p| &p.name == *name)) {
            return Err(Error::Parameter {
                name: name.clone(),
                what: "the network has no such parameter".into(),
            });
        }
        let (mut names, mut vars) = (Vec::new(), Vec::new());
        let network = Network::build(config, device, |parameter| {
            let missing = || Error::Parameter {
                name: parameter.name.clone(),
                what: "missing from the checkpoint".into(),
            };
            let values = weights.get(&parameter.name).ok_or_else(missing)?;
            network::check_len(parameter, values.len())?;
            let var = Var::from_slice(values, parameter.shape.as_slice(), device)?;
            let tensor = var.as_tensor().clone();
            names.push(parameter.name.clone());
            vars.push(var);
            Ok(tensor)
        })?;
        Ok(Self { network, names, vars })
    }

    /// Its configuration.
    pub fn config(&self) -> &AvditConfig {
        self.network.config()
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

    /// Predictions `(video, audio)`, differentiable.
    ///
    /// # Shapes
    /// `noisy`, predictions: `(B, F, C, H, W)` and `(B, A, Ca)`; `levels`: `(B, N)` per modality, 0…T.
    /// # Errors
    /// If a shape is wrong or Candle fails.
    pub fn forward(&self, noisy: &Latents, levels: &Levels) -> Result<(Tensor, Tensor)> {
        self.network.forward(noisy, levels)
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
        self.network.forward_with_taps(noisy, levels)
    }

    /// The loss of a noisy batch.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn loss(&self, batch: &NoisyBatch) -> Result<Loss> {
        let (video, audio) = self.forward(&batch.noisy, &batch.levels)?;
        let (layout, segments) = (self.network.layout(), self.network.layout().segments());
        let mut cells = vec![0.0; batch.noisy.batch * 2 * segments];
        let mut term = |prediction: Tensor, modality: Modality| -> Result<Tensor> {
            let error = (prediction - self.network.tensor(modality, &batch.target)?)?;
            let values: Vec<f32> = error.detach().flatten_all()?.to_vec1()?;
            for (item, row) in cells.chunks_mut(2 * segments).enumerate() {
                let row = &mut row[modality as usize * segments..][..segments];
                let start = item * layout.len(modality);
                for (cell, range) in row.iter_mut().zip(layout.segment_ranges(modality)) {
                    let values = &values[start + range.start..start + range.end];
                    *cell = values.iter().map(|&error| f64::from(error).powi(2)).sum();
                }
            }
            Ok((error * self.network.tensor(modality, &batch.weight)?)?.sqr()?.sum_all()?)
        };
        let (video, audio) = (term(video, Modality::Video)?, term(audio, Modality::Audio)?);
        Ok(Loss { total: (&video + &audio)?, video, audio, cells })
    }

    /// The loss of a batch and its gradients, in chunks of at most `chunk` examples that run side by side.
    ///
    /// As many chunks as there are threads are in memory at once, whatever the batch. The sums are taken in the order
    /// of the chunks, so that the bits depend on `chunk` and not on the number of threads.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn gradients(&self, batch: &NoisyBatch, chunk: usize) -> Result<(LossValues, Gradients)> {
        let mut sum = Gradients(vec![None; self.vars.len()]);
        let mut loss = LossValues::default();
        let add = |(sum, part): (&mut Option<Tensor>, Option<Tensor>)| -> Result<()> {
            *sum = match (sum.take(), part) {
                (Some(a), Some(b)) => Some((a + b)?),
                (a, b) => a.or(b),
            };
            Ok(())
        };
        for group in batch.chunks(self.network.layout(), chunk).chunks(rayon::current_num_threads()) {
            let parts: Vec<(LossValues, Gradients)> =
                group.par_iter().map(|part| self.chunk_gradients(part)).collect::<Result<_>>()?;
            for (part_loss, part) in parts {
                loss.video += part_loss.video;
                loss.audio += part_loss.audio;
                loss.cells.extend(part_loss.cells);
                sum.0.par_iter_mut().zip(part.0).try_for_each(add)?;
            }
        }
        Ok((loss, sum))
    }

    fn chunk_gradients(&self, batch: &NoisyBatch) -> Result<(LossValues, Gradients)> {
        let loss = self.loss(batch)?;
        let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        let values = LossValues { video: value(&loss.video)?, audio: value(&loss.audio)?, cells: loss.cells };
        let mut store = loss.total.backward()?;
        // Candle's gradients hold on to the graph that made them.
        let own = self.vars.iter().map(|var| store.remove(var.as_tensor()).map(|grad| grad.detach()));
        Ok((values, Gradients(own.collect())))
    }

    /// The norm of each parameter's gradient, in the network's order; `None` where the backward pass did not come.
    ///
    /// # Errors
    /// If Candle fails.
    pub fn gradient_norms(&self, gradients: &Gradients) -> Result<Vec<Option<f64>>> {
        let norm = |grad: &Tensor| Ok(f64::from(grad.sqr()?.sum_all()?.to_scalar::<f32>()?).sqrt());
        gradients.iter().map(|grad| grad.map(norm).transpose()).collect()
    }

    /// Checks that a backward pass reached every parameter.
    ///
    /// # Errors
    /// [`Error::NoGradient`] naming those that it did not reach.
    pub fn check_gradients(&self, gradients: &Gradients) -> Result<()> {
        let unreached = self.names.iter().zip(&gradients.0).filter(|(_, grad)| grad.is_none());
        let missing: Vec<&str> = unreached.map(|(name, _)| name.as_str()).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(Error::NoGradient { count: missing.len(), total: self.names.len(), names: missing.join(", ") })
    }
}
