use super::*;
use crate::codec::fidelity;
use crate::mel::MelConfig;
use crate::{Clip, Rational};
use std::sync::{Arc, Mutex};

const GRID: ClipGrid =
    ClipGrid { frames: 16, fps: Rational { num: 10, den: 1 }, width: 32, height: 16, sample_rate_hz: 16_000 };

/// Latents of 2 × 2 pixels: three channels of their four.
fn config(sound: SoundLatents) -> PublicConfig {
    let pictures = PictureLatents { channels: 3, factor: 2, scale: 0.5, tile: None };
    PublicConfig { grid: GRID, segments: 1, pictures, sound }
}

fn mel() -> SoundLatents {
    SoundLatents::Mel { channels: 8, factor: 4, scale: 0.25, mel: MelConfig::AUDIOLDM }
}

fn wave() -> SoundLatents {
    SoundLatents::Wave { channels: 320, hop: 320, scale: 2.0 }
}

/// Every second pixel of every second row.
fn halve(x: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
    let pixel = |c: usize, i: usize, j: usize| x[(c * 2 * h + 2 * i) * 2 * w + 2 * j];
    (0..3).flat_map(|c| (0..h).flat_map(move |i| (0..w).map(move |j| pixel(c, i, j)))).collect()
}

fn double(z: &[f32], [h, w]: [usize; 2]) -> Vec<f32> {
    let latent = |c: usize, i: usize, j: usize| z[(c * h + i / 2) * w + j / 2];
    (0..3).flat_map(|c| (0..2 * h).flat_map(move |i| (0..2 * w).map(move |j| latent(c, i, j)))).collect()
}

/// What the networks of sound have seen.
type Seen = Arc<Mutex<Vec<Vec<f32>>>>;

fn codec(config: PublicConfig) -> (PublicCodec, Seen) {
    let seen = Seen::default();
    let tile = config.tiles().unwrap().tile();
    let (encoder, decoder) = (seen.clone(), seen.clone());
    let (is_mel, samples) =
        (matches!(config.sound, SoundLatents::Mel { .. }), config.audio_frames() * config.sound.hop());
    let networks = PublicNetworks {
        engine: "test",
        encode_picture: Box::new(move |x| Ok(halve(x, tile))),
        decode_picture: Box::new(move |z| Ok(double(z, tile))),
        encode_sound: Box::new(move |x| {
            encoder.lock().unwrap().push(x.to_vec());
            // (channel, frame, bin) says which it is; sound is cut into rows.
            let number = |i: usize| ((i / 640) * 10_000 + (i / 16 % 40) * 100 + i % 16) as f32;
            Ok(if is_mel { (0..8 * 40 * 16).map(number).collect() } else { swapped(x, [80, 320, 1]) })
        }),
        decode_sound: Box::new(move |z| {
            decoder.lock().unwrap().push(z.to_vec());
            Ok(if is_mel { vec![2.0; samples + 32] } else { swapped(z, [320, 80, 1]) })
        }),
    };
    (PublicCodec::new(config, networks).unwrap(), seen)
}

/// Pictures of squares of 2 × 2 equal pixels, and a tone.
fn clip() -> Clip {
    let pixel = |f: usize, i: usize, c: usize| ((i / 64) * 16 + (i % 32 / 2) * 3 + f * 5 + c * 40) as u8;
    let frame = |f: usize| (0..32 * 16 * 3).map(|i| pixel(f, i / 3, i % 3)).collect();
    let video = Video { width: 32, height: 16, fps: GRID.fps, frames: (0..16).map(frame).collect() };
    let samples = (0..25_600).map(|i| 0.1 * (i as f32 * 0.2).sin()).collect();
    Clip { video: Some(video), audio: Some(Audio { sample_rate_hz: 16_000, samples }) }
}

#[test]
fn latents_lie_as_av_dit_sees_them_and_are_scaled() {
    let (codec, seen) = codec(config(mel()));
    let layout = codec.layout();
    assert_eq!(layout.shape(Modality::Video, 1), [1, 16, 3, 8, 16]);
    assert_eq!(layout.shape(Modality::Audio, 1), [1, 40, 128]);
    assert_eq!((&layout.video.segments[..], &layout.audio.segments[..]), (&[16][..], &[40][..]));
    let latents = codec.encode(&clip()).unwrap();
    assert_eq!(latents.video[0], -0.5, "red of the first square");
    assert_eq!(latents.video[8 * 16], 0.5 * (40.0 / 127.5 - 1.0), "green of it");
    // Frame 7, channel 3, bin 5.
    assert_eq!(latents.audio[7 * 128 + 3 * 16 + 5], 0.25 * 30_705.0);
    let heard = seen.lock().unwrap()[0].clone();
    assert_eq!(heard.len(), 160 * 64, "a mel spectrogram");
    let mut louder = clip();
    louder.audio.as_mut().unwrap().samples.iter_mut().for_each(|x| *x = *x * 4.0 + 0.1);
    codec.encode(&louder).unwrap();
    let difference =
        heard.iter().zip(&seen.lock().unwrap()[1]).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(difference < 1e-2, "neither mean nor level is heard: {difference}");

    let back = codec.decode(&latents).unwrap();
    assert_eq!(back.video, clip().video);
    let given = seen.lock().unwrap()[2].clone();
    assert_eq!(given[3 * 640 + 7 * 16 + 5], 30_705.0, "as the network made them");
    assert_eq!(back.audio.unwrap().samples, vec![1.0; 25_600], "cut to the clip's length and clamped");
}

