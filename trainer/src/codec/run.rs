//! The training of one modality, step by step.

use super::config::CodecTraining;
use super::model::Autoencoder;
use super::pictures;
use super::sound::Spectra;
use super::state::{State, path};
use crate::error::{Error, Result};
use crate::model::{Gradients, Weights};
use crate::optimizer::{Optimizer, Trainable};
use avdit_core::{Modality, Noise, Purpose, Stream};
use avdit_media::Clip;
use avdit_media::codec::{ClipSource, planes};
use candle_core::Tensor;
use rayon::prelude::*;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// What happened in a step.
#[derive(Clone, Debug, Serialize)]
pub struct CodecStep {
    /// `video` or `audio`.
    pub modality: &'static str,
    /// The step, from 1.
    pub step: usize,
    /// Of how many.
    pub steps: usize,
    /// What was lost of the clips.
    pub reconstruction: f64,
    /// Mean square of the latents.
    pub latent_square: f64,
    /// Norm of the gradient before clipping.
    pub gradient_norm: f64,
    /// Learning rate.
    pub lr: f64,
    /// Wall time of the step.
    pub step_ms: f64,
}

/// A training in memory.
pub struct Training<'a> {
    config: &'a CodecTraining,
    modality: Modality,
    source: &'a dyn ClipSource,
    out: PathBuf,
    clips: String,
    model: Autoencoder,
    optimizer: Optimizer,
    spectra: Option<Spectra>,
    /// Steps done.
    pub step: usize,
}

/// An example's loss, the mean square of its latents, and its gradients.
type Part = (f64, f64, Vec<Option<Tensor>>);

impl<'a> Training<'a> {
    /// A new training, or the one whose state lies in `out`. `clips` tells the clips from any others. Writes nothing.
    ///
    /// # Errors
    /// [`Error::Config`] if the configuration cannot be used or there are no clips; [`Error::Content`] if the state is
    /// of another configuration or other clips.
    pub fn open(
        config: &'a CodecTraining,
        modality: Modality,
        source: &'a dyn ClipSource,
        out: &Path,
        clips: &str,
    ) -> Result<Self> {
        config.check()?;
        if source.is_empty() {
            return Err(Error::Config("there are no clips to train a codec on".into()));
        }
        let (net, optimizer) = (&config.autoencoder, &config.of(modality).optimizer);
        let (model, optimizer, step) = match State::read(out, config, modality, clips)? {
            None => {
                let model = Autoencoder::new(net, modality, config.seed)?;
                let optimizer = Optimizer::new(optimizer, &model)?;
                (model, optimizer, 0)
            }
            Some(state) => {
                let model = Autoencoder::with_weights(net, modality, &state.weights)?;
                let optimizer =
                    Optimizer::restore(optimizer, &model, state.step, &state.moments, &[state.ema])?;
                (model, optimizer, state.step)
            }
        };
        let spectra = match modality {
            Modality::Video => None,
            Modality::Audio => Some(Spectra::new(config.grid.sample_rate_hz)?),
        };
        let (out, clips) = (out.to_owned(), clips.to_owned());
        Ok(Self { config, modality, source, out, clips, model, optimizer, spectra, step })
    }

    /// Steps in all.
    pub fn steps(&self) -> usize {
        self.config.of(self.modality).steps
    }

    /// The clips of a step: whole passes over them, each in an order of its own.
    fn indices(&self) -> Vec<usize> {
        let (count, batch) = (self.source.len(), self.config.of(self.modality).batch);
        let noise = Noise::new(self.config.seed);
        let at = |position: usize| {
            let stream = Stream::new(Purpose::Shuffle, (position / count) as u32, 0);
            noise.permutation(stream, count)[position % count]
        };
        (self.step * batch..(self.step + 1) * batch).map(at).collect()
    }

