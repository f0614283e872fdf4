//! A fixed random network of convolutions over time and space: its parameters are drawn, never learnt.

use avdit_core::{Noise, Purpose, Stream};

/// The seed of all parameters: part of the name of the feature space.
const SEED: u64 = 0x6176_6469_7400_0001;
/// Standard deviation of a bias.
const BIAS: f64 = 0.2;
/// How much more a filter of change weighs than one of state: neighbours in time differ little.
const CHANGE_GAIN: f64 = 3.0;

/// Values on a grid: `(time, rows, columns, channels)`, row-major.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    pub(super) time: usize,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

impl Volume {
    /// Appends channels that say where a cell is, −1 to 1 along rows and columns.
    pub(super) fn with_places(&self) -> Self {
        let place = |i: usize, n: usize| if n > 1 { 2.0 * i as f32 / (n - 1) as f32 - 1.0 } else { 0.0 };
        let mut values = Vec::with_capacity(self.values.len() / self.channels * (self.channels + 2));
        for (cell, own) in self.values.chunks_exact(self.channels).enumerate() {
            values.extend_from_slice(own);
            values.push(place(cell / self.columns % self.rows, self.rows));
            values.push(place(cell % self.columns, self.columns));
        }
        Self { channels: self.channels + 2, values, ..*self }
    }
}

/// A convolution with kernels of 3 along axes longer than 1, zero outside, then ReLU.
pub(super) struct Layer {
    inputs: usize,
    outputs: usize,
    /// Taps along time, rows, columns.
    taps: [usize; 3],
    /// Steps along time, rows, columns.
    steps: [usize; 3],
    /// `(tap, input, output)`.
    weights: Vec<f32>,
    biases: Vec<f32>,
}

impl Layer {
    /// Layer `index` of a network named by `stream`. He et al. 2015: variance 2 / inputs. Half of the filters see
    /// change alone: along time their weights sum to 0.
    pub(super) fn new(
        stream: u32,
        index: u32,
        [inputs, outputs]: [usize; 2],
        taps: [usize; 3],
        steps: [usize; 3],
    ) -> Self {
        let noise = Noise::new(SEED);
        let of = |part: u32| Stream::new(Purpose::Parameters, stream, 2 * index + part);
        let cells = taps.iter().product::<usize>();
        let mut weights = vec![0f32; cells * inputs * outputs];
        noise.normals(of(0), &mut weights);
        let scale = (2.0 / (cells * inputs) as f64).sqrt() as f32;
        weights.iter_mut().for_each(|w| *w *= scale);
        let apart = weights.len() / taps[0];
        for i in (0..apart).filter(|i| i % outputs >= outputs / 2) {
            let mean = (0..taps[0]).map(|t| weights[t * apart + i]).sum::<f32>() / taps[0] as f32;
            (0..taps[0]).for_each(|t| {
                weights[t * apart + i] = (weights[t * apart + i] - mean) * CHANGE_GAIN as f32;
            });
        }
        let mut biases = vec![0f32; outputs];
        noise.normals(of(1), &mut biases);
        // What sees change alone has nothing to say where there is none.
        biases.iter_mut().enumerate().for_each(|(o, b)| {
            *b *= if o < outputs / 2 { BIAS as f32 } else { 0.0 };
        });
        Self { inputs, outputs, taps, steps, weights, biases }
    }

    /// Along time the first and the last instant go on for ever, so that what stands still has no change at the
    /// ends either; in space there is nothing outside.
    pub(super) fn run(&self, x: &Volume) -> Volume {
        debug_assert_eq!(x.channels, self.inputs);
        let sizes = [x.time, x.rows, x.columns];
        let outs: [usize; 3] = std::array::from_fn(|a| sizes[a].div_ceil(self.steps[a]));
        let mut values = Vec::with_capacity(outs.iter().product::<usize>() * self.outputs);
        for t in 0..outs[0] {
            for row in 0..outs[1] {
                for column in 0..outs[2] {
                    let at = values.len();
                    values.extend_from_slice(&self.biases);
                    self.add(x, [t, row, column], &mut values[at..]);
                }
            }
        }
        values.iter_mut().for_each(|v| *v = v.max(0.0));
        Volume { time: outs[0], rows: outs[1], columns: outs[2], channels: self.outputs, values }
    }

    fn add(&self, x: &Volume, at: [usize; 3], sums: &mut [f32]) {
        let source = |axis: usize, tap: usize| {
            (at[axis] * self.steps[axis] + tap) as isize - self.taps[axis] as isize / 2
        };
        for tap_t in 0..self.taps[0] {
            let t = source(0, tap_t).clamp(0, x.time as isize - 1) as usize;
            for tap_r in 0..self.taps[1] {
                let row = source(1, tap_r);
                if row < 0 || row >= x.rows as isize {
                    continue;
                }
                for tap_c in 0..self.taps[2] {
                    let column = source(2, tap_c);
                    if column < 0 || column >= x.columns as isize {
                        continue;
                    }
                    let cell = (t * x.rows + row as usize) * x.columns + column as usize;
                    let tap = (tap_t * self.taps[1] + tap_r) * self.taps[2] + tap_c;
                    let weights =
                        &self.weights[tap * self.inputs * self.outputs..][..self.inputs * self.outputs];
                    let inputs = &x.values[cell * self.inputs..][..self.inputs];
                    for (x, weights) in inputs.iter().zip(weights.chunks_exact(self.outputs)) {
                        sums.iter_mut().zip(weights).for_each(|(sum, w)| *sum += x * w);
                    }
                }
            }
        }
    }
}

/// Mean and standard deviation of each channel over all cells: first all means, then all deviations.
pub(super) fn moments(x: &Volume) -> Vec<f32> {
    let n = (x.values.len() / x.channels) as f64;
    let (mut sums, mut squares) = (vec![0f64; x.channels], vec![0f64; x.channels]);
    for cell in x.values.chunks_exact(x.channels) {
        for ((sum, square), &v) in sums.iter_mut().zip(&mut squares).zip(cell) {
            *sum += f64::from(v) / n;
            *square += f64::from(v).powi(2) / n;
        }
    }
    let deviations = sums.iter().zip(&squares).map(|(m, s)| (s - m * m).max(0.0).sqrt());
    sums.iter().copied().chain(deviations).map(|x| x as f32).collect()
}
