use super::*;
use crate::Rational;
use crate::codec::{Codec, CodecConfig, LinearCodec};
use avdit_core::{AudioLayout, Layout, VideoLayout};
use rayon::prelude::*;

const GRID: ClipGrid =
    ClipGrid { frames: 17, fps: Rational { num: 8, den: 1 }, width: 64, height: 64, sample_rate_hz: 16_000 };

fn layout() -> Layout {
    Layout {
        video: VideoLayout { frames: 5, channels: 16, height: 4, width: 4, segments: vec![1; 5] },
        audio: AudioLayout { frames: 26, channels: 32, segments: vec![2, 6, 6, 6, 6] },
    }
}

fn clips(seed: u64, n: u32) -> Vec<Clip> {
    (0..n).into_par_iter().map(|index| World::new(seed, GRID).clip(index)).collect()
}

fn measured(clips: &[Clip]) -> Agreement {
    let found: Vec<Tracks> = clips.par_iter().map(|clip| tracks(clip).unwrap()).collect();
    agreement(&found, 1).unwrap()
}

#[test]
fn a_clip_is_the_same_every_time_and_others_differ() {
    let world = World::new(5, GRID);
    assert_eq!(world.clip(3), world.clip(3));
    assert_ne!(world.clip(3), world.clip(4));
    assert_ne!(world.clip(3), World::new(6, GRID).clip(3));
}

#[test]
fn height_hue_and_pitch_are_read_as_the_scene_has_them() {
    let world = World::new(1, GRID);
    for index in 0..8 {
        let (scene, found) = (Scene::new(1, index), tracks(&world.clip(index)).unwrap());
        let hue = found.hue.unwrap();
        assert!((hue - scene.hue).abs() < 0.05, "clip {index}: hue {hue}, meant {}", scene.hue);
        for frame in 0..GRID.frames {
            let meant = scene.height(frame_time_s(frame, 8.0));
            let height = found.height[frame].unwrap();
            assert!((height - meant).abs() < 0.03, "clip {index} frame {frame}: {height}, meant {meant}");
            let pitch = found.pitch[frame].unwrap() / OCTAVES;
            // Where it touches the ground the pitch moves by a fifth of its range within the window.
            assert!((pitch - meant).abs() < 0.2, "clip {index} frame {frame}: {pitch}, meant {meant}");
        }
    }
}

#[test]
fn true_clips_agree_and_shuffled_ones_do_not() {
    let found = measured(&clips(1, 48));
    assert!(found.matched.mean >= 0.95 && found.pooled >= 0.95, "{found:?}");
    assert!(found.shuffled.mean.abs() < 0.1 && found.without_track == 0, "{found:?}");
    assert!(found.hue_timbre.unwrap().mean > 0.9, "{found:?}");
}

#[test]
fn the_law_survives_the_codec() {
    let config = CodecConfig::for_layout(GRID, &layout()).unwrap();
    let codec = LinearCodec::fit(config, &clips(1, 160), &mut |_, _| Ok(())).unwrap();
    let back: Vec<Clip> =
        clips(2, 32).par_iter().map(|clip| codec.decode(&codec.encode(clip).unwrap()).unwrap()).collect();
    let found = measured(&back);
    assert!(found.matched.mean >= 0.85 && found.difference.low > 0.5, "{found:?}");
    assert!(found.shuffled.mean.abs() < 0.15, "{found:?}");
}
