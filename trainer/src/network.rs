//! A network on a Candle device: parameters by name, and the way through it.

use crate::device::Precision;
use crate::error::{Error, Result};
use crate::ops::{CandleOps, CandleTensor};
use crate::tape::{Tape, TapeTensor};
use avdit_core::{Latents, Layout, Levels, Modality};
use avdit_nets::dit::Prediction;
use avdit_nets::{Inputs, NetworkConfig, Parameter, Predictions};
use candle_core::{DType, Device, Tensor};
use std::collections::{HashMap, HashSet};

/// A network and its parameters. What it computes can be differentiated where its parameters are variables; where they
/// are not, nothing of a prediction stays in memory but its result.
pub struct Network {
    config: NetworkConfig,
    layout: Layout,
    device: Device,
    tensors: HashMap<String, Tensor>,
    decomposed: bool,
    precision: Precision,
}

impl Network {
    /// With one tensor for each parameter, asked for in the network's order, so that no more than one is in memory
    /// beside those that are done.
    ///
    /// # Errors
    /// Whatever `tensor` reports; a network error if the configuration cannot be built.
    pub fn build(
        config: &NetworkConfig,
        device: &Device,
        mut tensor: impl FnMut(&Parameter) -> Result<Tensor>,
    ) -> Result<Self> {
        config.check()?;
        let tensors = config.parameters().into_iter().map(|p| Ok((p.name.clone(), tensor(&p)?)));
        Ok(Self {
            tensors: tensors.collect::<Result<_>>()?,
            config: config.clone(),
            layout: config.layout(),
            device: device.clone(),
            decomposed: false,
            precision: Precision::F32,
        })
    }

    /// With every composite operation in its decomposed form.
    #[must_use]
    pub(crate) fn decomposed(mut self) -> Self {
        self.decomposed = true;
        self
    }

    /// For inference: with values for each parameter, asked for one at a time.
    ///
    /// # Errors
    /// As [`Network::build`]; [`Error::Parameter`] naming the first one of another size.
    pub fn load(
        config: &NetworkConfig,
        device: &Device,
        values: &mut dyn FnMut(&Parameter) -> Result<Vec<f32>>,
    ) -> Result<Self> {
        Self::build(config, device, |parameter| {
            let values = values(parameter)?;
            check_len(parameter, values.len())?;
            Ok(Tensor::from_vec(values, parameter.shape.as_slice(), device)?)
        })
    }

