//! A learned codec from clips to its file: it learns, goes on bit for bit, and ends with latents of unit scale.
#![allow(clippy::unwrap_used, reason = "tests")]

use avdit_core::Modality;
use avdit_media::codec::{ClipSource, planes};
use avdit_media::world::World;
use avdit_media::{Clip, ClipGrid, Rational};
use avdit_nets::AutoencoderConfig;
use avdit_nets::codec::{AudioAutoencoder, VideoAutoencoder};
use avdit_trainer::Weights;
use avdit_trainer::codec::{Autoencoder, CodecFile, CodecStep, CodecTraining, Training, finish};
use candle_core::{Device, Tensor};
use std::path::Path;

fn grid() -> ClipGrid {
    ClipGrid { frames: 5, fps: Rational::new(8, 1), width: 16, height: 16, sample_rate_hz: 1600 }
}

fn config() -> CodecTraining {
    let autoencoder = AutoencoderConfig {
        video: VideoAutoencoder {
            frames: 5,
            height: 16,
            width: 16,
            patch: 4,
            widths: [6, 8],
            channels: 3,
            segments: vec![1, 1],
        },
        audio: AudioAutoencoder {
            samples: 1000,
            strides: vec![2, 4],
            widths: vec![6, 8],
            dilations: vec![1],
            channels: 4,
            segments: vec![25, 100],
        },
    };
    let mut config = CodecTraining {
        autoencoder,
        ..CodecTraining::small(
            ClipGrid { frames: 17, width: 64, height: 64, sample_rate_hz: 16_000, ..grid() },
            3,
        )
        .unwrap()
    };
    config.grid = grid();
    for training in [&mut config.video, &mut config.audio] {
        (training.steps, training.batch) = (60, 2);
        (training.optimizer.lr, training.optimizer.warmup_steps) = (5e-3, 5);
        training.optimizer.ema_decay = 0.9.into();
    }
    config.check().unwrap();
    config
}

fn clips() -> Vec<Clip> {
    let world = World::new(7, grid());
    (0..5).map(|i| world.clip(i)).collect()
}

fn run(training: &mut Training<'_>, until: usize) -> Vec<CodecStep> {
    (training.step..until).map(|_| training.advance().unwrap()).collect()
}

#[test]
fn a_short_training_loses_less_of_the_clips_than_it_began_with() {
    let (config, clips, out) = (config(), clips(), tempfile::tempdir().unwrap());
    for modality in Modality::ALL {
        let mut training = Training::open(&config, modality, &clips, out.path(), "five").unwrap();
        let steps = run(&mut training, 60);
        let mean = |steps: &[CodecStep]| steps.iter().map(|step| step.reconstruction).sum::<f64>() / 10.0;
        let (before, after) = (mean(&steps[..10]), mean(&steps[50..]));
        // Sound of eight samples a latent takes longer: seconds are all that this has.
        let share = if modality == Modality::Video { 0.8 } else { 0.95 };
        assert!(after < share * before, "{}: {before} to {after}", modality.name());
    }
}

#[test]
fn a_training_that_was_stopped_goes_on_bit_for_bit() {
    let (config, clips) = (config(), clips());
    for modality in Modality::ALL {
        let [whole, parts] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let open = |out: &Path| Training::open(&config, modality, &clips, out, "five").unwrap();
        let mut uninterrupted = open(whole.path());
        run(&mut uninterrupted, 7);
        let mut first = open(parts.path());
        run(&mut first, 4);
        first.save().unwrap();
        run(&mut first, 6); // lost
        let mut resumed = open(parts.path());
        assert_eq!(resumed.step, 4);
        run(&mut resumed, 7);
        assert_eq!(resumed.weights().unwrap(), uninterrupted.weights().unwrap());
        assert_eq!(resumed.ema().unwrap(), uninterrupted.ema().unwrap());
        let threads = rayon_threads(1, || {
            let mut alone = open(&whole.path().join("none"));
            run(&mut alone, 7);
            alone.weights().unwrap()
        });
        assert_eq!(threads, uninterrupted.weights().unwrap(), "whatever the number of threads");
    }
}

fn rayon_threads<T: Send>(threads: usize, run: impl FnOnce() -> T + Send) -> T {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap().install(run)
}

