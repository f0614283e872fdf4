use super::*;
use avdit_core::{Noise, Purpose, Stream};
use candle_core::{Device, Var};

/// Relative difference of two ways to the same sums in f32; 4e-7 was measured.
const SAME_MATH: f64 = 5e-6;

fn normal(dims: &[usize], item: u32) -> Tensor {
    let mut data = vec![0f32; dims.iter().product()];
    Noise::new(5).normals(Stream::new(Purpose::Check, 0, item), &mut data);
    Tensor::from_vec(data, dims, &Device::Cpu).unwrap()
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims());
    let norm = |x: Tensor| f64::from(x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt();
    norm((a - b).unwrap()) / norm(b.clone()).max(1e-12)
}

/// x without the batch, weight, window.
fn cases() -> Vec<(Vec<usize>, Vec<usize>, Window)> {
    let w = Window::new;
    vec![
        (vec![3, 11], vec![4, 3, 3], w(1)),
        (vec![3, 11], vec![4, 3, 1], w(1)),
        (vec![4, 12], vec![6, 2, 4], w(1).stride(&[3]).padding(&[(2, 1)]).groups(2)),
        (vec![2, 20], vec![3, 2, 7], w(1).dilation(&[3]).padding(&[(18, 0)])),
        (vec![1, 34], vec![5, 1, 16], w(1).stride(&[8]).padding(&[(14, 0)])),
        (vec![2, 3], vec![2, 2, 2], w(1).dilation(&[5]).padding(&[(4, 4)])),
        (vec![3, 6, 7], vec![5, 3, 3, 2], w(2).stride(&[2, 1]).padding(&[(0, 1), (1, 0)])),
        (vec![4, 5, 5], vec![4, 1, 3, 3], w(2).padding(&[(1, 1), (1, 1)]).groups(4)),
        (vec![3, 4, 4], vec![2, 3, 1, 1], w(2).stride(&[2, 2])),
        (vec![2, 5, 4, 6], vec![3, 2, 3, 3, 3], w(3).stride(&[2, 1, 2]).padding(&[(2, 0), (1, 1), (0, 1)])),
        (vec![2, 3, 4, 4], vec![4, 2, 2, 3, 1], w(3).dilation(&[2, 1, 1]).padding(&[(2, 0), (1, 1), (0, 0)])),
    ]
}

/// The output and the gradients of x, weight and bias, of `Σ output · direction`.
fn run(x: &Tensor, weight: &Tensor, bias: &Tensor, window: &Window, fused: bool) -> [Tensor; 4] {
    let vars = [x, weight, bias].map(|x| Var::from_tensor(x).unwrap());
    let y = conv(&vars[0], &vars[1], Some(&vars[2]), window, fused).unwrap();
    let direction = normal(y.dims(), 9);
    let grads = (&y * direction).unwrap().sum_all().unwrap().backward().unwrap();
    let [x, weight, bias] = vars.map(|var| grads.get(var.as_tensor()).unwrap().clone());
    [y.detach(), x, weight, bias]
}

#[test]
fn by_columns_and_by_taps_agree_in_value_and_gradient() {
    for (n, (input, weight, window)) in cases().into_iter().enumerate() {
        for batch in [1, 3] {
            let x = normal(&[&[batch], input.as_slice()].concat(), 1);
            let (bias, weight) = (normal(&weight[..1], 3), normal(&weight, 2));
            let (fused, plain) =
                (run(&x, &weight, &bias, &window, true), run(&x, &weight, &bias, &window, false));
            for (what, (a, b)) in ["value", "x", "weight", "bias"].iter().zip(fused.iter().zip(&plain)) {
                assert!(distance(a, b) < SAME_MATH, "case {n}, batch {batch}, {what}: {}", distance(a, b));
            }
        }
    }
}

#[test]
fn gradients_are_the_slopes_of_the_output() {
    for (n, (input, weight, window)) in cases().into_iter().enumerate() {
        let x = normal(&[&[2], input.as_slice()].concat(), 1);
        let (bias, weight) = (normal(&weight[..1], 3), normal(&weight, 2));
        let [y, grads @ ..] = run(&x, &weight, &bias, &window, true);
        let direction = normal(y.dims(), 9);
        // A convolution is linear in each of its inputs: a long step has the error of rounding alone.
        let places = [x, weight, bias];
        for (i, grad) in grads.iter().enumerate() {
            let step = normal(places[i].dims(), 20 + i as u32);
            let value = |sign: f64| {
                let mut at = places.clone();
                at[i] = (&at[i] + (&step * sign).unwrap()).unwrap();
                let y = conv(&at[0], &at[1], Some(&at[2]), &window, true).unwrap();
                f64::from((y * &direction).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap())
            };
            let slope = (value(1.0) - value(-1.0)) / 2.0;
            let told = f64::from((grad * &step).unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap());
            assert!(
                (slope - told).abs() < 1e-3 * (1.0 + slope.abs()),
                "case {n}, input {i}: {slope}, {told}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_an_error_that_tells_both_sides() {
    let (x, weight) = (normal(&[1, 3, 5], 1), normal(&[2, 4, 3], 2));
    let error = conv(&x, &weight, None, &Window::new(1), true).unwrap_err().to_string();
    assert!(error.contains("[2, 4, 3]") && error.contains("[3, 5]"), "{error}");
}

/// The same for a transposed convolution.
fn run_transposed(x: &Tensor, weight: &Tensor, bias: &Tensor, window: &Window, fused: bool) -> [Tensor; 4] {
    let vars = [x, weight, bias].map(|x| Var::from_tensor(x).unwrap());
    let y = transposed::conv(&vars[0], &vars[1], Some(&vars[2]), window, fused).unwrap();
    let direction = normal(y.dims(), 9);
    let grads = (&y * direction).unwrap().sum_all().unwrap().backward().unwrap();
    let [x, weight, bias] = vars.map(|var| grads.get(var.as_tensor()).unwrap().clone());
    [y.detach(), x, weight, bias]
}

#[test]
fn transposed_by_columns_and_by_zeros_agree_in_value_and_gradient() {
    let w = Window::new;
    let cases = [
        (vec![3, 11], vec![3, 4, 16], w(1).stride(&[5]).padding(&[(5, 5)])),
        (vec![4, 6], vec![4, 3, 4], w(1).stride(&[2]).padding(&[(0, 2)]).groups(2)),
        (vec![2, 5], vec![2, 3, 3], w(1).dilation(&[4])),
        (vec![3, 4, 5], vec![3, 2, 3, 2], w(2).stride(&[2, 3]).padding(&[(1, 0), (0, 1)])),
        (vec![2, 2, 3, 2], vec![2, 2, 2, 3, 1], w(3).stride(&[2, 1, 3]).dilation(&[1, 2, 1])),
    ];
    for (n, (input, weight, window)) in cases.into_iter().enumerate() {
        let n = 10 * n as u32;
        let x = normal(&[&[2], input.as_slice()].concat(), n);
        let (weight, bias) = (normal(&weight, n + 1), normal(&[weight[1] * window.groups], n + 2));
        let fused = run_transposed(&x, &weight, &bias, &window, true);
        let plain = run_transposed(&x, &weight, &bias, &window, false);
        for (what, (a, b)) in ["y", "dx", "dw", "db"].iter().zip(fused.iter().zip(&plain)) {
            assert!(distance(a, b) < SAME_MATH, "case {n}, {what}: {}", distance(a, b));
        }
    }
}
