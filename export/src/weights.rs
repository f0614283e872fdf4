//! Where the learned tensors come from.

use crate::error::{Error, Result};
use avdit_nets::Parameter;
use std::collections::{BTreeMap, BTreeSet};

/// Learned tensors by name, loaded one at a time.
pub trait WeightSource {
    /// Every name that it has.
    fn names(&self) -> Vec<String>;

    /// The shape of a tensor; `None` if it has no such tensor.
    fn shape(&self, name: &str) -> Option<Vec<usize>>;

    /// The values of a tensor that [`WeightSource::shape`] knows, row-major.
    ///
    /// # Errors
    /// Whatever the source reports.
    fn load(&self, name: &str) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Weights in memory: name → (shape, values).
pub type WeightMap = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl WeightSource for WeightMap {
    fn names(&self) -> Vec<String> {
        self.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.get(name).map(|(shape, _)| shape.clone())
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        let (_, values) = self.get(name).ok_or_else(|| format!("there is no tensor {name}"))?;
        Ok(values.clone())
    }
}

/// Values by name with the shapes that the network gives them.
///
/// # Errors
/// [`Error::MissingParameter`] if a parameter has no values.
pub fn weight_map(parameters: Vec<Parameter>, mut values: BTreeMap<String, Vec<f32>>) -> Result<WeightMap> {
    let with_shape = |Parameter { name, shape, .. }| match values.remove(&name) {
        Some(values) => Ok((name, (shape, values))),
        None => Err(Error::MissingParameter { name, expected: shape }),
    };
    parameters.into_iter().map(with_shape).collect()
}

/// Checks that a source has the parameters of a network, whatever else it has.
pub(crate) fn check_own(weights: &dyn WeightSource, parameters: &[Parameter]) -> Result<()> {
    for Parameter { name, shape, .. } in parameters {
        match weights.shape(name) {
            None => return Err(Error::MissingParameter { name: name.clone(), expected: shape.clone() }),
            Some(got) if got != *shape => {
                return Err(Error::ParameterShape { name: name.clone(), expected: shape.clone(), got });
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Checks that a source has exactly the parameters of a network.
pub(crate) fn check(weights: &dyn WeightSource, parameters: &[Parameter]) -> Result<()> {
    check_own(weights, parameters)?;
    let used: BTreeSet<_> = parameters.iter().map(|parameter| parameter.name.as_str()).collect();
    let unused: Vec<_> = weights.names().into_iter().filter(|name| !used.contains(name.as_str())).collect();
    if unused.is_empty() { Ok(()) } else { Err(Error::UnusedWeights { names: unused }) }
}

/// A parameter's shape and values, which are all finite.
pub(crate) fn load(weights: &dyn WeightSource, name: &str) -> Result<(Vec<usize>, Vec<f32>)> {
    let shape = weights
        .shape(name)
        .ok_or_else(|| Error::MissingParameter { name: name.to_owned(), expected: Vec::new() })?;
    let values = weights.load(name).map_err(|source| Error::Load { name: name.to_owned(), source })?;
    if values.len() != shape.iter().product::<usize>() {
        let expected = format!("the elements of {shape:?}");
        return Err(Error::mismatch(format!("values of parameter {name}"), expected, values.len()));
    }
    match values.iter().position(|x| !x.is_finite()) {
        Some(index) => Err(Error::NotFinite { name: name.to_owned(), index, got: values[index] }),
        None => Ok((shape, values)),
    }
}
