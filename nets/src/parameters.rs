//! The learned tensors of a network: name, shape, and how each begins.

use avdit_core::{Noise, Purpose, Stream};

/// How a parameter begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// All zeros.
    Zeros,
    /// All ones.
    Ones,
    /// Normal with this standard deviation.
    Normal(f64),
    /// Uniform in ±√(6/(in + out)) of an (out, in) matrix (Glorot & Bengio 2010).
    XavierUniform,
}

/// A learned tensor.
#[derive(Clone, Debug, PartialEq)]
pub struct Parameter {
    /// Its full name, as in the checkpoint.
    pub name: String,
    /// Its shape; matrices (out, in).
    pub shape: Vec<usize>,
    /// How it begins.
    pub init: Init,
}

impl Parameter {
    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its first values under a seed; `index` is its place in the network's list.
    pub fn initial(&self, seed: u64, index: usize) -> Vec<f32> {
        let (noise, stream) = (Noise::new(seed), Stream::new(Purpose::Parameters, 0, index as u32));
        match self.init {
            Init::Zeros => vec![0.0; self.len()],
            Init::Ones => vec![1.0; self.len()],
            Init::Normal(std) => {
                let mut values = vec![0.0; self.len()];
                noise.normals(stream, &mut values);
                values.iter().map(|x| (f64::from(*x) * std) as f32).collect()
            }
            Init::XavierUniform => {
                let bound = (6.0 / self.shape.iter().sum::<usize>() as f64).sqrt();
                (0..self.len() as u32)
                    .map(|i| ((noise.uniform(stream, i) * 2.0 - 1.0) * bound) as f32)
                    .collect()
            }
        }
    }
}

/// `{name}.weight` (out, in) and `{name}.bias` (out).
pub(crate) fn linear(list: &mut Vec<Parameter>, name: &str, inputs: usize, outputs: usize, init: Init) {
    list.push(Parameter { name: format!("{name}.weight"), shape: vec![outputs, inputs], init });
    list.push(Parameter { name: format!("{name}.bias"), shape: vec![outputs], init: Init::Zeros });
}