#[test]
fn a_state_of_other_settings_or_clips_is_refused() {
    let (config, clips, out) = (config(), clips(), tempfile::tempdir().unwrap());
    let training = Training::open(&config, Modality::Video, &clips, out.path(), "five").unwrap();
    training.save().unwrap();
    let mut other = config.clone();
    other.video.optimizer.lr = 1.0;
    for (config, clips_name, expected) in [(&other, "five", "other config"), (&config, "six", "other clips")]
    {
        let opened = Training::open(config, Modality::Video, &clips, out.path(), clips_name);
        let error = opened.err().unwrap().to_string();
        assert!(error.contains(expected) && error.contains("hint"), "{error}");
    }
}

/// Weights of both modalities after a few steps.
fn trained(config: &CodecTraining, clips: &dyn avdit_media::codec::ClipSource) -> Weights {
    let out = tempfile::tempdir().unwrap();
    let mut weights = Weights::new();
    for modality in Modality::ALL {
        let mut training = Training::open(config, modality, clips, out.path(), "five").unwrap();
        run(&mut training, 20);
        weights.extend(training.ema().unwrap());
    }
    weights
}

#[test]
fn a_finished_codec_has_latents_of_unit_scale_and_makes_the_clips_it_made_before() {
    let (config, clips) = (config(), clips());
    let raw = trained(&config, &clips);
    let codec = finish(&config, raw.clone(), &clips).unwrap();
    for modality in Modality::ALL {
        let net =
            |weights: &Weights| Autoencoder::with_weights(&codec.autoencoder, modality, weights).unwrap();
        let (before, after) = (net(&raw), net(&codec.weights));
        let mut channels: Vec<Vec<f64>> = Vec::new();
        for i in 0..clips.len() {
            let clip = clips.clip(i).unwrap();
            let x = match modality {
                Modality::Video => {
                    Tensor::from_vec(planes(&clip.video.unwrap()), (1, 5, 3, 16, 16), &Device::Cpu)
                }
                Modality::Audio => Tensor::from_vec(clip.audio.unwrap().samples, (1, 1000), &Device::Cpu),
            };
            let x = x.unwrap();
            let z = after.encode(&x).unwrap();
            let of = |net: &Autoencoder| {
                net.decode(&net.encode(&x).unwrap()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
            };
            let pairs: Vec<_> = of(&before).into_iter().zip(of(&after)).collect();
            let worst = pairs.iter().map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{} {i}: {worst}", modality.name());
            // (1, F, C, …) or (1, A, C).
            let z = z.transpose(0, 2).unwrap().contiguous().unwrap();
            let rows = z.reshape((z.dim(0).unwrap(), ())).unwrap().to_vec2::<f32>().unwrap();
            channels.resize(rows.len(), Vec::new());
            channels.iter_mut().zip(rows).for_each(|(all, row)| all.extend(row.into_iter().map(f64::from)));
        }
        for (c, values) in channels.iter().enumerate() {
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / values.len() as f64;
            let told = format!("{} {c}: {mean} {variance}", modality.name());
            assert!(mean.abs() < 1e-3 && (variance - 1.0).abs() < 1e-3, "{told}");
        }
    }
}

#[test]
fn the_file_of_a_codec_is_read_as_it_was_written_and_a_damaged_one_is_refused() {
    let (config, clips, folder) = (config(), clips(), tempfile::tempdir().unwrap());
    let weights = |modality| Autoencoder::new(&config.autoencoder, modality, 1).unwrap();
    let mut all = Weights::new();
    for modality in Modality::ALL {
        all.extend(avdit_trainer::optimizer::Trainable::weights(&weights(modality)).unwrap());
    }
    let codec = finish(&config, all, &clips).unwrap();
    let path = folder.path().join("codec.safetensors");
    codec.write(&path).unwrap();
    assert_eq!(CodecFile::kind(&path).unwrap(), "learned");
    assert_eq!(CodecFile::read(&path).unwrap(), codec);
    let mut broken = codec.clone();
    broken.weights.get_mut("audio.decoder.conv_in.bias").unwrap()[1] = f32::NAN;
    broken.write(&path).unwrap();
    let error = CodecFile::read(&path).unwrap_err().to_string();
    assert!(error.contains("audio.decoder.conv_in.bias: value 1 is NaN"), "{error}");
}
