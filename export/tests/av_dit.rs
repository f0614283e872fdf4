//! What the forms of AV-DiT's fusion have to do with one another, in double precision.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{Noise, Purpose, Stream};
use avdit_export::{WeightMap, evaluate_network};
use avdit_nets::AvDitConfig;
use avdit_nets::av_dit::{FusionForm, Parts};

fn config(fusion_form: FusionForm, depth: usize) -> AvDitConfig {
    let text = r#"{"width":16,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.7,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    AvDitConfig { fusion_form, depth, ..serde_json::from_str(text).unwrap() }
}

fn normal(len: usize, item: u32) -> Vec<f32> {
    let mut values = vec![0.0; len];
    Noise::new(29).normals(Stream::new(Purpose::Check, 1, item), &mut values);
    values
}

/// A tensor's values depend on its name and length alone, so that what two networks share is the same.
fn weights(config: &AvDitConfig, zero: &[&str]) -> WeightMap {
    let value = |parameter: avdit_nets::Parameter| {
        let item =
            parameter.name.bytes().fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
        let scale = if zero.iter().any(|part| parameter.name.contains(part)) { 0.0 } else { 0.3 };
        let values = normal(parameter.len(), item).into_iter().map(|x| scale * x).collect();
        (parameter.name, (parameter.shape, values))
    };
    config.parameters().into_iter().map(value).collect()
}

/// What is predicted of sight and of sound, noise and variance one behind the other.
fn outputs(config: &AvDitConfig, zero: &[&str], [video, audio]: [u32; 2]) -> [Vec<f64>; 2] {
    let (video, audio) = (normal(3 * 2 * 4 * 2, video), normal(6 * 2 * 4, audio));
    let inputs: [&[f32]; 4] = [&video, &audio, &[100.0, 400.0], &[900.0, 0.0]];
    let made = evaluate_network(config, &weights(config, zero), &inputs).unwrap();
    [made[..2].concat(), made[2..].concat()]
}

#[test]
fn the_frozen_form_is_that_with_lora_whose_lora_is_zero() {
    let frozen = outputs(&config(FusionForm::Frozen, 2), &[], [1, 2]);
    let lora = config(FusionForm::Lora, 2);
    assert!(outputs(&lora, &["fusion_lora"], [1, 2]) == frozen);
    assert!(outputs(&lora, &[], [1, 2]) != frozen);
}

#[test]
fn cross_attentions_begin_as_if_they_were_not_there() {
    let cross = config(FusionForm::Cross, 2);
    let without = AvDitConfig { parts: Parts { fusion: false, ..Parts::default() }, ..cross.clone() };
    let without = outputs(&without, &[], [1, 2]);
    assert!(outputs(&cross, &["fusion_video.proj", "fusion_audio.proj"], [1, 2]) == without);
    let [video, audio] = outputs(&cross, &[], [1, 2]);
    assert!(video != without[0] && audio != without[1]);
}

#[test]
fn each_cross_attention_has_its_own_direction() {
    let one = config(FusionForm::Cross, 1);
    let changes = |zero: &[&str], other: [u32; 2]| {
        let (before, after) = (outputs(&one, zero, [1, 2]), outputs(&one, zero, other));
        [before[0] != after[0], before[1] != after[1]]
    };
    let (other_video, other_audio) = ([3, 2], [1, 3]);
    assert_eq!(changes(&["fusion_audio"], other_audio), [true, true]);
    assert_eq!(changes(&["fusion_audio"], other_video), [true, false], "sound does not see the picture");
    assert_eq!(changes(&["fusion_video"], other_video), [true, true]);
    assert_eq!(changes(&["fusion_video"], other_audio), [false, true], "the picture does not see sound");
}
