//! A network with its trainable parameters on a Candle device: the loss and its gradients.

use crate::device::Precision;
use crate::error::{Error, Result};
use crate::gradients::{Engine, cell_errors};
use crate::network::{self, Network};
use crate::objective::NoisyBatch;
use crate::optimizer::Trainable;
use crate::tape::Stock;
use avdit_core::{Latents, Levels, Modality};
use avdit_nets::avdit::AvditConfig;
use candle_core::{Device, Tensor, Var};
use std::collections::BTreeMap;
use std::sync::Mutex;

/// Values by parameter name.
pub type Weights = BTreeMap<String, Vec<f32>>;

/// An AVDiT whose parameters are variables, in the network's order.
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
        let layout = self.network.layout();
        let mut cells = vec![0.0; batch.noisy.batch * layout.cells()];
        let mut term = |prediction: Tensor, modality: Modality| -> Result<Tensor> {
            let error = (prediction - self.network.tensor(modality, &batch.target)?)?;
            let values: Vec<f32> = error.detach().flatten_all()?.to_vec1()?;
            cell_errors(layout, modality, &values, &mut cells);
            Ok((error * self.network.tensor(modality, &batch.weight)?)?.sqr()?.sum_all()?)
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
