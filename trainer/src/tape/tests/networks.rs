//! Whole networks on a tape against Candle's decomposed form, with all parameters trained and with some.

use super::{HERE, SAME_MATH, distance, normal};
use crate::ops::{CandleOps, CandleTensor};
use crate::tape::{Parameters, Stock, Tape, TapeOptions};
use avdit_nets::av_dit::FusionForm;
use avdit_nets::{AvDitConfig, DitConfig, Network, Parameter, Trainable};
use candle_core::{Device, Tensor, Var};
use std::collections::HashMap;

const BATCH: usize = 2;

fn dit() -> DitConfig {
    DitConfig {
        width: 16,
        depth: 2,
        heads: 2,
        mlp_ratio: 2.0,
        patch: 2,
        channels: 3,
        size: [4, 6],
        classes: 3,
        null_class: true,
        learned_variance: true,
    }
}

fn av_dit() -> AvDitConfig {
    let text = r#"{"width":16,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.5,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    serde_json::from_str(text).unwrap()
}

/// In every form of fusion.
fn av_dits() -> [AvDitConfig; 3] {
    [FusionForm::Lora, FusionForm::Frozen, FusionForm::Cross]
        .map(|fusion_form| AvDitConfig { fusion_form, ..av_dit() })
}

/// Normal weights of a size at which every layer matters.
fn values(list: &[Parameter]) -> Vec<Vec<f32>> {
    let value = |(i, p): (usize, &Parameter)| {
        let inputs: usize = p.shape[1..].iter().product();
        let scale = if p.shape.len() > 1 { (inputs as f32).powf(-0.5) } else { 0.3 };
        normal(&p.shape, 100 + i as u32).into_iter().map(|x| x * scale).collect()
    };
    list.iter().enumerate().map(value).collect()
}

/// Latents are normal; timesteps and labels, which are vectors, whole numbers from 0 to 2.
fn inputs(network: &impl Network) -> Vec<(Vec<f32>, Vec<usize>)> {
    let input = |(i, (_, dims)): (usize, (&str, Vec<usize>))| {
        let all = [&[BATCH], dims.as_slice()].concat();
        let data = match dims.len() {
            1 => (0..BATCH * dims[0]).map(|k| ((k + i) % 3) as f32).collect(),
            _ => normal(&all, i as u32),
        };
        (data, dims)
    };
    network.inputs().into_iter().enumerate().map(input).collect()
}

/// Outputs one after another, and the gradient of `Σ output²` by parameter.
type Outcome = (Vec<f32>, Vec<Option<Vec<f32>>>);

fn on_tape(network: &impl Trainable, trains: impl Fn(&str) -> bool, options: TapeOptions) -> Outcome {
    let list = network.parameters();
    let values = values(&list);
    let named = list.iter().zip(&values);
    let parameters = Parameters::new(
        named.map(|(p, v)| (p.name.as_str(), p.shape.as_slice(), v.as_slice(), trains(&p.name))),
    );
    let tape = Tape::new(&parameters, options, Stock::default());
    let inputs: Vec<_> = inputs(network).iter().map(|(data, dims)| tape.input(data, BATCH, dims)).collect();
    let mut outputs = Vec::new();
    for y in network.forward(&tape, &inputs).unwrap() {
        let y = tape.dense(&y).unwrap();
        let values = y.dense_values();
        outputs.extend_from_slice(values);
        tape.loss(&y, &vec![0.0; values.len()], &vec![1.0; values.len()], |_| ()).unwrap();
    }
    drop(inputs);
    (outputs, tape.backward().unwrap().0)
}

fn on_candle(network: &impl Network) -> Outcome {
    let tensor = |data: Vec<f32>, dims: &[usize]| Tensor::from_vec(data, dims, &Device::Cpu).unwrap();
    let list = network.parameters();
    let var = |(p, v): (&Parameter, Vec<f32>)| Var::from_tensor(&tensor(v, &p.shape)).unwrap();
    let vars: Vec<Var> = list.iter().zip(values(&list)).map(var).collect();
    let named = list.iter().zip(&vars).map(|(p, v)| (p.name.clone(), v.as_tensor().clone()));
    let named: HashMap<String, Tensor> = named.collect();
    let ops = CandleOps::new(&named, &Device::Cpu).decomposed();
    let input = |(data, dims): (Vec<f32>, Vec<usize>)| {
        CandleTensor::new(tensor(data, &[&[BATCH], dims.as_slice()].concat()))
    };
    let inputs: Vec<_> = inputs(network).into_iter().map(input).collect();
    let made = network.run(&ops, &inputs).unwrap();
    let made = made.iter().map(|y| y.dense().unwrap().flatten_all().unwrap()).collect::<Vec<_>>();
    let y = Tensor::cat(&made, 0).unwrap();
    let grads = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
    let grads = vars.iter().map(|var| Some(grads.get(var)?.flatten_all().unwrap().to_vec1().unwrap()));
    (y.to_vec1().unwrap(), grads.collect())
}

fn agrees(network: &impl Trainable) {
    let ((got, grads), (expected, reference)) = (on_tape(network, |_| true, HERE), on_candle(network));
    assert!(distance(&got, &expected) < SAME_MATH, "{}: {}", network.name(), distance(&got, &expected));
    for ((parameter, got), expected) in network.parameters().iter().zip(&grads).zip(&reference) {
        let (got, expected) = (got.as_ref().unwrap(), expected.as_ref().unwrap());
        // What is added to every key alike moves no softmax: such a gradient is rounding alone.
        let rounding = parameter.name.ends_with("temporal.k.bias") && expected.iter().all(|x| x.abs() < 1e-4);
        let far = distance(got, expected);
        assert!(rounding || far < 2.0 * SAME_MATH, "{} {}: {far}", network.name(), parameter.name);
    }
}

#[test]
fn a_network_has_the_outputs_and_gradients_of_its_decomposed_form() {
    agrees(&dit());
    av_dits().iter().for_each(agrees);
}

#[test]
fn a_checkpointed_network_has_the_bits_of_a_plain_one() {
    let checkpointed = TapeOptions { checkpoint: true, spread: false };
    assert!(on_tape(&dit(), |_| true, checkpointed) == on_tape(&dit(), |_| true, HERE));
    for network in av_dits() {
        assert!(on_tape(&network, |_| true, checkpointed) == on_tape(&network, |_| true, HERE));
    }
}

#[test]
fn what_is_frozen_gets_no_gradient_and_changes_no_bit_of_the_others() {
    for network in av_dits() {
        let marked = network.marked_parameters();
        let trains =
            |name: &str| marked.iter().any(|(parameter, trained)| parameter.name == name && *trained);
        let ((outputs, all), (same, some)) =
            (on_tape(&network, |_| true, HERE), on_tape(&network, trains, HERE));
        assert!(outputs == same);
        for (((parameter, trained), all), some) in marked.iter().zip(&all).zip(&some) {
            assert!(all.is_some(), "{}", parameter.name);
            assert!(*some == all.clone().filter(|_| *trained), "{}", parameter.name);
        }
    }
}