    /// One step.
    ///
    /// # Errors
    /// [`Error::NotFinite`] naming the clips; those of the source.
    pub fn advance(&mut self) -> Result<CodecStep> {
        let started = Instant::now();
        let indices = self.indices();
        let parts: Vec<Part> = indices
            .par_iter()
            .enumerate()
            .map(|(item, &index)| self.example(item, &self.source.clip(index)?))
            .collect::<Result<_>>()?;
        let share = 1.0 / parts.len() as f64;
        let (mut reconstruction, mut latent_square) = (0.0, 0.0);
        let mut sum: Vec<Option<Tensor>> = vec![None; self.model.variables().len()];
        for (loss, square, gradients) in parts {
            reconstruction += share * loss;
            latent_square += share * square;
            for (sum, gradient) in sum.iter_mut().zip(gradients) {
                *sum = match (sum.take(), gradient) {
                    (Some(a), Some(b)) => Some((a + b)?),
                    (a, b) => a.or(b),
                };
            }
        }
        self.check_finite("the loss", reconstruction + latent_square, &indices)?;
        let training = self.config.of(self.modality);
        let lr = training.optimizer.lr_at(self.step, training.steps);
        let gradient_norm = self.optimizer.step(&self.model, &Gradients::from(sum), lr)?;
        self.check_finite("the norm of the gradient", gradient_norm, &indices)?;
        self.step += 1;
        Ok(CodecStep {
            modality: self.modality.name(),
            step: self.step,
            steps: training.steps,
            reconstruction,
            latent_square,
            gradient_norm,
            lr,
            step_ms: started.elapsed().as_secs_f64() * 1e3,
        })
    }

    fn check_finite(&self, what: &'static str, value: f64, indices: &[usize]) -> Result<()> {
        if value.is_finite() {
            return Ok(());
        }
        let clips = indices.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::NotFinite {
            what,
            value,
            step: self.step + 1,
            examples: format!("clips {clips}"),
            parameters: format!("training of the {} codec", self.modality.name()),
            kept: format!("the newest state, from before, is {}", path(&self.out, self.modality).display()),
        })
    }

    fn example(&self, item: usize, clip: &Clip) -> Result<Part> {
        let x = self.model.tensor(self.model.parts().0, values(clip, self.modality)?)?;
        let z = self.model.encode(&x)?;
        let mut noise = vec![0f32; z.elem_count()];
        let stream = Stream::new(Purpose::Training, self.step as u32, item as u32);
        Noise::new(self.config.seed).normals(stream, &mut noise);
        let noise = Tensor::from_vec(noise, z.shape(), z.device())?;
        let made = self.model.decode(&(&z + (noise * self.config.posterior_std)?)?)?;
        let loss = match &self.spectra {
            Some(spectra) => spectra.loss(&made, &x)?,
            None => pictures::loss(&made, &x)?,
        };
        let square = z.sqr()?.mean_all()?;
        let share = 1.0 / self.config.of(self.modality).batch as f64;
        let total = ((&loss + (&square * (0.5 * self.config.kl_weight))?)? * share)?;
        let mut store = total.backward()?;
        let variables = self.model.variables();
        let own = variables.iter().map(|(_, var)| store.remove(var.as_tensor()).map(|grad| grad.detach()));
        let value = |x: &Tensor| -> Result<f64> { Ok(f64::from(x.to_scalar::<f32>()?)) };
        Ok((value(&loss)?, value(&square)?, own.collect()))
    }

    /// Writes the state, from which [`Training::open`] goes on bit for bit.
    ///
    /// # Errors
    /// A media error naming the file; an earlier state is then as it was.
    pub fn save(&self) -> Result<()> {
        let state = State {
            step: self.step,
            weights: self.weights()?,
            ema: self.optimizer.ema()?,
            moments: self.optimizer.moments()?,
        };
        state.write(&self.out, self.config, self.modality, &self.clips)
    }

    /// The trained parameters.
    ///
    /// # Errors
    /// If Candle cannot read one.
    pub fn weights(&self) -> Result<Weights> {
        self.model.weights()
    }

    /// Their moving average.
    ///
    /// # Errors
    /// As [`Training::weights`].
    pub fn ema(&self) -> Result<Weights> {
        self.optimizer.ema()
    }
}

/// What the encoder of a modality takes of a clip.
pub(super) fn values(clip: &Clip, modality: Modality) -> Result<Vec<f32>> {
    let missing = || Error::Config(format!("a clip without {} cannot train a codec", modality.name()));
    match modality {
        Modality::Video => clip.video.as_ref().map(planes).ok_or_else(missing),
        Modality::Audio => clip.audio.as_ref().map(|audio| audio.samples.clone()).ok_or_else(missing),
    }
}
