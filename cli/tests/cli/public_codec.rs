//! Public networks from their folders to clips.

use crate::fixture::{avdit, small_config, text, write_clips};
use crate::public_networks::{Folders, mel, video, weights};
use avdit_core::Modality;
use avdit_export::evaluate_network;
use avdit_media::codec::{Side, Tiles, planes};
use avdit_media::mel::{MelConfig, MelFrontEnd};
use avdit_media::shard::Dataset;
use avdit_media::{Clip, FitPolicy, Preference, decode, fit_to_grid};
use avdit_nets::vae::{Decoder, Encoder};
use serde_json::{Value, json};
use std::path::Path;

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The first clip of a file as `prepare` cuts it for a dataset.
fn on_grid(path: &Path, dataset: &Dataset) -> Clip {
    let clip = decode(path, Preference::BuiltIn).unwrap().clip;
    fit_to_grid(&clip, &dataset.info().grid, &FitPolicy::default()).unwrap().remove(0)
}

/// The largest difference between latents and those that double precision makes, over the largest of these.
fn distance(got: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let most = expected.iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let errors = got.iter().zip(expected).map(|(a, b)| (f64::from(*a) - b).abs());
    errors.fold(0.0, f64::max) / most
}

#[test]
fn a_mel_codec_is_assembled_and_used_from_clips_to_clips() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let networks = Folders::write(folder.path());
    write_clips(&folder.path().join("clips"), 0..2);
    let (clips, codec, data) = (at("clips"), at("codec"), at("data"));
    let given = ["--video", &networks.video, "--audio", &networks.mel, "--vocoder", &networks.vocoder];
    let assemble = |out: &str, more: &[&str]| {
        let command = ["codec", "assemble", "--size", "64", "-o", out];
        avdit(&[&command[..], &given, more].concat())
    };
    let made = parsed(&assemble(&codec, &["--json"]).ok().out);
    assert_eq!((&made["schema"], &made["tile"]), (&json!("avdit-public-codec/1"), &json!(null)));
    assert_eq!(
        made["layout"]["video"],
        json!({ "frames": 16, "channels": 4, "height": 8, "width": 8, "segments": [16] })
    );
    assert_eq!(made["layout"]["audio"], json!({ "frames": 40, "channels": 128, "segments": [40] }));
    assert_eq!(made["sources"]["vocoder"]["source"]["file"], "random.bin");
    let said = assemble(&codec, &[]).ok().out;
    assert!(
        said.contains("latents of sound: 40 frames × 128, 1 segments") && said.contains("avdit prepare"),
        "{said}"
    );

    let prepared = parsed(&avdit(&["prepare", &clips, "-o", &data, "--codec", &codec, "--json"]).ok().out);
    assert_eq!(
        (&prepared["dataset"]["codec"]["kind"], &prepared["dataset"]["clips"]),
        (&json!("public"), &json!(2))
    );
    let dataset = Dataset::open(folder.path().join("data").as_path()).unwrap();
    let clip = on_grid(&folder.path().join("clips/clip-0001.mp4"), &dataset);
    let latents = dataset.latents(1).unwrap();
    let pictures = planes(clip.video.as_ref().unwrap());
    for frame in [0, 13] {
        let encoder = Encoder::new(&video(), [64, 64]).unwrap();
        let picture = &pictures[frame * 3 * 64 * 64..][..3 * 64 * 64];
        let mut moments =
            evaluate_network(&encoder, &weights(&video().parameters()), &[picture]).unwrap().remove(0);
        moments.truncate(4 * 8 * 8);
        moments.iter_mut().for_each(|z| *z *= 0.5);
        let error = distance(&latents.video[frame * 256..][..256], &moments);
        assert!(error < 1e-4, "frame {frame}: {error:.1e}");
    }
    let front_end = MelFrontEnd::new(&MelConfig::AUDIOLDM).unwrap();
    let heard = front_end.picture(&clip.audio.unwrap().samples, 160).unwrap();
    let heard: Vec<f32> = heard.into_iter().map(|x| x as f32).collect();
    let encoder = Encoder::new(&mel(), [160, 64]).unwrap();
    let moments = evaluate_network(&encoder, &weights(&mel().parameters()), &[&heard]).unwrap().remove(0);
    // (frame, channel, bin) of (channel, frame, bin).
    let place = |i: usize| (i / 16 % 8) * 640 + (i / 128) * 16 + i % 16;
    let expected: Vec<f64> = (0..40 * 128).map(|i| 0.5 * moments[place(i)]).collect();
    let error = distance(&latents.audio, &expected);
    assert!(error < 1e-4, "{error:.1e}");

    let check = avdit(&["codec", "check", &codec, &clips, "-o", &at("seen"), "--json"]).ok();
    let check = parsed(&check.out);
    assert_eq!((&check["fidelity"]["codec"], &check["fidelity"]["clips"]), (&json!("public"), &json!(2)));
    assert_eq!(
        (check["files"].as_array().unwrap().len(), check["fidelity"]["video_latents"].as_u64()),
        (6, Some(4096))
    );
    let back = decode(&folder.path().join("seen/001-codec.mp4"), Preference::BuiltIn).unwrap().clip;
    assert_eq!(back.video.unwrap().frames.len(), 16);
    assert!(back.audio.unwrap().samples.iter().any(|x| x.abs() > 1e-3));

    let (run, model) = (at("run"), at("model"));
    let config = small_config(folder.path().join("data").as_path(), folder.path().join("run").as_path(), 2);
    std::fs::write(folder.path().join("run.toml"), config).unwrap();
    avdit(&["train", &at("run.toml")]).ok();
    avdit(&["export", &run, "-o", &model]).ok();
    avdit(&["sample", &model, "--task", "joint", "-o", &at("out.mp4"), "--steps", "2"]).ok();
    let made = decode(&folder.path().join("out.mp4"), Preference::BuiltIn).unwrap().clip;
    assert_eq!(made.video.unwrap().frames.len(), 16);

    // Tiles and segments are the codec's, and give other latents in the same places.
    let (tiled, other) = (at("tiled"), at("data-of-tiles"));
    assemble(&tiled, &["--tile", "6", "--segments", "4"]).ok();
    avdit(&["prepare", &clips, "-o", &other, "--codec", &tiled]).ok();
    let dataset = Dataset::open(Path::new(&other)).unwrap();
    assert_eq!((dataset.layout().segments(), &dataset.layout().audio.segments), (4, &vec![10; 4]));
    let tiles = dataset.latents(1).unwrap();
    assert_eq!(tiles.audio, latents.audio);
    assert!(tiles.video != latents.video && tiles.get(Modality::Video).len() == latents.video.len());

    // A codec is not written over, and its folder is no run.
    avdit(&["prepare", &clips, "-o", &codec]).refused(3, &["codec: holds a codec of public networks", "-o"]);
    avdit(&["export", &codec, "-o", &at("graphs")]).refused(3, &["avdit prepare --codec"]);
    assemble(&data, &[]).refused(3, &["data: holds a dataset"]);
}

