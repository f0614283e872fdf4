//! A small network for the tests.
#![allow(dead_code, reason = "each test file uses its part")]

use avdit_core::{AudioLayout, DenoiserSpec, Noise, Purpose, ScheduleKind, Stream, Target};
use avdit_export::WeightMap;
use avdit_nets::AvditConfig;
use avdit_nets::avdit::VideoConfig;

/// Two blocks of width 8 over 18 video and 5 audio tokens in two segments.
pub(crate) fn config(qk_norm: bool, adaln_rank: Option<usize>) -> AvditConfig {
    AvditConfig {
        width: 8,
        depth: 2,
        heads: 2,
        mlp_ratio: 2.0,
        qk_norm,
        adaln_rank,
        video: VideoConfig { frames: 3, channels: 2, height: 4, width: 6, patch: 2, segments: vec![1, 2] },
        audio: AudioLayout { frames: 5, channels: 3, segments: vec![2, 3] },
    }
}

pub(crate) fn spec(config: &AvditConfig) -> DenoiserSpec {
    let (target, schedule) = (Target::Epsilon, ScheduleKind::Linear);
    DenoiserSpec { layout: config.layout(), target, schedule, timesteps: 1000 }
}

/// Every parameter normal, so that nothing is zero by construction.
pub(crate) fn random_weights(config: &AvditConfig) -> WeightMap {
    let random = |(i, parameter): (usize, avdit_nets::Parameter)| {
        let mut values = vec![0.0; parameter.len()];
        Noise::new(5).normals(Stream::new(Purpose::Check, 0, i as u32), &mut values);
        (parameter.name, (parameter.shape, values))
    };
    config.parameters().into_iter().enumerate().map(random).collect()
}
