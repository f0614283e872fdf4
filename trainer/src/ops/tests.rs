//! Every fused operation against its decomposed form: values and gradients of a whole network.

use crate::ops::{CandleOps, CandleTensor};
use avdit_core::{Noise, Purpose, Stream};
use avdit_nets::avdit::{AvditConfig, AvditInputs, avdit};
use candle_core::{Device, Tensor, Var};
use std::collections::HashMap;

/// Largest relative difference (Frobenius) between two float32 gradients of the same mathematics; 6e-7 measured.
const SAME_MATH: f64 = 5e-6;

fn config() -> AvditConfig {
    let text = r#"{"width":32,"depth":2,"heads":4,"mlp_ratio":2.0,"qk_norm":true,"adaln_rank":4,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"patch":2,"segments":[1,2]},
        "audio":{"frames":5,"channels":3,"segments":[2,3]}}"#;
    serde_json::from_str(text).unwrap()
}

fn normal(dims: &[usize], item: u32) -> Tensor {
    let mut data = vec![0f32; dims.iter().product()];
    Noise::new(3).normals(Stream::new(Purpose::Check, 0, item), &mut data);
    Tensor::from_vec(data, dims, &Device::Cpu).unwrap()
}

/// Outputs and gradients by parameter of `Σ output²`.
fn run(fused: bool) -> (Vec<Tensor>, Vec<(String, Tensor)>) {
    let config = config();
    let parameters = config.parameters();
    let vars: Vec<Var> = parameters
        .iter()
        .enumerate()
        .map(|(i, p)| Var::from_tensor(&(normal(&p.shape, 100 + i as u32) * 0.3).unwrap()).unwrap())
        .collect();
    let names = parameters.iter().map(|p| p.name.clone());
    let tensors: HashMap<String, Tensor> =
        names.clone().zip(vars.iter().map(|v| v.as_tensor().clone())).collect();
    let level = |item| CandleTensor::new((normal(&[2, 2], item).abs().unwrap() * 300.0).unwrap());
    let inputs = AvditInputs {
        video: CandleTensor::new(normal(&[2, 3, 2, 4, 2], 1)),
        audio: CandleTensor::new(normal(&[2, 5, 3], 2)),
        video_levels: level(3),
        audio_levels: level(4),
    };
    let ops = CandleOps::new(&tensors, &Device::Cpu);
    let ops = if fused { ops } else { ops.decomposed() };
    let (video, audio) = avdit(&ops, &config, &inputs).unwrap();
    let outputs = vec![video.dense().unwrap(), audio.dense().unwrap()];
    let loss =
        outputs.iter().map(|x| x.sqr().unwrap().sum_all().unwrap()).reduce(|a, b| (a + b).unwrap()).unwrap();
    let grads = loss.backward().unwrap();
    let grads =
        names.zip(&vars).map(|(name, var)| (name.clone(), grads.get(var).expect(&name).clone())).collect();
    (outputs, grads)
}

fn distance(a: &Tensor, b: &Tensor) -> f64 {
    let norm = |x: Tensor| f64::from(x.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap()).sqrt();
    norm((a - b).unwrap()) / norm(b.clone())
}

#[test]
fn fused_and_decomposed_forms_agree_in_value_and_gradient() {
    let ((outputs, grads), (reference_outputs, reference_grads)) = (run(true), run(false));
    for (a, b) in outputs.iter().zip(&reference_outputs) {
        assert!(distance(a, b) < SAME_MATH, "output {}", distance(a, b));
    }
    for ((name, a), (_, b)) in grads.iter().zip(&reference_grads) {
        assert!(distance(a, b) < SAME_MATH, "{name}: {}", distance(a, b));
    }
}