#[test]
fn encodec_codes_sound_in_place_of_a_mel_autoencoder() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let networks = Folders::write(folder.path());
    write_clips(&folder.path().join("clips"), 0..2);
    let (clips, codec) = (at("clips"), at("codec"));
    let given = ["--video", &networks.video, "--audio", &networks.encodec, "--size", "64", "-o", &codec];
    let made = parsed(
        &avdit(&[&["codec", "assemble", "--audio-scale", "0.5", "--json"], &given[..]].concat()).ok().out,
    );
    assert_eq!(made["layout"]["audio"], json!({ "frames": 120, "channels": 8, "segments": [120] }));
    assert_eq!(made["grid"]["sample_rate_hz"], 24_000);
    avdit(&["prepare", &clips, "-o", &at("data"), "--codec", &codec]).ok();
    let dataset = Dataset::open(folder.path().join("data").as_path()).unwrap();
    assert!(dataset.latents(0).unwrap().audio.iter().any(|x| x.abs() > 1e-3));
    let check = avdit(&["codec", "check", &at("data"), &clips, "--count", "1", "--json"]).ok();
    assert_eq!(parsed(&check.out)["fidelity"]["clips"], 1);
}

#[test]
fn what_makes_no_codec_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| text(&folder.path().join(name));
    let Folders { video, mel, vocoder, encodec } = &Folders::write(folder.path());
    let out = at("codec");
    let assemble =
        |given: &[&str]| avdit(&[&["codec", "assemble", "--size", "64", "-o", &out], given].concat());
    assemble(&["--video", video])
        .refused(2, &["--video without --audio makes no codec", "hint: name the folders"]);
    assemble(&["--audio", mel, "--vocoder", vocoder]).refused(2, &["--audio without --video"]);
    assemble(&["--video", video, "--audio", mel]).refused(3, &["alone makes no sound", "--vocoder"]);
    assemble(&["--video", video, "--audio", encodec, "--vocoder", vocoder])
        .refused(3, &["EnCodec makes sound by itself"]);
    assemble(&["--video", mel, "--audio", encodec])
        .refused(3, &["--video", "takes 1 and makes 1 channels, expected 3"]);
    assemble(&["--video", video, "--audio", video, "--vocoder", vocoder])
        .refused(3, &["those of a mel spectrogram"]);
    assemble(&["--video", vocoder, "--audio", encodec])
        .refused(3, &["a vocoder (hifigan), expected an autoencoder of pictures"]);
    assemble(&["--video", &at("nothing"), "--audio", encodec]).refused(3, &["holds no network.json", "hint"]);
    let both = ["--video", video, "--audio", mel, "--vocoder", vocoder];
    let with = |more: &[&str]| assemble(&[&both, more].concat());
    with(&["--segments", "3"]).refused(3, &["a multiple of the 3 segments"]);
    with(&["--segments", "8"]).refused(3, &["latent frames of sound: 40", "a multiple of 16"]);
    with(&["--frames", "17", "--fps", "8", "--segments", "1", "--tile", "2"])
        .refused(3, &["side of a tile in latents: 2"]);
    let odd = ["codec", "assemble", "--size", "64x72", "-o", &out];
    avdit(&[&odd[..], &both].concat()).refused(
        3,
        &["height of the clips in pixels: 72", "a multiple of 16 (patches of 2 latents of 8 pixels)"],
    );
    with(&["--audio-scale", "2"]).refused(2, &["states its own scale"]);
    with(&["--tile", "some"]).refused(2, &["expected auto, off or a number of latents"]);
    assert!(!Path::new(&out).exists());
    // What was changed after the import is not taken.
    let path = Path::new(mel).join("model.safetensors");
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    with(&[])
        .refused(3, &["model.safetensors: its SHA-256 is", "network.json says", "hint: import it again"]);
}