    /// With matrices multiplied in a precision.
    #[must_use]
    pub(crate) fn in_precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    fn ops(&self) -> CandleOps<'_> {
        let ops = CandleOps::new(&self.tensors, &self.device).in_precision(self.precision.dtype());
        if self.decomposed { ops.decomposed() } else { ops }
    }

    /// Where its parameters are.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// Its configuration.
    pub fn config(&self) -> &NetworkConfig {
        &self.config
    }

    /// The grid of its latents.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Latents of one modality as a tensor.
    ///
    /// # Errors
    /// If Candle fails.
    pub fn tensor(&self, modality: Modality, latents: &Latents) -> Result<Tensor> {
        let shape = self.layout.shape(modality, latents.batch);
        Ok(Tensor::from_slice(latents.get(modality), shape, &self.device)?)
    }

    /// The parameters beside those that are trained, in no order.
    pub(crate) fn frozen<'a>(&'a self, trained: &'a [String]) -> impl Iterator<Item = (&'a str, &'a Tensor)> {
        let trained: HashSet<&str> = trained.iter().map(String::as_str).collect();
        let all = self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor));
        all.filter(move |(name, _)| !trained.contains(name))
    }

    fn inputs(&self, noisy: &Latents, levels: &Levels) -> Result<Inputs<CandleTensor>> {
        let levels = |modality| -> Result<CandleTensor> {
            let shape = (noisy.batch, self.layout.segments());
            Ok(CandleTensor::new(Tensor::from_slice(levels.get(modality), shape, &self.device)?))
        };
        Ok(Inputs {
            video: CandleTensor::new(self.tensor(Modality::Video, noisy)?),
            audio: CandleTensor::new(self.tensor(Modality::Audio, noisy)?),
            video_levels: levels(Modality::Video)?,
            audio_levels: levels(Modality::Audio)?,
        })
    }

    /// Predictions `(video, audio)`: zeros for a modality that the network does not know.
    ///
    /// # Shapes
    /// `noisy`, predictions: `(B, F, C, H, W)` and `(B, A, Ca)`; `levels`: `(B, N)` per modality, 0…T.
    /// # Errors
    /// If a shape is wrong or Candle fails.
    pub fn forward(&self, noisy: &Latents, levels: &Levels) -> Result<(Tensor, Tensor)> {
        self.both(self.predict(noisy, levels)?, noisy.batch)
    }

    /// All that the network predicts, variances too.
    ///
    /// # Errors
    /// As [`Network::forward`].
    pub fn predict(&self, noisy: &Latents, levels: &Levels) -> Result<Predictions<Tensor>> {
        self.run(&self.ops(), noisy, levels)
    }

    fn both(&self, [video, audio]: Predictions<Tensor>, batch: usize) -> Result<(Tensor, Tensor)> {
        let noise = |predicted: Option<Prediction<Tensor>>, modality| match predicted {
            Some(Prediction { noise, .. }) => Ok(noise),
            None => Tensor::zeros(self.layout.shape(modality, batch), DType::F32, &self.device),
        };
        Ok((noise(video, Modality::Video)?, noise(audio, Modality::Audio)?))
    }

    /// Predictions with every intermediate result that the network shows, by name.
    ///
    /// # Errors
    /// As [`Network::forward`].
    #[allow(clippy::type_complexity)]
    pub fn forward_with_taps(
        &self,
        noisy: &Latents,
        levels: &Levels,
    ) -> Result<((Tensor, Tensor), Vec<(String, Tensor)>)> {
        let ops = self.ops().with_taps();
        let outputs = self.both(self.run(&ops, noisy, levels)?, noisy.batch)?;
        Ok((outputs, ops.into_taps()))
    }

    /// Predictions on a tape, to be differentiated.
    pub(crate) fn run_on_tape(
        &self,
        tape: &Tape<'_>,
        noisy: &Latents,
        levels: &Levels,
    ) -> Result<Predictions<TapeTensor>> {
        noisy.check(&self.layout)?;
        levels.check(&self.layout, noisy.batch)?;
        let input = |modality| {
            tape.input(noisy.get(modality), noisy.batch, &self.layout.shape(modality, noisy.batch)[1..])
        };
        let levels = |modality| tape.input(levels.get(modality), noisy.batch, &[self.layout.segments()]);
        let inputs = Inputs {
            video: input(Modality::Video),
            audio: input(Modality::Audio),
            video_levels: levels(Modality::Video),
            audio_levels: levels(Modality::Audio),
        };
        self.config.predict(tape, inputs)
    }

    fn run(&self, ops: &CandleOps<'_>, noisy: &Latents, levels: &Levels) -> Result<Predictions<Tensor>> {
        noisy.check(&self.layout)?;
        levels.check(&self.layout, noisy.batch)?;
        let dense = |x: CandleTensor| -> Result<Tensor> { Ok(x.dense()?.to_dtype(DType::F32)?) };
        let predicted = |p: Option<Prediction<CandleTensor>>| -> Result<Option<Prediction<Tensor>>> {
            let Some(Prediction { noise, variance }) = p else { return Ok(None) };
            Ok(Some(Prediction { noise: dense(noise)?, variance: variance.map(dense).transpose()? }))
        };
        let [video, audio] = self.config.predict(ops, self.inputs(noisy, levels)?)?;
        Ok([predicted(video)?, predicted(audio)?])
    }
}

/// Checks that a parameter has as many values as its shape says.
pub(crate) fn check_len(parameter: &Parameter, got: usize) -> Result<()> {
    if got == parameter.len() {
        return Ok(());
    }
    let what = format!("checkpoint has {got} values, network expects {:?}", parameter.shape);
    Err(Error::Parameter { name: parameter.name.clone(), what })
}
