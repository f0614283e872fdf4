//! The gradients of a batch: chunk by chunk, on the tape or by Candle.

use crate::error::{Error, Result};
use crate::model::{Gradients, LossValues, Model};
use crate::objective::NoisyBatch;
use crate::tape::{Parameters, Stock, Tape, TapeOptions, TapeTensor};
use avdit_core::{Layout, Modality};
use avdit_nets::dit::Prediction;
use candle_core::{CpuStorage, Device, Storage, Tensor, Var};
use rayon::prelude::*;
use std::sync::PoisonError;

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

/// What computes gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// Our own operations, on the CPU.
    Tape,
    /// Candle's operations and its differentiation, on any device.
    Candle,
}

/// Why a run cannot have it.
pub(crate) const NO_CHECKPOINTING: &str = "run.gradient_checkpointing is not there for Candle's own operations\n\nhint: set \
    it to false and make run.chunk smaller, or set run.device = \"cpu\" and run.precision = \"f32\"";

/// The gradient of each parameter as the tape leaves it.
type Parts = Vec<Option<Vec<f32>>>;

impl Model {
    /// The loss of a batch and its gradients.
    ///
    /// On the CPU chunks run side by side, as many as there are threads; where there are fewer chunks than threads,
    /// operations spread over the threads instead. The sums are taken in the order of the chunks, so that the bits
    /// depend on [`GradientOptions::chunk`] and not on the number of threads.
    ///
    /// # Memory
    /// The activations of `min(threads, chunks)` chunks and as many sets of gradients, and one set more where there
    /// are several chunks, whatever the batch. It is kept for the next step.
    ///
    /// # Errors
    /// As [`Model::forward`].
    pub fn gradients(&self, batch: &NoisyBatch, how: &GradientOptions) -> Result<(LossValues, Gradients)> {
        let chunks = batch.chunks(self.network.layout(), how.chunk);
        match self.engine {
            Engine::Tape => self.on_tape(&chunks, how),
            Engine::Candle => self.by_candle(&chunks, how),
        }
    }

    fn on_tape(&self, chunks: &[NoisyBatch], how: &GradientOptions) -> Result<(LossValues, Gradients)> {
        // Trained ones first, whose gradients are asked for; the others are read.
        let mut all: Vec<(&str, &Tensor, bool)> =
            self.parameters().map(|(name, var)| (name, var.as_tensor(), true)).collect();
        all.extend(self.network.frozen(&self.names).map(|(name, tensor)| (name, tensor, false)));
        let storages: Vec<_> = all.iter().map(|(_, tensor, _)| tensor.storage_and_layout()).collect();
        let mut list = Vec::new();
        for ((name, tensor, trained), (storage, layout)) in all.iter().zip(&storages) {
            list.push((*name, tensor.dims(), values(name, storage, layout)?, *trained));
        }
        let parameters = Parameters::new(list);
        let threads = rayon::current_num_threads();
        let (mut loss, mut sum): (_, Parts) = (LossValues::default(), vec![None; self.vars.len()]);
        for group in chunks.chunks(threads) {
            let options = TapeOptions { checkpoint: how.checkpoint, spread: group.len() < threads };
            let parts = group.par_iter().map(|part| self.chunk_on_tape(&parameters, part, options));
            for (part_loss, part, mut stock) in parts.collect::<Result<Vec<_>>>()? {
                loss.add(part_loss);
                let used: Parts = sum.par_iter_mut().zip(part).map(|(sum, part)| add(sum, part)).collect();
                // Back to where they came from: any other stock would pile them up.
                used.into_iter().flatten().for_each(|values| stock.put(values));
                self.keep_stock(stock);
            }
        }
        let tensor = |(values, var): (Option<Vec<f32>>, &Var)| -> Result<Option<Tensor>> {
            Ok(values.map(|values| Tensor::from_vec(values, var.shape(), &Device::Cpu)).transpose()?)
        };
        let gradients = sum.into_iter().zip(&self.vars).map(tensor).collect::<Result<_>>()?;
        Ok((loss, Gradients(gradients)))
    }

