//! A network with its trainable parameters on a Candle device: the loss and its gradients.

use crate::error::{Error, Result};
use crate::network::{self, Network};
use crate::objective::NoisyBatch;
use avdit_core::{Latents, Levels, Modality};
use avdit_nets::avdit::AvditConfig;
use crate::tape::{Parameters, Stock, Tape, TapeOptions, TapeTensor};
use candle_core::{CpuStorage, Device, Storage, Tensor, Var};
use rayon::prelude::*;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Values by parameter name.
pub type Weights = BTreeMap<String, Vec<f32>>;

/// An AVDiT whose parameters are variables, in the network's order.
pub struct Model {
    network: Network,
    names: Vec<String>,
    vars: Vec<Var>,
    engine: Engine,
    /// Memory that a chunk has used, for the next one.
    stocks: Mutex<Vec<Stock>>,
}

/// What computes gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Engine {
    /// Our own, on the CPU.
    Tape,
    /// Candle's operations and its differentiation, on any device.
    Candle,
}

/// How gradients are computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GradientOptions {
    /// Examples that go through the network at once: memory grows with it.
    pub chunk: usize,
    /// Keep only the input of each block and compute the block once more on the way back: less memory, more time, the
    /// same bits.
    pub checkpoint: bool,
}

impl GradientOptions {
    /// In chunks of at most so many examples, keeping what the way back needs.
    pub fn chunks_of(chunk: usize) -> Self {
        Self { chunk, checkpoint: false }
    }
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

/// The values of the two terms of a loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct LossValues {
    /// The video term.
    pub video: f64,
    /// The audio term.
    pub audio: f64,
}

impl LossValues {
    /// Their sum.
    pub fn total(self) -> f64 {
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
        let engine = if device.is_cpu() { Engine::Tape } else { Engine::Candle };
        Ok(Self { network, names, vars, engine, stocks: Mutex::default() })
    }

    /// Computes gradients from Candle's own operations, as other devices do: a reference, several times slower.
    #[must_use]
    pub fn decomposed(mut self) -> Self {
        self.engine = Engine::Candle;
        self.network = self.network.decomposed();
        self
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
        let term = |prediction: Tensor, modality| -> Result<Tensor> {
            let error = (prediction - self.network.tensor(modality, &batch.target)?)?;
            Ok((error * self.network.tensor(modality, &batch.weight)?)?.sqr()?.sum_all()?)
        };
        let (video, audio) = (term(video, Modality::Video)?, term(audio, Modality::Audio)?);
        Ok(Loss { total: (&video + &audio)?, video, audio })
    }

