use super::*;
use crate::codec::{Codec, CodecConfig, LinearCodec};
use crate::world::{
    Identity, Tracks, World, WorldKind, agreement, frame_time_s, identity, identity_agreement, tracks_of,
};
use crate::{Clip, Rational};
use avdit_core::{AudioLayout, Layout, VideoLayout};
use rayon::prelude::*;

const GRID: ClipGrid =
    ClipGrid { frames: 17, fps: Rational { num: 8, den: 1 }, width: 64, height: 64, sample_rate_hz: 16_000 };
const KIND: WorldKind = WorldKind::Monologue;

fn clips(seed: u64, n: u32) -> Vec<Clip> {
    (0..n).into_par_iter().map(|index| World::of(KIND, seed, GRID).clip(index)).collect()
}

fn times() -> Vec<f64> {
    (0..GRID.frames).map(|frame| frame_time_s(frame, 8.0)).collect()
}

#[test]
fn a_clip_is_the_same_every_time_and_no_clip_of_the_other_world() {
    let world = World::of(KIND, 5, GRID);
    assert_eq!(world.clip(3), world.clip(3));
    assert_ne!(world.clip(3), world.clip(4));
    assert_ne!(world.clip(3), World::new(5, GRID).clip(3));
    assert_eq!((world.kind(), "monologue".parse::<WorldKind>().unwrap()), (KIND, KIND));
    assert!("monolog".parse::<WorldKind>().unwrap_err().to_string().contains("ball or monologue"));
}

#[test]
fn face_and_voice_are_read_as_they_were_meant() {
    for index in 0..6 {
        let (speech, clip) = (Speech::new(1, index), World::of(KIND, 1, GRID).clip(index));
        let (face, voice) =
            (face(clip.video.as_ref().unwrap()), voice(clip.audio.as_ref().unwrap(), &times()));
        let near = |what: &str, got: Option<f64>, meant: f64, within: f64| {
            assert!((got.unwrap() - meant).abs() < within, "clip {index}: {what} {got:?}, meant {meant}");
        };
        near("hue", face.hue, speech.hue, 0.02);
        near("timbre", voice.timbre, speech.hue, 0.08);
        for (frame, t) in times().into_iter().enumerate() {
            near("mouth", face.mouth[frame], speech.loudness(t), 0.05);
            near("head", face.head[frame], speech.pitch(t), 0.05);
            near("loudness", voice.loudness[frame], speech.loudness(t), 0.12);
            if let Some(pitch) = voice.pitch[frame] {
                near("pitch", Some(pitch), speech.pitch(t), 0.08);
            }
        }
    }
}

#[test]
fn without_a_face_or_a_voice_there_is_nothing_to_measure() {
    let mut clip = World::of(KIND, 1, GRID).clip(0);
    clip.video.as_mut().unwrap().frames.iter_mut().for_each(|frame| frame.fill(180));
    clip.audio.as_mut().unwrap().samples.fill(0.0);
    let found = tracks_of(KIND, &clip).unwrap();
    let nothing = vec![None; GRID.frames];
    assert_eq!(found, Tracks { height: nothing.clone(), pitch: nothing, hue: None, timbre: None });
    assert_eq!(identity(KIND, &clip, 0.625).unwrap(), Identity::default());
    clip.audio = None;
    assert!(tracks_of(KIND, &clip).unwrap_err().to_string().contains("a clip with sound"));
}

/// The codec is the demo's: 16 channels to 16×16 pixels.
#[test]
fn law_and_identity_survive_the_codec() {
    let layout = Layout {
        video: VideoLayout { frames: 5, channels: 16, height: 4, width: 4, segments: vec![1; 5] },
        audio: AudioLayout { frames: 26, channels: 32, segments: vec![2, 6, 6, 6, 6] },
    };
    let config = CodecConfig::for_layout(GRID, &layout).unwrap();
    let codec = LinearCodec::fit(config, &clips(1, 128), &mut |_, _| Ok(())).unwrap();
    let back: Vec<Clip> =
        clips(2, 24).par_iter().map(|clip| codec.decode(&codec.encode(clip).unwrap()).unwrap()).collect();
    let measured = |of: &(dyn Fn(&Clip) -> Tracks + Sync)| {
        agreement(&back.par_iter().map(of).collect::<Vec<_>>(), 1).unwrap()
    };
    let mouth = measured(&|clip| tracks_of(KIND, clip).unwrap());
    assert!(
        mouth.matched.mean >= 0.88 && mouth.difference.low > 0.5 && mouth.without_track == 0,
        "{mouth:?}"
    );
    assert!(mouth.hue_timbre.unwrap().mean > 0.95, "{mouth:?}");
    let head = measured(&|clip| head_tracks(clip).unwrap());
    assert!(head.matched.mean >= 0.8 && head.difference.low > 0.4, "{head:?}");
    let who: Vec<Identity> = back.par_iter().map(|clip| identity(KIND, clip, 0.625).unwrap()).collect();
    let found = identity_agreement(&who, 1);
    for kept in [found.look.unwrap(), found.voice.unwrap()] {
        assert!(kept.own.mean < 0.05 && kept.difference.low > 0.15 && kept.lost == 0, "{kept:?}");
    }
}
