//! AV-DiT's two cross-attentions against their mathematics, written out in double precision.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{Noise, Purpose, Stream};
use avdit_nets::av_dit::FusionForm;
use avdit_nets::{AvDitConfig, Network};
use avdit_trainer::ops::{CandleOps, CandleTensor};
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// Relative distance (Frobenius) between f32 and f64 of what fusion adds; 7.2e-7 measured.
const SAME_MATH: f64 = 3e-6;

/// What adds to the streams of a block beside fusion.
const OTHERS: [&str; 4] = [".attn.proj", "temporal.proj", "mlp.fc2", "audio_adapter.up"];

fn config() -> AvDitConfig {
    let text = r#"{"width":16,"depth":1,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,"fusion_form":"cross","fusion_ratio":4,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    serde_json::from_str(text).unwrap()
}

fn normal(len: usize, item: u32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Noise::new(31).normals(Stream::new(Purpose::Check, 2, item), &mut values);
    values
}

type Values = HashMap<String, (Vec<usize>, Vec<f32>)>;

fn weights(config: &AvDitConfig) -> Values {
    let value = |(i, p): (usize, avdit_nets::Parameter)| {
        let silent = OTHERS.iter().any(|part| p.name.contains(part));
        let scale = if silent { 0.0 } else { 0.5 };
        let values = normal(p.len(), 10 + i as u32).into_iter().map(|x| scale * x).collect();
        (p.name, (p.shape, values))
    };
    config.parameters().into_iter().enumerate().map(value).collect()
}

/// The tokens of sight and of sound behind the block.
fn behind_the_block(config: &AvDitConfig, weights: &Values) -> [Vec<f64>; 2] {
    let tensor = |data: Vec<f32>, dims: &[usize]| Tensor::from_vec(data, dims, &Device::Cpu).unwrap();
    let tensors: HashMap<_, _> =
        weights.iter().map(|(name, (dims, data))| (name.clone(), tensor(data.clone(), dims))).collect();
    let ops = CandleOps::new(&tensors, &Device::Cpu).with_taps();
    let inputs: Vec<_> = (config.inputs().into_iter().zip(0u32..))
        .map(|((_, dims), i)| {
            let data = normal(dims.iter().product(), i).into_iter().map(|x| 3.0 * x.abs()).collect();
            CandleTensor::new(tensor(data, &[&[1], dims.as_slice()].concat()))
        })
        .collect();
    config.run(&ops, &inputs).unwrap();
    let taps: HashMap<String, Tensor> = ops.into_taps().into_iter().collect();
    ["block0.video", "block0.audio"].map(|name| {
        let values = taps[name].flatten_all().unwrap().to_vec1::<f32>().unwrap();
        values.into_iter().map(f64::from).collect()
    })
}

fn normed(row: &[f64]) -> Vec<f64> {
    let n = row.len() as f64;
    let mean = row.iter().sum::<f64>() / n;
    let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n;
    row.iter().map(|x| (x - mean) / (variance + 1e-6).sqrt()).collect()
}

/// `x·Wᵀ` of one row.
fn product(row: &[f64], matrix: &(Vec<usize>, Vec<f32>)) -> Vec<f64> {
    let rows = matrix.1.chunks_exact(matrix.0[1]);
    rows.map(|w| w.iter().zip(row).map(|(w, x)| f64::from(*w) * x).sum()).collect()
}

/// What every row of `asks` takes from the rows of `seen`.
fn cross(name: &str, weights: &Values, asks: &[Vec<f64>], seen: &[Vec<f64>], heads: usize) -> Vec<Vec<f64>> {
    let of = |row: &[f64], part: &str| product(row, &weights[&format!("blocks.0.{name}.{part}.weight")]);
    let take = |row: &Vec<f64>| {
        let q = of(row, "q");
        let width = q.len() / heads;
        let mut y = vec![0.0; q.len()];
        for head in (0..heads).map(|head| head * width..(head + 1) * width) {
            let score = |other: &Vec<f64>| {
                let k = of(other, "k");
                let dot: f64 = q[head.clone()].iter().zip(&k[head.clone()]).map(|(q, k)| q * k).sum();
                (dot / (width as f64).sqrt()).exp()
            };
            let scores: Vec<f64> = seen.iter().map(score).collect();
            let sum: f64 = scores.iter().sum();
            for (other, score) in seen.iter().zip(&scores) {
                let v = of(other, "v");
                y[head.clone()].iter_mut().zip(&v[head.clone()]).for_each(|(y, v)| *y += score / sum * v);
            }
        }
        of(&y, "proj")
    };
    asks.iter().map(take).collect()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error: f64 = a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum();
    (error / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

#[test]
fn cross_attentions_add_what_their_mathematics_says() {
    let config = config();
    assert_eq!(config.fusion_form, FusionForm::Cross);
    let weights = weights(&config);
    let mut without = weights.clone();
    let silent = |(name, (_, values)): (&String, &mut (Vec<usize>, Vec<f32>))| {
        if name.contains(".fusion_") && name.contains(".proj.") {
            values.fill(0.0);
        }
    };
    without.iter_mut().for_each(silent);
    let [video, audio] = behind_the_block(&config, &without);
    let [with_video, with_audio] = behind_the_block(&config, &weights);

    let (d, m, l) = (config.width, config.video.frames, config.frame_tokens());
    let mean = |place: usize| -> Vec<f64> {
        (0..d).map(|i| (0..m).map(|t| video[(t * l + place) * d + i]).sum::<f64>() / m as f64).collect()
    };
    let sight: Vec<_> = (0..l).map(|place| normed(&mean(place))).collect();
    let sound: Vec<_> = audio.chunks_exact(d).map(normed).collect();
    assert_ne!(sight.len(), sound.len(), "the two have other numbers of tokens");
    let to_sight = cross("fusion_video", &weights, &sight, &sound, config.heads).concat();
    let to_sound = cross("fusion_audio", &weights, &sound, &sight, config.heads).concat();

    let added =
        |after: &[f64], before: &[f64]| after.iter().zip(before).map(|(a, b)| a - b).collect::<Vec<_>>();
    let frames = added(&with_video, &video);
    for frame in frames.chunks_exact(l * d) {
        let error = distance(frame, &to_sight);
        assert!(error < SAME_MATH, "sight: {error:e}");
    }
    let error = distance(&added(&with_audio, &audio), &to_sound);
    assert!(error < SAME_MATH, "sound: {error:e}");
}
