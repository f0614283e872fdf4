//! The autoencoder of clips on everything that runs it: the same latents and clips, which know nothing of what comes.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{Noise, Purpose, Stream};
use avdit_export::{ExportOptions, WeightMap, evaluate, export_autoencoder, weight_map};
use avdit_nets::codec::{AudioAutoencoder, Part, VideoAutoencoder};
use avdit_nets::{AutoencoderConfig, Parameter};
use avdit_runtime::{EngineKind, EngineOptions, Function};
use avdit_trainer::ops::{CandleOps, CandleTensor};
use candle_core::{Device, Tensor};
use std::collections::{BTreeMap, HashMap};
use std::path::Path;

/// Relative distance between f32 and f64; 6e-7 was measured.
const SAME_MATH: f64 = 5e-6;

fn config() -> AutoencoderConfig {
    let config = AutoencoderConfig {
        video: VideoAutoencoder {
            frames: 9,
            height: 16,
            width: 24,
            patch: 4,
            widths: [4, 6],
            channels: 3,
            segments: vec![1, 1, 1],
        },
        audio: AudioAutoencoder {
            samples: 100,
            strides: vec![2, 4],
            widths: vec![4, 6],
            dilations: vec![1, 3],
            channels: 3,
            segments: vec![3, 5, 5],
        },
    };
    config.check().unwrap();
    config
}

fn normal(len: usize, item: u32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Noise::new(17).normals(Stream::new(Purpose::Check, 0, item), &mut values);
    values
}

/// Of a size at which every layer matters, those that begin at zero included.
fn weights(config: &AutoencoderConfig) -> WeightMap {
    let value = |(i, parameter): (usize, Parameter)| {
        let inputs: usize = parameter.shape[1..].iter().product();
        let scale = if parameter.shape.len() > 1 { (2.0 / inputs as f32).sqrt() } else { 0.3 };
        let values = normal(parameter.len(), 100 + i as u32).iter().map(|x| x * scale).collect();
        (parameter.name, values)
    };
    let values: BTreeMap<_, _> = config.parameters().into_iter().enumerate().map(value).collect();
    weight_map(config.parameters(), values).unwrap()
}

fn len(dims: &[usize]) -> usize {
    dims.iter().product()
}

fn distance(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let square = |x: f64| x * x;
    let error: f64 = a.iter().zip(b).map(|(a, b)| square(f64::from(*a) - b)).sum();
    (error / b.iter().map(|b| square(*b)).sum::<f64>()).sqrt()
}

fn on_candle(
    config: &AutoencoderConfig,
    weights: &WeightMap,
    part: Part,
    x: &[f32],
    fused: bool,
) -> Vec<f32> {
    let tensor = |(name, (dims, values)): (&String, &(Vec<usize>, Vec<f32>))| {
        (name.clone(), Tensor::from_slice(values, dims.as_slice(), &Device::Cpu).unwrap())
    };
    let tensors: HashMap<_, _> = weights.iter().map(tensor).collect();
    let dims = [&[x.len() / len(&part.input(config))], &part.input(config)[..]].concat();
    let x = CandleTensor::new(Tensor::from_slice(x, dims, &Device::Cpu).unwrap());
    let ops = CandleOps::new(&tensors, &Device::Cpu);
    let ops = if fused { ops } else { ops.decomposed() };
    part.run(&ops, config, &x).unwrap().dense().unwrap().flatten_all().unwrap().to_vec1().unwrap()
}

/// The engines that can be had here.
fn engines() -> Vec<EngineKind> {
    let found = avdit_runtime::engine::load_onnx_runtime(None);
    if let Err(error) = &found {
        assert!(std::env::var("AVDIT_REQUIRE_ORT").is_err(), "{error}");
        eprintln!("skipped: {error}");
        return vec![EngineKind::Tract];
    }
    EngineKind::ON_CPU.to_vec()
}

