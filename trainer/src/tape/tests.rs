//! Every operation on a tape against Candle's decomposed form, in value and gradient.

use super::{Parameters, Stock, Tape, TapeOptions};
use crate::ops::{CandleOps, CandleTensor};
use avdit_core::{Noise, Purpose, Stream};
use avdit_nets::Ops;
use candle_core::{Device, Tensor, Var};
use std::collections::HashMap;

mod networks;

/// Largest relative difference (Frobenius) between two float32 computations of the same mathematics; 9e-7 measured.
const SAME_MATH: f64 = 5e-6;
const HEADS: usize = 2;
const CELLS: usize = 3;

/// What is done with x (tokens, d) and cells (3, 3d).
#[derive(Clone, Copy, Debug)]
enum Case {
    Linear,
    LinearWithoutBias,
    LinearOfColumns,
    LinearOfKernel,
    LowRank,
    Activations,
    Relu,
    LayerNorm,
    ModulateByCells,
    ModulateByTokens,
    ModulateByBoth,
    GateByCells,
    GateByTokens,
    RmsNorm,
    RmsNormOfColumns,
    Attention,
    AttentionOfColumns,
    AttentionInGroups,
    AttentionToOthers,
    AttentionToOthersInGroups,
    Permute,
    Narrow,
    ColumnsTwoWays,
    Concat,
    Broadcast,
    BroadcastOfFewer,
    Gather,
    Embedding,
    Mean,
    Block,
}

impl Case {
    const ALL: [Self; 30] = [
        Self::Linear,
        Self::LinearWithoutBias,
        Self::LinearOfColumns,
        Self::LinearOfKernel,
        Self::LowRank,
        Self::Activations,
        Self::Relu,
        Self::LayerNorm,
        Self::ModulateByCells,
        Self::ModulateByTokens,
        Self::ModulateByBoth,
        Self::GateByCells,
        Self::GateByTokens,
        Self::RmsNorm,
        Self::RmsNormOfColumns,
        Self::Attention,
        Self::AttentionOfColumns,
        Self::AttentionInGroups,
        Self::AttentionToOthers,
        Self::AttentionToOthersInGroups,
        Self::Permute,
        Self::Narrow,
        Self::ColumnsTwoWays,
        Self::Concat,
        Self::Broadcast,
        Self::BroadcastOfFewer,
        Self::Gather,
        Self::Embedding,
        Self::Mean,
        Self::Block,
    ];

