//! A network with its trainable parameters on a Candle device: the loss and its gradients.

use crate::base::Base;
use crate::device::Precision;
use crate::error::{Error, Result};
use crate::gradients::{Engine, cell_errors};
use crate::network::{self, Network};
use crate::objective::NoisyBatch;
use crate::optimizer::Trainable;
use crate::tape::Stock;
use avdit_core::{Latents, Levels, Modality};
use avdit_nets::dit::Prediction;
use avdit_nets::{NetworkConfig, Parameter};
use candle_core::{DType, Device, Tensor, Var};
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

/// Values by parameter name.
pub type Weights = BTreeMap<String, Vec<f32>>;

/// A network whose trained parameters are variables, in the network's order; the others are held once, as they are.
pub struct Model {
    pub(crate) network: Network,
    pub(crate) names: Vec<String>,
    pub(crate) vars: Vec<Var>,
    pub(crate) engine: Engine,
    /// Memory that a chunk has used, for the next one.
    pub(crate) stocks: Mutex<Vec<Stock>>,
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
pub struct Gradients(pub(crate) Vec<Option<Tensor>>);

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
    pub fn new(config: &(impl Clone + Into<NetworkConfig>), seed: u64, device: &Device) -> Result<Self> {
        let config = config.clone().into();
        Self::with_weights(&config, &initial(&config, None, seed)?, device)
    }

    /// With the given parameters, which are all trained ones.
    ///
    /// # Errors
    /// [`Error::Parameter`] naming the first one that is missing, left over or of another size.
    pub fn with_weights(
        config: &(impl Clone + Into<NetworkConfig>),
        weights: &Weights,
        device: &Device,
    ) -> Result<Self> {
        Self::on_base(&config.clone().into(), None, weights, device)
    }

    /// With the given parameters for those that are trained, and those of a base, which stay as they are, for the others;
    /// without a base all of them are given.
    ///
    /// # Errors
    /// As [`Model::with_weights`]; whatever the base's file reports.
    pub fn on_base(
        config: &NetworkConfig,
        base: Option<&Base>,
        weights: &Weights,
        device: &Device,
    ) -> Result<Self> {
        let marked = config.marked_parameters();
        if let Some(name) = weights.keys().find(|name| !marked.iter().any(|(p, _)| &p.name == *name)) {
            return Err(Error::Parameter {
                name: name.clone(),
                what: "the network has no such parameter".into(),
            });
        }
        let trained: HashSet<&str> =
            marked.iter().filter(|(_, trained)| *trained).map(|(p, _)| p.name.as_str()).collect();
        let (mut names, mut vars) = (Vec::new(), Vec::new());
        let network = Network::build(config, device, |parameter| {
            let missing = || Error::Parameter {
                name: parameter.name.clone(),
                what: "missing from the checkpoint".into(),
            };
            let trains = trained.contains(parameter.name.as_str());
            if let (false, Some(base)) = (trains, base) {
                let values = base.weights.load(&parameter.name)?;
                return Ok(Tensor::from_vec(values, parameter.shape.as_slice(), device)?);
            }
            let values = weights.get(&parameter.name).ok_or_else(missing)?;
            network::check_len(parameter, values.len())?;
            if !trains {
                return Ok(Tensor::from_slice(values, parameter.shape.as_slice(), device)?);
            }
            let var = Var::from_slice(values, parameter.shape.as_slice(), device)?;
            let tensor = var.as_tensor().clone();
            names.push(parameter.name.clone());
            vars.push(var);
            Ok(tensor)
        })?;
        let engine = if device.is_cpu() { Engine::Tape } else { Engine::Candle };
        Ok(Self { network, names, vars, engine, stocks: Mutex::default() })
    }

    /// With gradients from Candle's own operations, as on other devices: a reference, several times slower.
    #[must_use]
    pub fn decomposed(mut self) -> Self {
        self.engine = Engine::Candle;
        self.network = self.network.decomposed();
        self
    }