#[test]
fn every_part_makes_the_same_on_everything_that_runs_it() {
    let config = config();
    let weights = weights(&config);
    let (kinds, options) = (engines(), EngineOptions { threads: 1, ..EngineOptions::default() });
    for part in Part::ALL {
        let (input, output) = (part.input(&config), part.output(&config));
        let x = normal(len(&input), 1);
        let expected = evaluate(&config, &weights, part, &x).unwrap();
        assert_eq!(expected.len(), len(&output), "{}", part.name());
        for fused in [true, false] {
            let got = on_candle(&config, &weights, part, &x, fused);
            let distance = distance(&got, &expected);
            assert!(distance < SAME_MATH, "{} on Candle, fused {fused}: {distance}", part.name());
        }
        for batch in [None, Some(1)] {
            let export = ExportOptions { batch, ..ExportOptions::default() };
            let graph = export_autoencoder(&config, &weights, part, &export).unwrap();
            let bytes = graph.to_bytes().unwrap();
            for &kind in &kinds {
                let path = Path::new(part.name());
                let function = Function::open(&bytes, path, [&input, &output], kind, &options).unwrap();
                let distance = distance(&function.run(&x).unwrap(), &expected);
                assert!(distance < SAME_MATH, "{} on {kind}, batch {batch:?}: {distance}", part.name());
            }
        }
    }
}

#[test]
fn examples_of_a_batch_do_not_see_each_other() {
    let config = config();
    let weights = weights(&config);
    for part in Part::ALL {
        let n = len(&part.input(&config));
        let x = normal(2 * n, 2);
        let both = on_candle(&config, &weights, part, &x, true);
        for (i, got) in both.chunks_exact(len(&part.output(&config))).enumerate() {
            let expected = evaluate(&config, &weights, part, &x[i * n..(i + 1) * n]).unwrap();
            assert!(distance(got, &expected) < SAME_MATH, "{} {i}", part.name());
        }
    }
}

/// Values of the input and of the output that lie in each segment or before it: frames of pictures, samples of sound.
fn until(config: &AutoencoderConfig, part: Part) -> Vec<(usize, usize)> {
    let (v, a) = (&config.video, &config.audio);
    let mut of_segment = Vec::new();
    let mut frames = 0;
    for n in 0..v.segments.len() {
        frames += a.segments[n];
        let pictures = (1 + 4 * n) * len(&v.pictures()[1..]);
        let video = (n + 1) * len(&v.latents()[1..]);
        let (samples, audio) = (frames * a.hop() - a.lead(), frames * a.channels);
        of_segment.push(match part {
            Part::VideoEncoder => (pictures, video),
            Part::VideoDecoder => (video, pictures),
            Part::AudioEncoder => (samples, audio),
            Part::AudioDecoder => (audio, samples),
        });
    }
    of_segment
}

#[test]
fn what_comes_after_a_segment_changes_nothing_in_it_and_what_lies_in_it_does() {
    let config = config();
    let weights = weights(&config);
    for part in Part::ALL {
        let x = normal(len(&part.input(&config)), 3);
        let whole = evaluate(&config, &weights, part, &x).unwrap();
        let bounds = until(&config, part);
        assert_eq!(bounds[bounds.len() - 1], (x.len(), whole.len()), "{}", part.name());
        for (n, &(end, made)) in bounds.iter().enumerate() {
            let changed = |from: usize| {
                let mut x = x.clone();
                x[from..].iter_mut().for_each(|x| *x += 1.0);
                evaluate(&config, &weights, part, &x).unwrap()
            };
            let later = changed(end);
            assert_eq!(later[..made], whole[..made], "{} sees beyond segment {n}", part.name());
            // The last value of the segment is one that its last output follows.
            let own = changed(end - 1);
            let first = if n == 0 { 0 } else { bounds[n - 1].1 };
            assert_ne!(own[first..made], whole[first..made], "{} does not see segment {n}", part.name());
            assert_eq!(own[..first], whole[..first], "{} sees beyond segment {}", part.name(), n.max(1) - 1);
        }
    }
}
