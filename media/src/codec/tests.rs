use super::*;
use crate::Rational;
use crate::world::World;
use avdit_core::{AudioLayout, VideoLayout};

const GRID: ClipGrid =
    ClipGrid { frames: 9, fps: Rational { num: 8, den: 1 }, width: 32, height: 32, sample_rate_hz: 16_000 };

/// A codec that keeps everything loses at most the rounding to bytes: 59 dB for errors even in ±½, 50 with some slack.
const LOSSLESS_DB: f64 = 50.0;

fn layout() -> Layout {
    Layout {
        video: VideoLayout { frames: 3, channels: 6, height: 2, width: 4, segments: vec![1; 3] },
        audio: AudioLayout { frames: 14, channels: 8, segments: vec![2, 6, 6] },
    }
}

fn wide() -> ClipGrid {
    ClipGrid { height: 16, ..GRID }
}

fn config() -> CodecConfig {
    CodecConfig::for_layout(wide(), &layout()).unwrap()
}

fn clips(n: u32) -> Vec<Clip> {
    (0..n).map(|index| World::new(4, wide()).clip(index)).collect()
}

fn fitted(config: CodecConfig, n: u32) -> LinearCodec {
    LinearCodec::fit(config, &clips(n), &mut |_, _| Ok(())).unwrap()
}

#[test]
fn a_configuration_for_a_layout_gives_that_layout() {
    assert_eq!(config().layout(), layout());
    let paper = Layout {
        video: VideoLayout { frames: 5, channels: 8, height: 16, width: 16, segments: vec![1; 5] },
        audio: AudioLayout { frames: 106, channels: 32, segments: vec![6, 25, 25, 25, 25] },
    };
    let grid = ClipGrid { frames: 17, width: 128, height: 128, ..GRID };
    let config = CodecConfig::for_layout(grid, &paper).unwrap();
    assert_eq!(config.layout(), paper);
    // 2.125 s at 16 kHz are 34,000 samples: 106 frames of 320 and a rest of 80.
    assert_eq!((config.hop_samples(), config.audio.fine_frames, config.video.patch_px), (320, 1, 8));
}

#[test]
fn configurations_that_do_not_fit_the_grid_are_told_by_field() {
    let message = |change: &dyn Fn(&mut CodecConfig)| {
        let mut changed = config();
        change(&mut changed);
        changed.check().unwrap_err().to_string()
    };
    assert!(message(&|c| c.video.patch_px = 5).starts_with("video.patch_px: 5 is not allowed"));
    assert!(message(&|c| c.grid.frames = 8).starts_with("frames of the grid: 8 is not allowed"));
    assert!(message(&|c| c.video.segments = vec![1, 1]).starts_with("segments of audio"));
    assert!(message(&|c| c.video.channels = 1000).starts_with("video.channels: 1000 is not allowed"));
    assert!(message(&|c| c.audio.fine_frames = 10_000).starts_with("audio.fine_frames: 10000"));
    assert!(message(&|c| c.grid.width = 1 << 60).starts_with("width of the grid: "));
    assert!(message(&|c| c.grid.sample_rate_hz = u32::MAX).starts_with("sample rate of the grid: "));
    assert!(message(&|c| c.whitening = f64::NAN).starts_with("whitening: NaN"));
    let other = Layout { video: VideoLayout { height: 3, ..layout().video }, ..layout() };
    assert!(
        CodecConfig::for_layout(wide(), &other).unwrap_err().to_string().contains("rows of video latents")
    );
}

#[test]
fn with_as_many_channels_as_values_the_first_frame_is_kept_whole() {
    let mut full = config();
    full.video.channels = 8 * 8 * 3;
    let codec = fitted(full, 40);
    let clip = &clips(1)[0];
    let (video, back) = (clip.video.as_ref().unwrap(), codec.decode(&codec.encode(clip).unwrap()).unwrap());
    let error = |frame: usize| {
        let (a, b) = (&video.frames[frame], &back.video.as_ref().unwrap().frames[frame]);
        let square: f64 = a.iter().zip(b).map(|(x, y)| f64::from(x.abs_diff(*y)).powi(2)).sum();
        10.0 * (255f64.powi(2) * a.len() as f64 / square.max(1e-9)).log10()
    };
    assert!(error(0) > LOSSLESS_DB, "{} dB", error(0));
}

