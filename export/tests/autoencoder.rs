//! The parts of an autoencoder as graphs, and in double precision.
#![allow(clippy::unwrap_used, reason = "tests")]

use avdit_core::{Noise, Purpose, Stream};
use avdit_export::{
    Error, ExportOptions, RandomWeights, WeightSource, evaluate, export_autoencoder, weight_map,
};
use avdit_nets::AutoencoderConfig;
use avdit_nets::codec::{AudioAutoencoder, Part, VideoAutoencoder};
use avdit_onnx::ValueType;

fn config() -> AutoencoderConfig {
    let video = VideoAutoencoder {
        frames: 5,
        height: 8,
        width: 16,
        patch: 4,
        widths: [4, 6],
        channels: 3,
        segments: vec![1, 1],
    };
    let audio = AudioAutoencoder {
        samples: 62,
        strides: vec![2, 4],
        widths: vec![4, 6],
        dilations: vec![1, 3],
        channels: 3,
        segments: vec![3, 5],
    };
    let config = AutoencoderConfig { video, audio };
    config.check().unwrap();
    config
}

fn normal(len: usize) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Noise::new(3).normals(Stream::new(Purpose::Check, 0, 1), &mut values);
    values
}

fn len(dims: &[usize]) -> usize {
    dims.iter().product()
}

#[test]
fn each_part_has_one_input_and_one_output_whose_sizes_the_reference_makes_too() {
    let config = config();
    let weights = RandomWeights::of_parameters(config.parameters(), 1);
    for part in Part::ALL {
        let graph = export_autoencoder(&config, &weights, part, &ExportOptions::default()).unwrap();
        let shape = |ports: Vec<(String, ValueType)>| {
            assert_eq!(ports.len(), 1, "{}", part.name());
            (ports[0].0.clone(), ports[0].1.to_string())
        };
        let told = |name: &str, dims: &[usize]| {
            let dims: Vec<_> = dims.iter().map(usize::to_string).collect();
            (name.to_owned(), format!("float (batch, {})", dims.join(", ")))
        };
        let ((input, output), (takes, makes)) = (part.ports(), (part.input(&config), part.output(&config)));
        assert_eq!(shape(graph.inputs().unwrap()), told(input, &takes));
        assert_eq!(shape(graph.outputs().unwrap()), told(output, &makes));
        let made = evaluate(&config, &weights, part, &normal(len(&takes))).unwrap();
        assert_eq!(made.len(), len(&makes), "{}", part.name());
        assert!(made.iter().all(|x| x.is_finite()) && made.iter().any(|x| *x != made[0]), "{}", part.name());
    }
}

#[test]
fn every_parameter_belongs_to_one_part_and_is_used_there() {
    let config = config();
    let all = RandomWeights::of_parameters(config.parameters(), 1);
    let mut used = Vec::new();
    for part in Part::ALL {
        let graph = export_autoencoder(&config, &all, part, &ExportOptions::default()).unwrap();
        let own: Vec<_> = all.names().into_iter().filter(|name| graph.initializer(name).is_some()).collect();
        assert!(own.iter().all(|name| name.starts_with(part.prefix())), "{}: {own:?}", part.name());
        used.extend(own);
    }
    used.sort();
    let mut names = all.names();
    names.sort();
    assert_eq!(used, names);
}

#[test]
fn the_last_of_a_segment_decides_its_latents_and_no_earlier_ones() {
    let config = config();
    let values = config.parameters().into_iter().map(|p| (p.name.clone(), p.random(1))).collect();
    let weights = weight_map(config.parameters(), values).unwrap();
    let frame = len(&config.video.pictures()[1..]);
    let cases = [
        (Part::VideoEncoder, frame, len(&config.video.latents()[1..])),
        // Of three latents of eight samples the first two samples lie before the clip.
        (Part::AudioEncoder, 3 * 8 - 2, 3 * config.audio.channels),
    ];
    for (part, first_segment, latents) in cases {
        let x = normal(len(&part.input(&config)));
        let whole = evaluate(&config, &weights, part, &x).unwrap();
        let changed = |at: usize| {
            let mut x = x.clone();
            x[at] += 1.0;
            evaluate(&config, &weights, part, &x).unwrap()
        };
        let (last, next) = (changed(first_segment - 1), changed(first_segment));
        assert_ne!(last[..latents], whole[..latents], "{}", part.name());
        assert_eq!(next[..latents], whole[..latents], "{}", part.name());
        assert_ne!(next[latents..], whole[latents..], "{}", part.name());
    }
}

#[test]
fn weights_and_options_of_something_else_are_refused() {
    let config = config();
    let short = RandomWeights::of_parameters(config.parameters()[1..].to_vec(), 1);
    let part = Part::VideoEncoder;
    let error = export_autoencoder(&config, &short, part, &ExportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::MissingParameter { .. }), "{error}");
    let weights = RandomWeights::of_parameters(config.parameters(), 1);
    let frozen = ExportOptions { freeze: Some(4), ..ExportOptions::default() };
    let error = export_autoencoder(&config, &weights, part, &frozen).unwrap_err().to_string();
    assert!(error.contains("no schedule"), "{error}");
    let error = evaluate(&config, &weights, part, &[0.0]).unwrap_err().to_string();
    assert!(error.contains("pictures") && error.contains("got 1"), "{error}");
}
