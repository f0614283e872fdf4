//! Weights for a network that nobody has trained: what it costs does not depend on them.

use crate::weights::WeightSource;
use avdit_nets::{NetworkConfig, Parameter};
use std::collections::HashMap;

/// Random values for every parameter of a network, made when they are asked for; see
/// [`Parameter::random`].
#[derive(Clone, Debug)]
pub struct RandomWeights {
    seed: u64,
    parameters: HashMap<String, Parameter>,
}

impl RandomWeights {
    /// Those of a network under a seed.
    pub fn new(config: &(impl Clone + Into<NetworkConfig>), seed: u64) -> Self {
        Self::of_parameters(config.clone().into().parameters(), seed)
    }

    /// Those of any list of parameters.
    pub fn of_parameters(parameters: Vec<Parameter>, seed: u64) -> Self {
        let named = |parameter: Parameter| (parameter.name.clone(), parameter);
        Self { seed, parameters: parameters.into_iter().map(named).collect() }
    }

    /// The values of a parameter.
    pub fn of(&self, parameter: &Parameter) -> Vec<f32> {
        parameter.random(self.seed)
    }
}

impl WeightSource for RandomWeights {
    fn names(&self) -> Vec<String> {
        self.parameters.keys().cloned().collect()
    }

    fn shape(&self, name: &str) -> Option<Vec<usize>> {
        self.parameters.get(name).map(|parameter| parameter.shape.clone())
    }

    fn load(&self, name: &str) -> Result<Vec<f32>, Box<dyn std::error::Error + Send + Sync>> {
        let parameter = self.parameters.get(name).ok_or_else(|| format!("there is no tensor {name}"))?;
        Ok(self.of(parameter))
    }
}