#[test]
fn frame_by_frame_the_first_frame_has_the_latents_that_it_would_have_anywhere() {
    let video = VideoLayout { frames: 9, segments: vec![1, 4, 4], ..layout().video };
    let codec = fitted(CodecConfig::for_layout(wide(), &Layout { video, ..layout() }).unwrap(), 12);
    let mut still = clips(1).remove(0).video.unwrap();
    still.frames = vec![still.frames[3].clone(); 9];
    let latents = codec.encode_video(&still).unwrap();
    let frames: Vec<&[f32]> = latents.chunks_exact(latents.len() / 9).collect();
    assert!(frames.iter().all(|frame| *frame == frames[0]) && frames[0].iter().any(|x| *x != 0.0));
    let back = codec.decode_video(&latents).unwrap();
    assert!(back.frames.iter().all(|frame| *frame == back.frames[0]));
    // In groups of frames the first one stands alone, and is another thing than they are.
    let grouped = fitted(config(), 12).encode_video(&still).unwrap();
    let third = grouped.len() / 3;
    assert_ne!(grouped[..third], grouped[third..2 * third]);
}

#[test]
fn more_channels_lose_less_and_the_report_says_so() {
    let few = fitted(config(), 24);
    let mut more = config();
    (more.video.channels, more.audio.channels) = (24, 32);
    let more = fitted(more, 24);
    let (a, b) = (few.report(), more.report());
    assert!(b.explained_frames > a.explained_frames && b.explained_audio > a.explained_audio, "{a:?} {b:?}");
    assert!(a.explained_frames > 0.3 && b.explained_audio < 1.0, "{a:?} {b:?}");
    let (a, b) = (&a.reconstruction, &b.reconstruction);
    assert!(b.video_psnr_db > a.video_psnr_db + 1.0, "{a:?} {b:?}");
    assert!(b.audio_log_spectral_distance_db < a.audio_log_spectral_distance_db, "{a:?} {b:?}");
}

#[test]
fn every_channel_has_unit_variance_or_all_keep_their_proportions() {
    let deviations = |whitening: f64| -> Vec<f64> {
        let codec = fitted(CodecConfig { whitening, ..config() }, 24);
        let all: Vec<f32> = clips(24).iter().flat_map(|clip| codec.encode(clip).unwrap().audio).collect();
        let deviation = |c: usize| {
            let of: Vec<f64> = all.iter().skip(c).step_by(8).map(|&x| f64::from(x)).collect();
            (of.iter().map(|x| x * x).sum::<f64>() / of.len() as f64).sqrt()
        };
        (0..8).map(deviation).collect()
    };
    let white = deviations(1.0);
    assert!(white.iter().all(|d| (d - 1.0).abs() < 1e-3), "{white:?}");
    let kept = deviations(0.0);
    let square = kept.iter().map(|d| d * d).sum::<f64>() / 8.0;
    assert!((square - 1.0).abs() < 1e-3 && kept[0] > 1.5 * kept[7], "{kept:?}");
}

#[test]
fn a_codec_read_from_its_file_does_the_same_and_fitting_twice_gives_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    let codec = fitted(config(), 12);
    codec.save(&a).unwrap();
    fitted(config(), 12).save(&b).unwrap();
    assert_eq!(file_sha256(&a).unwrap(), file_sha256(&b).unwrap());
    let (loaded, clip) = (LinearCodec::load(&a).unwrap(), &clips(13)[12]);
    let latents = codec.encode(clip).unwrap();
    assert_eq!(loaded.encode(clip).unwrap(), latents);
    assert_eq!(loaded.decode(&latents).unwrap(), codec.decode(&latents).unwrap());
    assert_eq!(loaded.report(), codec.report());
}

#[test]
fn codecs_fit_even_a_single_clip() {
    let codec = fitted(config(), 1);
    let latents = codec.encode(&clips(1)[0]).unwrap();
    latents.check_finite("latents").unwrap();
    assert!(codec.report().reconstruction.video_psnr_db > 15.0, "{:?}", codec.report());
    let none: Vec<Clip> = Vec::new();
    let message = LinearCodec::fit(config(), &none, &mut |_, _| Ok(())).err().unwrap().to_string();
    assert!(message.contains("clips to fit a codec to"), "{message}");
}