    fn apply<O: Ops>(self, ops: &O, x: &O::Tensor, cells: &O::Tensor) -> Result<O::Tensor, O::Error> {
        let (tokens, d) = (ops.dims(x)[0], ops.dims(x)[1]);
        let rows: Vec<usize> = (0..tokens).map(|i| (i * 7 + 2) % CELLS).collect();
        let heads = [tokens, HEADS, d / HEADS];
        let per_cell = |i| ops.narrow(&ops.gather_rows(cells, &rows)?, 1, i * d, d);
        let columns = || ops.linear_split(x, "wide", 3);
        match self {
            Self::Linear => ops.linear(x, "wide"),
            Self::LinearWithoutBias => ops.linear(x, "plain"),
            Self::LinearOfColumns => ops.linear(&columns()?[1], "wide"),
            Self::LinearOfKernel => ops.linear(x, "kernel"),
            Self::LowRank => ops.mul(
                &ops.matmul(&ops.matmul(x, "plain.weight")?, "up")?,
                &ops.constant("half", &[], vec![0.5])?,
            ),
            Self::Relu => ops.add(x, &ops.relu(x)?),
            Self::LayerNorm => ops.layer_norm(x, 1e-6),
            Self::Activations => {
                let y = ops.add(&ops.gelu(x)?, &ops.silu(x)?)?;
                ops.add(&y, &ops.mul(&ops.sin(x)?, &ops.cos(x)?)?)
            }
            Self::ModulateByCells => ops.modulate(x, &per_cell(0)?, &per_cell(2)?, 1e-6),
            Self::ModulateByTokens => {
                let parts = columns()?;
                ops.modulate(x, &parts[0], &parts[2], 1e-6)
            }
            Self::ModulateByBoth => ops.modulate(x, &per_cell(1)?, &columns()?[1], 1e-6),
            Self::GateByCells => ops.gate_add(x, &per_cell(1)?, &ops.gelu(x)?),
            Self::GateByTokens => {
                let parts = columns()?;
                ops.gate_add(&parts[0], &parts[1], &parts[2])
            }
            Self::RmsNorm => ops.rms_norm(&ops.reshape(x, &heads)?, "norm", 1e-6),
            Self::RmsNormOfColumns => ops.rms_norm(&ops.reshape(&columns()?[2], &heads)?, "norm", 1e-6),
            Self::Attention => {
                let x = ops.reshape(x, &heads)?;
                let q = ops.rms_norm(&x, "norm", 1e-6)?;
                ops.attention(&q, &x, &ops.gelu(&x)?)
            }
            Self::AttentionOfColumns => {
                let parts = columns()?;
                let [q, k, v] = [0, 1, 2].map(|i| ops.reshape(&parts[i], &heads));
                ops.attention(&q?, &k?, &v?)
            }
            Self::AttentionInGroups => {
                let both = ops.concat(&[x, &ops.gelu(x)?], 0)?;
                let value = ops.reshape(&ops.linear(&both, "wide")?, &[2, tokens, HEADS, 3 * d / HEADS])?;
                let both = ops.reshape(&both, &[2, tokens, HEADS, d / HEADS])?;
                ops.attention(&ops.rms_norm(&both, "norm", 1e-6)?, &both, &value)
            }
            Self::AttentionToOthers => {
                let n = tokens.div_ceil(2);
                let few = ops.reshape(&ops.gelu(&ops.narrow(x, 0, 0, n)?)?, &[n, HEADS, d / HEADS])?;
                let value = ops.reshape(&ops.linear(x, "wide")?, &[tokens, HEADS, 3 * d / HEADS])?;
                let x = ops.reshape(x, &heads)?;
                let of_all = ops.attention(&few, &x, &value)?;
                ops.concat(&[&ops.narrow(&of_all, 1, d, d)?, &ops.attention(&x, &few, &few)?], 0)
            }
            Self::AttentionToOthersInGroups => {
                let q = ops.reshape(&ops.concat(&[x, &ops.gelu(x)?], 0)?, &[2, tokens, HEADS, d / HEADS])?;
                let others = ops.silu(&ops.narrow(&q, 1, 0, tokens.div_ceil(3))?)?;
                ops.attention(&q, &others, &others)
            }
            Self::Permute => {
                let x = ops.permute(&ops.reshape(x, &heads)?, &[1, 0, 2])?;
                let x = ops.reshape(&x, &[HEADS, tokens, d / HEADS])?;
                ops.gelu(&ops.permute(&x, &[2, 0, 1])?)
            }
            Self::Narrow => {
                let parts = columns()?;
                let x = ops.narrow(&parts[1], 0, tokens / 2, tokens - tokens / 2)?;
                ops.gelu(&ops.narrow(&x, 1, 1, d - 1)?)
            }
            Self::ColumnsTwoWays => {
                let y = ops.linear(x, "wide")?;
                let a = ops.narrow(&y, 1, 0, 2 * d)?;
                let b = ops.narrow(&y, 1, d, 2 * d)?;
                ops.add(&ops.gelu(&a)?, &ops.mul(&b, &ops.narrow(&y, 1, 0, 2 * d)?)?)
            }
            Self::Concat => {
                let x = ops.concat(&[x, &ops.gelu(x)?], 1)?;
                ops.concat(&[&x, &ops.silu(&x)?], 0)
            }
            Self::Broadcast => {
                let row = ops.narrow(x, 0, 0, 1)?;
                let column = ops.narrow(x, 1, 0, 1)?;
                ops.mul(&ops.add(x, &row)?, &ops.mul(&column, &ops.parameter("row")?)?)
            }
            Self::BroadcastOfFewer => {
                let x = ops.reshape(x, &[1, tokens, d])?;
                ops.add(&ops.mul(&x, &ops.parameter("square.bias")?)?, &ops.parameter("row")?)
            }
            Self::Gather => ops.silu(&per_cell(1)?),
            Self::Embedding => {
                let labels = (0..tokens).map(|i| (i * 5 % CELLS) as f32).collect();
                let rows = ops.embedding(&ops.constant("labels", &[tokens], labels)?, "table")?;
                ops.mul(x, &rows)
            }
            Self::Mean => {
                let x = ops.reshape(x, &[tokens, HEADS, d / HEADS])?;
                ops.concat(&[&ops.mean(&x, 1)?, &ops.mean(&ops.gelu(&x)?, 2)?], 1)
            }
            Self::Block => ops.block(
                &[x, &per_cell(0)?],
                Box::new(|ops, inputs| {
                    let y = ops.gelu(&ops.linear(&inputs[0], "square")?)?;
                    ops.gate_add(&inputs[0], &inputs[1], &y)
                }),
            ),
        }
    }
}

