//! A merged network computes what base and adapter compute.

use super::*;
use crate::ops::{CandleOps, CandleTensor};
use avdit_core::{Noise, Purpose, Stream};
use avdit_nets::Network;
use avdit_nets::av_dit::FusionForm;
use candle_core::{Device, Tensor};
use std::collections::HashMap;

/// Largest relative difference (Frobenius) between factors that are applied and factors that are folded, both in
/// float32; 6e-8 measured.
const FOLDED: f64 = 1e-6;

/// The network's outputs one after another, on two clips of normal latents at mixed levels.
fn outputs(network: &AvDitConfig, load: impl Fn(&str) -> Vec<f32>) -> Vec<f32> {
    let tensor = |data: Vec<f32>, dims: &[usize]| Tensor::from_vec(data, dims, &Device::Cpu).unwrap();
    let list = network.parameters();
    let tensors: HashMap<_, _> =
        list.iter().map(|p| (p.name.clone(), tensor(load(&p.name), &p.shape))).collect();
    let ops = CandleOps::new(&tensors, &Device::Cpu);
    let input = |(i, (_, dims)): (usize, (&str, Vec<usize>))| {
        let all = [&[2], dims.as_slice()].concat();
        let mut data = vec![0f32; all.iter().product()];
        match dims.len() {
            1 => data.iter_mut().enumerate().for_each(|(k, x)| *x = (250 * (k + i)) as f32),
            _ => Noise::new(5).normals(Stream::new(Purpose::Check, 0, i as u32), &mut data),
        }
        CandleTensor::new(tensor(data, &all))
    };
    let inputs: Vec<_> = network.inputs().into_iter().enumerate().map(input).collect();
    let made = network.run(&ops, &inputs).unwrap();
    made.iter().flat_map(|y| y.dense().unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()).collect()
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let error: f64 = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
    (error / b.iter().map(|b| f64::from(*b).powi(2)).sum::<f64>()).sqrt()
}

/// The network of a merged folder, and its tensors.
fn opened(folder: &Path) -> (AvDitConfig, WeightFile) {
    let about: NetworkFile<AvDitConfig> = read_json(&folder.join(network_file::CONFIG_FILE)).unwrap();
    assert_eq!((about.format.as_str(), about.kind.as_str()), ("avdit-network/1", "av-dit"));
    let path = folder.join(network_file::WEIGHTS_FILE);
    assert_eq!(about.weights_sha256, file_sha256(&path).unwrap());
    let shapes = about.config.parameters().into_iter().map(|p| (p.name, p.shape)).collect();
    (about.config, WeightFile::open(&path, &shapes).unwrap())
}

#[test]
fn the_merged_network_computes_what_base_and_adapter_do() {
    let folder = tempfile::tempdir().unwrap();
    let (base, path, _) = both(folder.path());
    let (config, adapted) = Adapted::open(&base, &path).unwrap();
    let expected = outputs(&config.network, |name| adapted.load(name).unwrap());
    // The adapter's own part of the result: without its LoRA it is another one.
    let without = outputs(&config.network, |name| {
        let values = adapted.load(name).unwrap();
        if name.contains("_lora.") { vec![0.0; values.len()] } else { values }
    });
    assert!(distance(&without, &expected) > 1e-3, "{}", distance(&without, &expected));

    let out = folder.path().join("merged");
    let merged = merge(&base, &path, &out, Form::Merged).unwrap();
    let (network, weights) = opened(&out);
    assert_eq!(network, config.network.in_merged_form());
    let got = outputs(&network, |name| weights.load(name).unwrap());
    assert!(distance(&got, &expected) < FOLDED, "{}", distance(&got, &expected));
    assert_eq!(
        (merged.values, merged.separate_values),
        (network.parameter_count(), config.network.parameter_count())
    );
    assert_eq!(merged.adapter_values, config.network.trained_count());
    assert_eq!((merged.copy_values, merged.sites), (4 * 16 * 16 + 4 * 16, 2));
    assert_eq!(merged.bytes, std::fs::metadata(out.join("model.safetensors")).unwrap().len());
    let parts: Vec<_> = merged.not_folded.iter().map(|not| not.part).collect();
    assert_eq!(
        parts,
        ["temporal attention", "audio adapter", "fusion gates", "embedding and last layer of sound"]
    );

    let kept = folder.path().join("kept");
    let record = merge(&base, &path, &kept, Form::Separate).unwrap();
    let (network, weights) = opened(&kept);
    assert_eq!((&network, record.values), (&config.network, record.separate_values));
    assert!(outputs(&network, |name| weights.load(name).unwrap()) == expected, "the same bits");
    let about: Value = read_json(&kept.join("network.json")).unwrap();
    let files: Vec<_> =
        [&about["source"], &about["source"]["more"][0]].map(|file| file["sha256"].as_str()).into();
    let adapter = file_sha256(&path.join(WEIGHTS_FILE)).unwrap();
    assert_eq!(files, [Some(adapter.as_str()), Some(config.base.weights_sha256.as_str())]);
    assert_eq!(about["source"]["spec"]["schedule"], "linear");
    assert_eq!(about["source"]["provenance"]["run"], "runs/first");
}

#[test]
fn a_part_that_is_not_there_is_not_spoken_of_and_other_folders_are_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let (base, _, _) = both(folder.path());
    let mut network = network();
    (network.parts.fusion, network.parts.temporal) = (false, false);
    let path = folder.path().join("sound");
    adapter(&network, &file_sha256(&base.join("model.safetensors")).unwrap()).write(&path).unwrap();
    let out = folder.path().join("merged");
    let merged = merge(&base, &path, &out, Form::Merged).unwrap();
    assert_eq!((merged.sites, merged.not_folded.len()), (1, 2));
    assert_eq!(merge(&base, &path, &out, Form::Merged).unwrap(), merged, "its own kind is replaced");
    let cross = AvDitConfig { fusion_form: FusionForm::Cross, ..self::network() };
    adapter(&cross, &file_sha256(&base.join("model.safetensors")).unwrap()).write(&path).unwrap();
    let merged = merge(&base, &path, &out, Form::Merged).unwrap();
    let kept: Vec<_> = merged.not_folded.iter().map(|not| not.part).collect();
    assert_eq!(
        kept,
        ["temporal attention", "audio adapter", "cross-attentions", "embedding and last layer of sound"]
    );
    assert_eq!((merged.sites, opened(&out).0), (1, cross.in_merged_form()));
    for taken in [&base, &path] {
        let text = said(merge(&base, &path, taken, Form::Merged));
        assert!(text.contains("holds something other than a merged AV-DiT"), "{text}");
    }
}

#[test]
fn a_sum_beyond_all_numbers_is_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (base, path, mut adapter) = both(folder.path());
    adapter.weights.get_mut("blocks.1.audio_lora.proj.A").unwrap().fill(3e38);
    adapter.weights.get_mut("blocks.1.audio_lora.proj.B").unwrap().fill(3e38);
    adapter.write(&path).unwrap();
    let out = folder.path().join("merged");
    let text = said(merge(&base, &path, &out, Form::Merged));
    assert!(
        text.contains("tensor blocks.1.audio_attn.proj.weight: value 0 is inf") && !out.exists(),
        "{text}"
    );
}