    /// The loss of a batch and its gradients.
    ///
    /// Chunks run side by side, as many as there are threads; where there are fewer chunks than threads, operations
    /// spread over them instead. The sums are taken in the order of the chunks, so that the bits depend on
    /// [`GradientOptions::chunk`] and not on the number of threads.
    ///
    /// # Memory
    /// The activations of `min(threads, chunks)` chunks and as many sets of gradients, and one set more where there
    /// are several chunks, whatever the batch. What a chunk used is kept for the next one.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn gradients(&self, batch: &NoisyBatch, how: &GradientOptions) -> Result<(LossValues, Gradients)> {
        let chunks = batch.chunks(self.network.layout(), how.chunk);
        match self.engine {
            Engine::Tape => self.tape_gradients(&chunks, how),
            Engine::Candle => self.candle_gradients(&chunks, how),
        }
    }

    fn tape_gradients(&self, chunks: &[NoisyBatch], how: &GradientOptions) -> Result<(LossValues, Gradients)> {
        let storages: Vec<_> = self.vars.iter().map(|var| var.as_tensor().storage_and_layout()).collect();
        let mut values = Vec::new();
        for ((storage, layout), var) in storages.iter().zip(&self.vars) {
            values.push((var.dims(), parameter_values(storage, layout)?));
        }
        let list = self.names.iter().zip(values).map(|(name, (shape, values))| (name.as_str(), shape, values));
        let parameters = Parameters::new(list);
        let threads = rayon::current_num_threads();
        let (mut loss, mut sum) = (LossValues::default(), vec![None; self.vars.len()]);
        for group in chunks.chunks(threads) {
            let options = TapeOptions { checkpoint: how.checkpoint, spread: group.len() < threads };
            let parts: Vec<_> =
                group.par_iter().map(|part| self.tape_chunk(&parameters, part, options)).collect::<Result<_>>()?;
            for (part_loss, part) in parts {
                loss.video += part_loss.video;
                loss.audio += part_loss.audio;
                let used: Vec<Option<Vec<f32>>> =
                    sum.par_iter_mut().zip(part).map(|(sum, part)| add(sum, part)).collect();
                self.with_stock(|stock| used.into_iter().flatten().for_each(|values| stock.put(values)));
            }
        }
        let tensor = |(values, var): (Option<Vec<f32>>, &Var)| -> Result<Option<Tensor>> {
            Ok(values.map(|values| Tensor::from_vec(values, var.shape(), &Device::Cpu)).transpose()?)
        };
        let gradients = sum.into_iter().zip(&self.vars).map(tensor).collect::<Result<_>>()?;
        Ok((loss, Gradients(gradients)))
    }

    fn tape_chunk(
        &self,
        parameters: &Parameters<'_>,
        batch: &NoisyBatch,
        options: TapeOptions,
    ) -> Result<(LossValues, Vec<Option<Vec<f32>>>)> {
        let stock = self.stocks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default();
        let tape = Tape::new(parameters, options, stock);
        let (video, audio) = self.network.run_on_tape(&tape, &batch.noisy, &batch.levels)?;
        let term = |prediction: &TapeTensor, modality| {
            tape.loss(prediction, batch.target.get(modality), batch.weight.get(modality))
        };
        let loss = LossValues { video: term(&video, Modality::Video)?, audio: term(&audio, Modality::Audio)? };
        drop((video, audio));
        let (gradients, stock) = tape.backward()?;
        self.stocks.lock().unwrap_or_else(PoisonError::into_inner).push(stock);
        Ok((loss, gradients))
    }

    /// Lends a stock of memory.
    fn with_stock(&self, f: impl FnOnce(&mut Stock)) {
        let mut stocks = self.stocks.lock().unwrap_or_else(PoisonError::into_inner);
        if stocks.is_empty() {
            stocks.push(Stock::default());
        }
        // The one that waited longest, which the next chunk of this place takes.
        if let Some(stock) = stocks.first_mut() {
            f(stock);
        }
    }

    fn candle_gradients(&self, chunks: &[NoisyBatch], how: &GradientOptions) -> Result<(LossValues, Gradients)> {
        if how.checkpoint {
            return Err(Error::Config(
                "run.gradient_checkpointing needs run.device = \"cpu\" and run.precision = \"f32\"".into(),
            ));
        }
        let mut sum = Gradients(vec![None; self.vars.len()]);
        let mut loss = LossValues::default();
        for chunk in chunks {
            let (part_loss, part) = self.chunk_gradients(chunk)?;
            loss.video += part_loss.video;
            loss.audio += part_loss.audio;
            for (sum, part) in sum.0.iter_mut().zip(part.0) {
                *sum = match (sum.take(), part) {
                    (Some(a), Some(b)) => Some((a + b)?),
                    (a, b) => a.or(b),
                };
            }
        }
        Ok((loss, sum))
    }

    fn chunk_gradients(&self, batch: &NoisyBatch) -> Result<(LossValues, Gradients)> {
        let loss = self.loss(batch)?;
        let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        let values = LossValues { video: value(&loss.video)?, audio: value(&loss.audio)? };
        let mut store = loss.total.backward()?;
        // Candle's gradients hold on to the graph that made them.
        let own = self.vars.iter().map(|var| store.remove(var.as_tensor()).map(|grad| grad.detach()));
        Ok((values, Gradients(own.collect())))
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

/// The values of a parameter on the CPU.
fn parameter_values<'a>(storage: &'a Storage, layout: &candle_core::Layout) -> Result<&'a [f32]> {
    let (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) = (storage, layout.contiguous_offsets()) else {
        return Err(Error::Shape("parameters must be float32, in order, on the CPU".into()));
    };
    Ok(&values[start..end])
}

/// `sum += part`; gives back the memory that is not needed any more.
fn add(sum: &mut Option<Vec<f32>>, part: Option<Vec<f32>>) -> Option<Vec<f32>> {
    let Some(part) = part else { return None };
    match sum {
        None => {
            *sum = Some(part);
            None
        }
        Some(sum) => {
            sum.iter_mut().zip(&part).for_each(|(sum, x)| *sum += x);
            Some(part)
        }
    }
}