    /// With matrices multiplied in a precision; any but float32 goes by Candle's own operations.
    #[must_use]
    pub fn in_precision(mut self, precision: Precision) -> Self {
        if precision != Precision::F32 {
            self.engine = Engine::Candle;
        }
        self.network = self.network.in_precision(precision);
        self
    }

    /// Its configuration.
    pub fn config(&self) -> &NetworkConfig {
        self.network.config()
    }

    /// Names and variables of what is trained, in the network's order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &Var)> {
        self.names.iter().map(String::as_str).zip(&self.vars)
    }

    /// The current values of what is trained.
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
        let [video, audio] = self.network.predict(&batch.noisy, &batch.levels)?;
        let layout = self.network.layout();
        let mut cells = vec![0.0; batch.noisy.batch * layout.cells()];
        let mut term = |prediction: Option<Prediction<Tensor>>, modality: Modality| -> Result<Tensor> {
            let Some(Prediction { noise, variance }) = prediction else {
                return Ok(Tensor::zeros((), DType::F32, self.network.device())?);
            };
            let error = (&noise - self.network.tensor(modality, &batch.target)?)?;
            let values: Vec<f32> = error.detach().flatten_all()?.to_vec1()?;
            cell_errors(layout, modality, &values, &mut cells);
            let loss = (error * self.network.tensor(modality, &batch.weight)?)?.sqr()?.sum_all()?;
            let (Some(variance), Some(bound)) = (variance, &batch.bound) else { return Ok(loss) };
            let output: Vec<f32> = variance.detach().flatten_all()?.to_vec1()?;
            let noise: Vec<f32> = noise.detach().flatten_all()?.to_vec1()?;
            let (value, slope) = bound.term(modality, batch, &noise, &output)?;
            // A line through the bound at this output, with its slope: what Candle cannot differentiate itself.
            let slope = Tensor::from_vec(slope, variance.shape(), variance.device())?;
            let line = (slope * &variance)?.sum_all()?;
            let line = ((&line - line.detach())? + value)?;
            Ok((loss + line)?)
        };
        let (video, audio) = (term(video, Modality::Video)?, term(audio, Modality::Audio)?);
        Ok(Loss { total: (&video + &audio)?, video, audio, cells })
    }

    /// The norm of each parameter's gradient, in the network's order; `None` where the backward pass did not come.
    ///
    /// # Errors
    /// If Candle fails.
    pub fn gradient_norms(&self, gradients: &Gradients) -> Result<Vec<Option<f64>>> {
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

/// What training of a network begins with: a base's values where it has the tensor, else the initial ones under a seed.
///
/// # Errors
/// Whatever the base's file reports.
pub fn initial(config: &NetworkConfig, base: Option<&Base>, seed: u64) -> Result<Weights> {
    let mut weights = Weights::new();
    for (i, (parameter, trained)) in config.marked_parameters().into_iter().enumerate() {
        let Parameter { name, .. } = &parameter;
        let values = match base.filter(|base| base.weights.shape(name).is_some()) {
            Some(_) if !trained => continue,
            Some(base) => base.weights.load(name)?,
            None => parameter.initial(seed, i),
        };
        weights.insert(parameter.name, values);
    }
    Ok(weights)
}

/// The Euclidean norm of a tensor, also where squares of its elements are too small or too large for its type.
///
/// # Errors
/// If Candle fails.
pub fn norm(x: &Tensor) -> Result<f64> {
    let scaled = |scale: f64| -> Result<f64> {
        let squares = x.affine(scale, 0.0)?.sqr()?.sum_all()?.to_scalar::<f32>()?;
        Ok(f64::from(squares).sqrt() / scale)
    };
    match scaled(1.0)? {
        0.0 => scaled(1e18),
        f64::INFINITY => scaled(1e-18),
        norm => Ok(norm),
    }
}