fn normal(dims: &[usize], item: u32) -> Vec<f32> {
    let mut data = vec![0f32; dims.iter().product()];
    Noise::new(3).normals(Stream::new(Purpose::Check, 0, item), &mut data);
    data
}

/// Sizes of a case.
#[derive(Clone, Copy, Debug)]
struct Sizes {
    batch: usize,
    tokens: usize,
    d: usize,
}

impl Sizes {
    fn parameters(self) -> Vec<(&'static str, Vec<usize>)> {
        let Self { tokens, d, .. } = self;
        vec![
            ("x", vec![tokens, d]),
            ("cells", vec![CELLS, 3 * d]),
            ("wide.weight", vec![3 * d, d]),
            ("wide.bias", vec![3 * d]),
            ("plain.weight", vec![5, d]),
            ("square.weight", vec![d, d]),
            ("square.bias", vec![d]),
            ("norm.weight", vec![d / HEADS]),
            ("row", vec![1, d]),
            ("kernel.weight", vec![4, d / 2, 2]),
            ("up", vec![3, 5]),
            ("table.weight", vec![CELLS, d]),
        ]
    }

    /// Matrices are scaled so that what they make is of size 1: a softmax of large scores has few digits in either form.
    fn values(self) -> Vec<Vec<f32>> {
        let value = |(i, (name, shape)): (usize, &(&str, Vec<usize>))| {
            let scale = if name.ends_with(".weight") { (self.d as f32).powf(-0.5) } else { 1.0 };
            normal(shape, i as u32).into_iter().map(|x| x * scale).collect()
        };
        self.parameters().iter().enumerate().map(value).collect()
    }

    /// The batch that x and cells are added to, so that both have a gradient in every example.
    fn inputs(self) -> [(Vec<f32>, [usize; 2]); 2] {
        let Self { batch, tokens, d } = self;
        [[tokens, d], [CELLS, 3 * d]]
            .map(|dims| (normal(&[batch, dims[0], dims[1]], 50 + dims[1] as u32), dims))
    }
}

/// An output and the gradient of `Σ (weight·(output − target))²` by parameter.
type Outcome = (Vec<f32>, Vec<Option<Vec<f32>>>);

fn weights(len: usize) -> (Vec<f32>, Vec<f32>) {
    (normal(&[len], 90), normal(&[len], 91))
}

fn on_tape(case: Case, sizes: Sizes, options: TapeOptions) -> Outcome {
    let (list, values) = (sizes.parameters(), sizes.values());
    let parameters =
        Parameters::new(list.iter().zip(&values).map(|((n, s), v)| (*n, s.as_slice(), v.as_slice(), true)));
    let tape = Tape::new(&parameters, options, Stock::default());
    let [x, cells] = sizes.inputs().map(|(data, dims)| tape.input(&data, sizes.batch, &dims));
    let x = tape.add(&x, &tape.parameter("x").unwrap()).unwrap();
    let cells = tape.add(&cells, &tape.parameter("cells").unwrap()).unwrap();
    let y = tape.dense(&case.apply(&tape, &x, &cells).unwrap()).unwrap();
    let values = y.dense_values().to_vec();
    let (target, weight) = weights(values.len());
    tape.loss(&y, &target, &weight, |_| ()).unwrap();
    drop((x, cells, y));
    (values, tape.backward().unwrap().0)
}

fn on_candle(case: Case, sizes: Sizes) -> Outcome {
    let list = sizes.parameters();
    let tensor = |data: Vec<f32>, dims: &[usize]| Tensor::from_vec(data, dims, &Device::Cpu).unwrap();
    let vars: Vec<Var> =
        list.iter().zip(sizes.values()).map(|((_, s), v)| Var::from_tensor(&tensor(v, s)).unwrap()).collect();
    let named = list.iter().zip(&vars).map(|((n, _), v)| ((*n).to_owned(), v.as_tensor().clone()));
    let named: HashMap<String, Tensor> = named.collect();
    let ops = CandleOps::new(&named, &Device::Cpu).decomposed();
    let [x, cells] =
        sizes.inputs().map(|(data, dims)| CandleTensor::new(tensor(data, &[sizes.batch, dims[0], dims[1]])));
    let x = ops.add(&x, &ops.parameter("x").unwrap()).unwrap();
    let cells = ops.add(&cells, &ops.parameter("cells").unwrap()).unwrap();
    let y = case.apply(&ops, &x, &cells).unwrap().dense().unwrap().flatten_all().unwrap();
    let values = y.to_vec1().unwrap();
    let (target, weight) = weights(values.len());
    let len = values.len();
    let error = ((y - tensor(target, &[len])).unwrap() * tensor(weight, &[len])).unwrap();
    let grads = error.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let grads = vars.iter().map(|var| Some(grads.get(var)?.flatten_all().unwrap().to_vec1().unwrap()));
    (values, grads.collect())
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |x: &mut dyn Iterator<Item = f64>| x.map(|x| x * x).sum::<f64>().sqrt();
    let reference = norm(&mut b.iter().map(|&x| f64::from(x)));
    norm(&mut a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b))) / reference.max(1e-30)
}