    fn chunk_on_tape(
        &self,
        parameters: &Parameters<'_>,
        batch: &NoisyBatch,
        options: TapeOptions,
    ) -> Result<(LossValues, Parts, Stock)> {
        let layout = self.network.layout();
        let tape = Tape::new(parameters, options, self.take_stock());
        let [video, audio] = self.network.run_on_tape(&tape, &batch.noisy, &batch.levels)?;
        let mut cells = vec![0.0; batch.noisy.batch * layout.cells()];
        let mut term = |prediction: Option<Prediction<TapeTensor>>, modality: Modality| -> Result<f64> {
            let Some(Prediction { noise, variance }) = prediction else { return Ok(0.0) };
            let (target, weight) = (batch.target.get(modality), batch.weight.get(modality));
            let noise = tape.dense(&noise)?;
            let look = |errors: &[f32]| cell_errors(layout, modality, errors, &mut cells);
            let loss = tape.loss(&noise, target, weight, look)?;
            let (Some(variance), Some(bound)) = (variance, &batch.bound) else { return Ok(loss) };
            let variance = tape.dense(&variance)?;
            let (value, slope) =
                bound.term(modality, batch, noise.dense_values(), variance.dense_values())?;
            tape.begin_at(&variance, &slope);
            Ok(loss + value)
        };
        let (video, audio) = (term(video, Modality::Video)?, term(audio, Modality::Audio)?);
        let (mut gradients, stock) = tape.backward()?;
        gradients.truncate(self.vars.len());
        Ok((LossValues { video, audio, cells }, gradients, stock))
    }

    /// Bytes that are kept from one batch to the next: at most those of as many chunks as ran side by side.
    pub fn kept_bytes(&self) -> usize {
        self.stocks.lock().unwrap_or_else(PoisonError::into_inner).iter().map(Stock::bytes).sum()
    }

    fn take_stock(&self) -> Stock {
        self.stocks.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn keep_stock(&self, stock: Stock) {
        self.stocks.lock().unwrap_or_else(PoisonError::into_inner).push(stock);
    }

    fn by_candle(&self, chunks: &[NoisyBatch], how: &GradientOptions) -> Result<(LossValues, Gradients)> {
        if how.checkpoint {
            return Err(Error::Config(NO_CHECKPOINTING.into()));
        }
        let mut sum = Gradients(vec![None; self.vars.len()]);
        let mut loss = LossValues::default();
        for chunk in chunks {
            let (part_loss, part) = self.chunk_by_candle(chunk)?;
            loss.add(part_loss);
            for (sum, part) in sum.0.iter_mut().zip(part.0) {
                *sum = match (sum.take(), part) {
                    (Some(a), Some(b)) => Some((a + b)?),
                    (a, b) => a.or(b),
                };
            }
        }
        Ok((loss, sum))
    }

    fn chunk_by_candle(&self, batch: &NoisyBatch) -> Result<(LossValues, Gradients)> {
        let loss = self.loss(batch)?;
        let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        let values = LossValues { video: value(&loss.video)?, audio: value(&loss.audio)?, cells: loss.cells };
        let mut store = loss.total.backward()?;
        // Candle's gradients hold on to the graph that made them.
        let own = self.vars.iter().map(|var| store.remove(var.as_tensor()).map(|grad| grad.detach()));
        Ok((values, Gradients(own.collect())))
    }
}

impl LossValues {
    /// Adds those of the next chunk.
    fn add(&mut self, next: LossValues) {
        self.video += next.video;
        self.audio += next.audio;
        self.cells.extend(next.cells);
    }
}

/// The sum of squared errors of each cell, from those of all elements; `cells` (B, 2N) in cell order.
pub(crate) fn cell_errors(layout: &Layout, modality: Modality, errors: &[f32], cells: &mut [f64]) {
    let segments = layout.segments();
    for (row, errors) in cells.chunks_mut(2 * segments).zip(errors.chunks(layout.len(modality))) {
        let row = &mut row[modality as usize * segments..][..segments];
        for (cell, range) in row.iter_mut().zip(layout.segment_ranges(modality)) {
            *cell = errors[range].iter().map(|&error| f64::from(error).powi(2)).sum();
        }
    }
}

/// The values of a parameter on the CPU.
fn values<'a>(name: &str, storage: &'a Storage, layout: &candle_core::Layout) -> Result<&'a [f32]> {
    match (storage, layout.contiguous_offsets()) {
        (Storage::Cpu(CpuStorage::F32(values)), Some((start, end))) => Ok(&values[start..end]),
        _ => Err(Error::Parameter {
            name: name.to_owned(),
            what: "expected float32 values in order on the CPU".into(),
        }),
    }
}

/// `sum += part`; gives back memory that is not needed any more.
fn add(sum: &mut Option<Vec<f32>>, part: Option<Vec<f32>>) -> Option<Vec<f32>> {
    let Some(sum) = sum else {
        *sum = part;
        return None;
    };
    sum.iter_mut().zip(part.as_deref().unwrap_or_default()).for_each(|(sum, x)| *sum += x);
    part
}
