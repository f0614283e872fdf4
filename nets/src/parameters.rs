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
    /// Uniform in ±√(6/(in + out)) of an (out, in) matrix (Glorot & Bengio 2010); more dimensions are seen as (out, all the
    /// others).
    XavierUniform,
}

/// Standard deviation of random matrices that begin at zero.
pub const RANDOM_WEIGHT: f64 = 0.02;

/// Standard deviation of random vectors that begin at zero.
pub const RANDOM_BIAS: f64 = 0.1;

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
        self.values(Noise::new(seed), Stream::new(Purpose::Parameters, 0, index as u32), self.init)
    }

    /// Random values that decide every output of the network, so that what it costs and whether two engines agree can
    /// be known without training it: as it begins, but for what begins at zero, which becomes normal. Vectors, among
    /// them the biases that the gates of adaLN stand on, get [`RANDOM_BIAS`]: every block then counts. A function of
    /// seed and name, so that blocks keep their values when others are added.
    pub fn random(&self, seed: u64) -> Vec<f32> {
        let init = match self.init {
            Init::Zeros if self.shape.len() == 1 => Init::Normal(RANDOM_BIAS),
            Init::Zeros => Init::Normal(RANDOM_WEIGHT),
            init => init,
        };
        self.values(Noise::new(seed), Stream::new(Purpose::Parameters, 1, hash(&self.name)), init)
    }

    fn values(&self, noise: Noise, stream: Stream, init: Init) -> Vec<f32> {
        match init {
            Init::Zeros => vec![0.0; self.len()],
            Init::Ones => vec![1.0; self.len()],
            Init::Normal(std) => {
                let mut values = vec![0.0; self.len()];
                noise.normals(stream, &mut values);
                values.iter_mut().for_each(|x| *x = (f64::from(*x) * std) as f32);
                values
            }
            Init::XavierUniform => {
                let (outputs, inputs) = self.shape.split_at(self.shape.len().min(1));
                let sides = outputs.iter().sum::<usize>() + inputs.iter().product::<usize>();
                let bound = (6.0 / sides as f64).sqrt();
                (0..self.len() as u32)
                    .map(|i| ((noise.uniform(stream, i) * 2.0 - 1.0) * bound) as f32)
                    .collect()
            }
        }
    }
}

/// FNV-1a (Fowler, Noll & Vo), 32 bits.
fn hash(name: &str) -> u32 {
    name.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

/// `{name}.weight` (out, in) and `{name}.bias` (out).
pub(crate) fn linear(list: &mut Vec<Parameter>, name: &str, inputs: usize, outputs: usize, init: Init) {
    list.push(Parameter { name: format!("{name}.weight"), shape: vec![outputs, inputs], init });
    list.push(Parameter { name: format!("{name}.bias"), shape: vec![outputs], init: Init::Zeros });
}

/// `{name}.weight` (out, in / groups, kernel…) and `{name}.bias` (out) of a convolution, `shape` being the weight's.
/// Normal with the variance that keeps that of the input, times `gain`².
pub(crate) fn conv(list: &mut Vec<Parameter>, name: &str, shape: &[usize], gain: f64) {
    let inputs: usize = shape[1..].iter().product();
    let init = if gain == 0.0 { Init::Zeros } else { Init::Normal(gain / (inputs as f64).sqrt()) };
    list.push(Parameter { name: format!("{name}.weight"), shape: shape.to_vec(), init });
    list.push(Parameter { name: format!("{name}.bias"), shape: vec![shape[0]], init: Init::Zeros });
}

/// `{name}.weight` (in, out, kernel) and `{name}.bias` (out) of a transposed convolution of one group, normal with the
/// variance that keeps that of the input where windows of `stride` places overlap.
pub(crate) fn conv_transposed(list: &mut Vec<Parameter>, name: &str, shape: [usize; 3], stride: usize) {
    let [inputs, outputs, taps] = shape;
    let init = Init::Normal((stride as f64 / (inputs * taps) as f64).sqrt());
    list.push(Parameter { name: format!("{name}.weight"), shape: shape.to_vec(), init });
    list.push(Parameter { name: format!("{name}.bias"), shape: vec![outputs], init: Init::Zeros });
}

/// `{name}.weight` and `{name}.bias` of a norm of so many channels.
pub(crate) fn norm(list: &mut Vec<Parameter>, name: &str, channels: usize) {
    list.push(Parameter { name: format!("{name}.weight"), shape: vec![channels], init: Init::Ones });
    list.push(Parameter { name: format!("{name}.bias"), shape: vec![channels], init: Init::Zeros });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_values_are_a_function_of_seed_and_name_and_nowhere_all_zero() {
        let mut list = Vec::new();
        linear(&mut list, "a", 8, 6, Init::Zeros);
        linear(&mut list, "b", 8, 6, Init::Zeros);
        list.push(Parameter { name: "c".into(), shape: vec![6, 8], init: Init::XavierUniform });
        for parameter in &list {
            assert_eq!(parameter.random(1), parameter.random(1));
            assert_ne!(parameter.random(1), parameter.random(2), "{}", parameter.name);
            assert!(parameter.random(1).iter().any(|x| *x != 0.0), "{}", parameter.name);
        }
        assert_ne!(list[0].random(1), list[2].random(1), "tensors of another name have other values");
        let spread = |values: Vec<f32>| values.iter().map(|x| x.abs()).fold(0.0, f32::max);
        assert!(spread(list[0].random(1)) < 0.1 && spread(list[1].random(1)) > 0.05);
    }
}