#[test]
fn sound_itself_is_coded_by_rows_and_comes_back() {
    let (codec, _) = codec(config(wave()));
    assert_eq!(codec.layout().shape(Modality::Audio, 1), [1, 80, 320]);
    let latents = codec.encode(&clip()).unwrap();
    let audio = clip().audio.unwrap();
    assert_eq!(latents.audio[..320], scaled(audio.samples[..320].to_vec(), 2.0));
    assert_eq!(codec.decode(&latents).unwrap(), clip());
    struct One;
    impl crate::codec::ClipSource for One {
        fn len(&self) -> usize {
            1
        }
        fn clip(&self, _: usize) -> Result<Clip> {
            Ok(clip())
        }
    }
    let fidelity = fidelity(&codec, &One).unwrap();
    assert_eq!((fidelity.codec.as_str(), fidelity.video_psnr_db > 100.0), ("public", true));
}

#[test]
fn tiles_of_local_networks_change_nothing() {
    let whole = codec(config(wave())).0;
    let mut tiled = config(wave());
    tiled.pictures.tile = Some(6);
    let tiled = codec(tiled).0;
    assert_eq!((whole.tiles.count(), tiled.tiles.count(), tiled.tiles.tile()), (1, 8, [6, 6]));
    let (a, b) = (whole.encode(&clip()).unwrap(), tiled.encode(&clip()).unwrap());
    let worst = a.video.iter().zip(&b.video).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst < 1e-6, "{worst}");
    assert_eq!(tiled.decode(&a).unwrap().video, clip().video);
}

#[test]
fn what_does_not_fit_is_refused_with_both_sides() {
    type Break = fn(&mut PublicConfig);
    let cases: [(Break, &str); 10] = [
        (|c| c.segments = 3, "frames of the clips: 16 is not allowed, expected a multiple of the 3 segments"),
        (|c| c.segments = 16, "latent frames of sound: 40 (clips of 1600.0000 ms"),
        (|c| c.grid.frames = 17, "a multiple of 2 (1 segments of patches of 2 latent frames)"),
        (|c| c.grid.width = 30, "width of the clips in pixels: 30 is not allowed, expected a multiple of 4"),
        (|c| c.grid.sample_rate_hz = 24_000, "16000, that of the mel front end"),
        (|c| c.pictures.tile = Some(2), "side of a tile in latents: 2"),
        (|c| c.pictures.scale = 0.0, "scale of video latents"),
        (|c| c.pictures.channels = 0, "channels of video latents: 0"),
        (
            |c| c.sound = SoundLatents::Mel { channels: 8, factor: 3, scale: 1.0, mel: MelConfig::AUDIOLDM },
            "64",
        ),
        (
            |c| c.sound = SoundLatents::Wave { channels: 1, hop: 0, scale: 1.0 },
            "samples in an audio latent: 0",
        ),
    ];
    for (change, expected) in cases {
        let mut config = config(mel());
        change(&mut config);
        let error = config.check().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    for (n, audio) in [(1, [40].as_slice()), (2, &[20, 20]), (4, &[10, 10, 10, 10])] {
        let config = PublicConfig { segments: n, ..config(mel()) };
        config.check().unwrap();
        assert_eq!(
            (config.layout().audio.segments.as_slice(), config.layout().video.segments.len()),
            (audio, n)
        );
    }
}

#[test]
fn networks_that_make_too_little_or_no_number_are_refused() {
    let (mut codec, _) = codec(config(wave()));
    codec.networks.decode_sound = Box::new(|_| Ok(vec![0.0; 25_599]));
    let latents = codec.encode(&clip()).unwrap();
    let error = codec.decode(&latents).unwrap_err().to_string();
    assert!(error.contains("decoded sound: 25599 is not allowed, expected at least 25600"), "{error}");
    codec.networks.encode_picture = Box::new(|x| Ok(vec![f32::NAN; x.len() / 4]));
    let error = codec.encode(&clip()).unwrap_err().to_string();
    assert!(error.contains("an encoded picture"), "{error}");
    codec.networks.encode_picture = Box::new(|_| Ok(vec![0.0; 5]));
    let error = codec.encode(&clip()).unwrap_err().to_string();
    assert!(error.contains("of a picture: expected 384, got 5"), "{error}");
    assert!(codec.decode_video(&[0.0; 3]).is_err());
}