/// Tiles see norms and attention of a tile in place of the picture, so that this is what a random network makes of it and no
/// bound; the maps between are tested where they are.
#[test]
fn tiles_of_an_autoencoder_agree_with_the_whole_away_from_seams() {
    let config = video();
    let values = weights(&config.parameters());
    let size = [24, 16];
    let latents: Vec<f32> = (0..4 * 24 * 16).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
    let run = |size: [usize; 2], z: &[f32]| -> Vec<f32> {
        let decoder = Decoder::new(&config, size).unwrap();
        evaluate_network(&decoder, &values, &[z]).unwrap().remove(0).into_iter().map(|x| x as f32).collect()
    };
    let (from, to) = (Side { channels: 4, unit: 1 }, Side { channels: 3, unit: 8 });
    let decoded = |side: Option<usize>| {
        let tiles = Tiles::new(size, side).unwrap();
        (tiles.run(&latents, from, to, &mut |z| Ok(run(tiles.tile(), z))).unwrap(), tiles.count())
    };
    let whole = run(size, &latents);
    assert_eq!(decoded(Some(24)), (whole.clone(), 1));
    let (tiled, count) = decoded(Some(16));
    assert_eq!((count, tiled.len()), (2, whole.len()));
    let rms = |values: &mut dyn Iterator<Item = f32>| {
        let (sum, n) = values.fold((0.0, 0.0f64), |(sum, n), x| (sum + f64::from(x).powi(2), n + 1.0));
        (sum / n).sqrt()
    };
    // The tiles are rows 0 to 15 and 8 to 23 of latents: the ends of the picture see one of them alone.
    let far = |n: &usize| !(32..160).contains(&(n / 128 % 192));
    let error = rms(&mut (0..whole.len()).filter(far).map(|n| tiled[n] - whole[n]));
    let deviation = {
        let mean = whole.iter().sum::<f32>() / whole.len() as f32;
        rms(&mut whole.iter().map(|x| x - mean))
    };
    assert!(error < 0.1 * deviation, "{error:.3} of {deviation:.3}");
}