const HERE: TapeOptions = TapeOptions { checkpoint: false, spread: false };

/// One token, sizes that nothing divides, more tokens than a tile, more rows than a block.
const SIZES: [Sizes; 4] = [
    Sizes { batch: 1, tokens: 1, d: 2 },
    Sizes { batch: 2, tokens: 5, d: 22 },
    Sizes { batch: 1, tokens: 131, d: 6 },
    Sizes { batch: 3, tokens: 97, d: 34 },
];

#[test]
fn every_operation_agrees_with_its_decomposed_form_in_value_and_gradient() {
    for sizes in SIZES {
        for case in Case::ALL {
            let ((got, grads), (expected, reference)) = (on_tape(case, sizes, HERE), on_candle(case, sizes));
            assert!(
                distance(&got, &expected) < SAME_MATH,
                "{case:?} {sizes:?}: {}",
                distance(&got, &expected)
            );
            for (((name, _), got), expected) in sizes.parameters().iter().zip(&grads).zip(&reference) {
                match (got, expected) {
                    (None, None) => {}
                    (Some(a), Some(b)) => {
                        // A sum of terms that cancel has no digits to compare.
                        let small = b.iter().all(|x| x.abs() < 1e-4);
                        let far = distance(a, b);
                        assert!(small || far < SAME_MATH, "{case:?} {sizes:?} {name}: {far}");
                    }
                    _ => panic!("{case:?} {sizes:?}: only one of them has a gradient of {name}"),
                }
            }
        }
    }
}

#[test]
fn a_block_that_is_run_again_and_threads_that_share_the_work_change_no_bit() {
    for sizes in SIZES {
        for case in Case::ALL {
            let plain = on_tape(case, sizes, HERE);
            for (checkpoint, threads) in [(true, 1), (false, 2), (true, 3)] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let options = TapeOptions { checkpoint, spread: threads > 1 };
                assert!(
                    pool.install(|| on_tape(case, sizes, options)) == plain,
                    "{case:?} {sizes:?} {options:?}"
                );
            }
        }
    }
}

#[test]
fn what_does_not_fit_together_is_refused_with_both_shapes() {
    let values = vec![0f32; 6];
    let parameters = Parameters::new([("a.weight", [3usize, 2].as_slice(), values.as_slice(), true)]);
    let tape = Tape::new(&parameters, HERE, Stock::default());
    let x = tape.input(&values, 1, &[2, 3]);
    let said = |result: crate::Result<super::TapeTensor>| result.err().unwrap().to_string();
    assert_eq!(said(tape.linear(&x, "a")), "a network's operation: a: weight [3, 2] on [2, 3]");
    assert_eq!(said(tape.linear(&x, "b")), "parameter b.weight: the network has no such parameter");
    assert_eq!(
        said(tape.add(&x, &tape.input(&values, 1, &[3, 2]))),
        "a network's operation: [2, 3] and [3, 2] cannot be broadcast"
    );
    assert_eq!(said(tape.reshape(&x, &[7])), "a network's operation: [2, 3] cannot be seen as [7]");
    assert_eq!(said(tape.gather_rows(&x, &[2])), "a network's operation: row 2 of [2, 3]");
    assert_eq!(
        said(tape.narrow(&x, 1, 2, 2)),
        "a network's operation: entries 2..4 of dimension 1 of [2, 3]"
    );
    let label = tape.input(&[3.0], 1, &[1]);
    assert_eq!(said(tape.embedding(&label, "a")), "parameter a.weight: it has rows 0 to 2, got the label 3");
    assert_eq!(said(tape.mean(&x, 2)), "a network's operation: the mean along dimension 2 of [2, 3]");
}