#[test]
fn files_of_a_codec_that_are_wrong_are_told_with_the_tensor() {
    use crate::tensors::{TensorFile, TensorRef, write_tensors};
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good"), folder.path().join("bad.safetensors"));
    fitted(config(), 2).save(&good).unwrap();
    let file = TensorFile::read(&good).unwrap();
    let names: Vec<String> = ["first_frame", "frames", "audio"]
        .iter()
        .flat_map(|kind| ["mean", "basis", "centre", "scale"].map(|part| format!("{kind}.{part}")))
        .collect();
    type Spoil = fn(&str, &mut Vec<usize>, &mut Vec<f32>);
    let fails = |expected: &str, key: &str, value: Option<&str>, spoil: Spoil| {
        let mut metadata = file.metadata.clone();
        if let Some(value) = value {
            metadata.insert(key.to_owned(), value.to_owned());
        }
        let mut tensors: Vec<(Vec<usize>, Vec<f32>)> =
            names.iter().map(|n| file.tensor(n).unwrap()).collect();
        names.iter().zip(&mut tensors).for_each(|(name, (shape, values))| spoil(name, shape, values));
        let parts = names.iter().zip(&tensors);
        let refs: Vec<TensorRef> =
            parts.map(|(name, (shape, values))| TensorRef { name, shape: shape.clone(), values }).collect();
        write_tensors(&bad, &metadata, &refs).unwrap();
        let message = LinearCodec::load(&bad).err().expect(expected).to_string();
        assert!(message.contains("bad.safetensors: ") && message.contains(expected), "{message}");
    };
    fails("format is avdit-codec/9, expected avdit-codec/1", "format", Some("avdit-codec/9"), |_, _, _| ());
    fails("codec of kind learned, expected linear", "kind", Some("learned"), |_, _, _| ());
    fails("metadata config: ", "config", Some("{}"), |_, _, _| ());
    fails("tensor audio.basis: value 7 is NaN", "", None, |name, _, values| {
        if name == "audio.basis" {
            values[7] = f32::NAN;
        }
    });
    fails("tensor frames.scale: value 0 is 0", "", None, |name, _, values| {
        if name == "frames.scale" {
            values[0] = 0.0;
        }
    });
    fails("tensor audio.centre: has shape [7], expected [8]", "", None, |name, shape, values| {
        if name == "audio.centre" {
            shape[0] = 7;
            values.pop();
        }
    });
}

#[test]
fn clips_off_the_grid_and_broken_latents_are_refused_with_both_sides() {
    let codec = fitted(config(), 2);
    let clip = clips(1).remove(0);
    let off = |change: &dyn Fn(&mut Clip)| {
        let mut changed = clip.clone();
        change(&mut changed);
        codec.encode(&changed).unwrap_err().to_string()
    };
    let frames = |clip: &mut Clip| clip.video.as_mut().unwrap().frames.truncate(8);
    assert_eq!(off(&frames), "video frames: expected 9, got 8");
    assert!(off(&|clip| clip.audio = None).starts_with("clip to encode: none is not allowed"));
    assert!(
        off(&|clip| clip.audio.as_mut().unwrap().sample_rate_hz = 8000)
            .starts_with("sample rate in Hz: 8000")
    );
    assert!(
        off(&|clip| clip.audio.as_mut().unwrap().samples[5] = f32::NAN).starts_with("audio samples: value 5")
    );
    let mut latents = codec.encode(&clip).unwrap();
    latents.video[3] = f32::INFINITY;
    assert!(codec.decode(&latents).unwrap_err().to_string().starts_with("video latents: value 3 is inf"));
    latents.video.pop();
    assert!(codec.decode(&latents).unwrap_err().to_string().contains("elements of the video latents"));
}

#[test]
fn wild_latents_decode_to_finite_sound_in_range() {
    let codec = fitted(config(), 2);
    let sound = codec.decode_audio(&vec![1e4; layout().len(avdit_core::Modality::Audio)]).unwrap();
    assert_eq!(sound.samples.len(), wide().samples());
    assert!(sound.samples.iter().all(|x| x.abs() <= 1.0));
}
