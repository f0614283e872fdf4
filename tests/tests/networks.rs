//! Public codecs in forms that no golden file has, on everything that runs them: the same as in double precision.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{Noise, Purpose, Stream};
use avdit_export::{ExportOptions, Lowering, WeightMap, evaluate_network, export_network};
use avdit_nets::encodec::{self, ConvNorm, EncodecConfig, PadMode};
use avdit_nets::hifigan::{Generator, HifiganConfig};
use avdit_nets::vae::{self, VaeConfig};
use avdit_nets::{Network, Parameter};
use avdit_runtime::{EngineKind, EngineOptions, Function};
use avdit_trainer::ops::{CandleOps, CandleTensor};
use candle_core::{Device, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// Relative distance between f32 and f64.
const SAME_MATH: f64 = 2e-5;

fn normal(len: usize, item: u32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Noise::new(23).normals(Stream::new(Purpose::Check, 0, item), &mut values);
    values
}

/// Of a size at which every layer matters.
fn weights(network: &impl Network) -> WeightMap {
    let value = |(i, parameter): (usize, Parameter)| {
        let noise = normal(parameter.len(), 100 + i as u32);
        let values = match parameter.shape.as_slice() {
            [_] if parameter.name.ends_with("weight") || parameter.name == "scale" => {
                noise.iter().map(|x| 1.0 + 0.2 * x).collect()
            }
            [_] => noise.iter().map(|x| 0.2 * x).collect(),
            shape => {
                let scale = (1.0 / shape[1..].iter().product::<usize>() as f32).sqrt();
                noise.iter().map(|x| scale * x).collect()
            }
        };
        (parameter.name, (parameter.shape, values))
    };
    network.parameters().into_iter().enumerate().map(value).collect()
}

fn distance(a: &[f32], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error: f64 = a.iter().zip(b).map(|(a, b)| (f64::from(*a) - b).powi(2)).sum();
    (error / b.iter().map(|b| b * b).sum::<f64>()).sqrt()
}

fn on_candle(network: &impl Network, weights: &WeightMap, x: &[f32], decomposed: bool) -> Vec<f32> {
    let tensor = |(name, (dims, values)): (&String, &(Vec<usize>, Vec<f32>))| {
        (name.clone(), Tensor::from_slice(values, dims.as_slice(), &Device::Cpu).unwrap())
    };
    let tensors: HashMap<_, _> = weights.iter().map(tensor).collect();
    let ops = CandleOps::new(&tensors, &Device::Cpu);
    let ops = if decomposed { ops.decomposed() } else { ops };
    let dims = [&[1], network.inputs()[0].1.as_slice()].concat();
    let x = CandleTensor::new(Tensor::from_slice(x, dims, &Device::Cpu).unwrap());
    network.run(&ops, &[x]).unwrap()[0].dense().unwrap().flatten_all().unwrap().to_vec1().unwrap()
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

fn check(what: &str, network: &impl Network) {
    let (weights, options) = (weights(network), EngineOptions { threads: 1, ..EngineOptions::default() });
    let x = normal(network.inputs()[0].1.iter().product(), 1);
    let expected = evaluate_network(network, &weights, &[&x]).unwrap().remove(0);
    let (input, output) = (network.inputs()[0].1.clone(), network.outputs()[0].1.clone());
    assert_eq!(expected.len(), output.iter().product::<usize>(), "{what}");
    for decomposed in [false, true] {
        let distance = distance(&on_candle(network, &weights, &x, decomposed), &expected);
        assert!(distance < SAME_MATH, "{what} on Candle, decomposed {decomposed}: {distance}");
    }
    for kind in engines() {
        for lowering in [Lowering::Portable, Lowering::OrtCpu] {
            if kind == EngineKind::Tract && !lowering.is_plain_onnx() {
                continue;
            }
            let export = ExportOptions { lowering, ..ExportOptions::default() };
            let bytes = export_network(network, &weights, &export).unwrap().to_bytes().unwrap();
            let function =
                Function::open(&bytes, Path::new(what), [&input, &output], kind, &options).unwrap();
            let distance = distance(&function.run(&x).unwrap(), &expected);
            assert!(distance < SAME_MATH, "{what} on {kind} for {lowering}: {distance}");
        }
    }
}

fn encodec() -> EncodecConfig {
    EncodecConfig {
        num_filters: 4,
        hidden_size: 6,
        upsampling_ratios: vec![3, 2],
        codebook_size: 8,
        ..EncodecConfig::default()
    }
}

#[test]
fn encodec_in_every_form_of_its_configuration() {
    let forms = [
        ("as published at 24 kHz", encodec(), 50),
        ("of a signal that is too short to be mirrored", encodec(), 2),
        (
            "as published at 48 kHz",
            EncodecConfig {
                audio_channels: 2,
                use_causal_conv: false,
                norm_type: ConvNorm::TimeGroupNorm,
                ..encodec()
            },
            41,
        ),
        (
            "with zeros beyond its ends",
            EncodecConfig { pad_mode: PadMode::Constant, num_lstm_layers: 1, ..encodec() },
            40,
        ),
        (
            "with growing dilations and plain shortcuts",
            EncodecConfig { num_residual_layers: 3, use_conv_shortcut: false, compress: 1, ..encodec() },
            47,
        ),
        ("cut on both sides", EncodecConfig { trim_right_ratio: 0.5, num_lstm_layers: 0, ..encodec() }, 30),
    ];
    for (form, config, samples) in forms {
        check(&format!("encoder, {form}"), &encodec::Encoder::new(&config, samples).unwrap());
        check(&format!("decoder, {form}"), &encodec::Decoder::new(&config, samples.div_ceil(6)).unwrap());
    }
}

#[test]
fn an_autoencoder_of_pictures_without_its_optional_parts_and_of_odd_sizes() {
    let config = VaeConfig {
        block_out_channels: vec![4, 8],
        norm_num_groups: 2,
        use_quant_conv: false,
        use_post_quant_conv: false,
        mid_block_add_attention: false,
        down_block_types: vec!["DownEncoderBlock2D".into(); 2],
        up_block_types: vec!["UpDecoderBlock2D".into(); 2],
        ..VaeConfig::default()
    };
    check("encoder", &vae::Encoder::new(&config, [9, 6]).unwrap());
    check("decoder", &vae::Decoder::new(&config, [4, 3]).unwrap());
}

#[test]
fn a_vocoder_of_rates_that_leave_places_over() {
    let config = HifiganConfig {
        model_in_dim: 3,
        upsample_initial_channel: 8,
        upsample_rates: vec![3, 2],
        upsample_kernel_sizes: vec![8, 3],
        resblock_kernel_sizes: vec![3, 5],
        resblock_dilation_sizes: vec![vec![1, 3], vec![2]],
        ..HifiganConfig::default()
    };
    check("vocoder", &Generator::new(&config, 7).unwrap());
}

#[test]
fn weights_that_are_missing_unknown_or_of_another_shape_are_named_and_those_of_another_part_not_heeded() {
    let network =
        Generator::new(&HifiganConfig { upsample_initial_channel: 32, ..HifiganConfig::default() }, 2);
    let network = network.unwrap();
    let good = weights(&network);
    let export = |weights: &WeightMap| export_network(&network, weights, &ExportOptions::default());
    let mut more = good.clone();
    more.insert("quantizer".into(), (vec![1], vec![0.0]));
    assert!(export(&more).unwrap_err().to_string().contains("quantizer"));
    let part = encodec::Decoder::new(&encodec(), 4).unwrap();
    let mut whole = weights(&encodec::Encoder::new(&encodec(), 24).unwrap());
    whole.extend(weights(&part));
    export_network(&part, &whole, &ExportOptions::default()).unwrap();
    let mut missing = good.clone();
    missing.remove("upsampler.1.bias");
    assert!(export(&missing).unwrap_err().to_string().contains("upsampler.1.bias"));
    let mut other = good;
    other.insert("conv_post.weight".into(), (vec![1, 7, 2], vec![0.0; 14]));
    assert!(
        export(&other).unwrap_err().to_string().contains("conv_post.weight: the network expects [1, 2, 7]")
    );
}
