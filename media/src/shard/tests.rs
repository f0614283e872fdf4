use super::*;
use crate::codec::file_sha256;
use crate::{ClipGrid, Rational};
use avdit_core::{AudioLayout, VideoLayout};
use std::path::PathBuf;

fn layout() -> Layout {
    Layout {
        video: VideoLayout { frames: 2, channels: 3, height: 1, width: 2, segments: vec![1, 1] },
        audio: AudioLayout { frames: 4, channels: 2, segments: vec![1, 3] },
    }
}

fn shard(first: usize, n: usize, codec_sha256: &str) -> Shard {
    let fill = |modality, salt: f32| {
        (0..n * layout().len(modality)).map(|i| (first * 100 + i) as f32 * 0.5 + salt).collect::<Vec<f32>>()
    };
    let origin =
        |i: usize| ClipOrigin { name: format!("clip-{i}"), source: "a \"b\".mp4".to_owned(), start_s: 0.5 };
    Shard {
        layout: layout(),
        codec_sha256: codec_sha256.to_owned(),
        clips: (first..first + n).map(origin).collect(),
        latents: Latents { batch: n, video: fill(Modality::Video, 0.0), audio: fill(Modality::Audio, 0.25) },
    }
}

/// A dataset of 3 + 2 clips whose codec is a file of any bytes.
fn dataset() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().to_owned();
    std::fs::write(path.join("codec.safetensors"), b"codec").unwrap();
    let sha256 = file_sha256(&path.join("codec.safetensors")).unwrap();
    shard(0, 3, &sha256).write(&path.join(Shard::file_name(0))).unwrap();
    shard(3, 2, &sha256).write(&path.join(Shard::file_name(1))).unwrap();
    let info = DatasetInfo {
        schema: DatasetInfo::schema(),
        grid: ClipGrid { frames: 5, fps: Rational::new(8, 1), width: 8, height: 4, sample_rate_hz: 8000 },
        layout: layout(),
        clips: 5,
        left_out: 0,
        codec: CodecInfo { file: "codec.safetensors".to_owned(), kind: "linear".to_owned(), sha256 },
        shards: [(0, 3), (1, 2)].map(|(i, clips)| ShardInfo { file: Shard::file_name(i), clips }).to_vec(),
    };
    std::fs::write(path.join(DATASET_FILE), serde_json::to_string_pretty(&info).unwrap()).unwrap();
    (folder, path)
}

#[test]
fn a_shard_comes_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latents-00000.safetensors");
    let written = shard(0, 3, "abc");
    written.write(&path).unwrap();
    assert_eq!(Shard::read(&path).unwrap(), written);
}

#[test]
fn the_bytes_of_a_shard_are_as_documented() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x");
    let written = shard(0, 1, "abc");
    written.write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&bytes[8..8 + header]).unwrap();
    assert!(header.is_multiple_of(8) && text.starts_with("{\"__metadata__\":{\"clips\":"), "{text}");
    let video: Vec<u8> = written.latents.video.iter().flat_map(|x| x.to_le_bytes()).collect();
    assert_eq!(bytes[8 + header..8 + header + video.len()], video);
    assert_eq!(bytes.len(), 8 + header + video.len() + 4 * written.latents.audio.len());
}

#[test]
fn a_number_that_is_not_finite_is_named_with_its_tensor_and_clip() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("latents-00000.safetensors");
    let mut broken = shard(0, 3, "abc");
    broken.latents.audio[2 * 8 + 5] = f32::NAN;
    let expected =
        "latents-00000.safetensors: tensor audio: clip 2 (clip-2): value 5 is NaN, not a finite number";
    assert!(broken.write(&path).unwrap_err().to_string().ends_with(expected));
    assert!(!path.exists());
    // The same with a file that someone else wrote: the value is the last but two of the file.
    shard(0, 3, "abc").write(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() - 3 * 4;
    bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    std::fs::write(&path, bytes).unwrap();
    let message = Shard::read(&path).unwrap_err().to_string();
    assert!(message.ends_with(expected), "{message}");
}

#[test]
fn a_dataset_gives_its_clips_across_shards_in_order() {
    let (_folder, path) = dataset();
    let dataset = Dataset::open(&path).unwrap();
    assert_eq!(dataset.len(), 5);
    for i in [4, 0, 3, 2, 1] {
        assert_eq!(dataset.get(i).unwrap().origin.name, format!("clip-{i}"));
    }
    let batch = dataset.batch(&[4, 1]).unwrap();
    assert_eq!((batch.batch, batch.item(&layout(), 0)), (2, dataset.get(4).unwrap().latents));
    assert_eq!(dataset.get(4).unwrap().latents, shard(3, 2, "").latents.item(&layout(), 1));
    assert!(
        dataset
            .get(5)
            .unwrap_err()
            .to_string()
            .contains("index of a clip: 5 is not allowed, expected below 5")
    );
}

#[test]
fn what_does_not_belong_together_is_told_with_the_file() {
    let fails = |what: &str, expected: &str, spoil: &dyn Fn(&Path)| {
        let (_folder, path) = dataset();
        spoil(&path);
        let message = match Dataset::open(&path) {
            Err(error) => error.to_string(),
            Ok(dataset) => dataset.get(4).err().unwrap_or_else(|| panic!("{what} is accepted")).to_string(),
        };
        assert!(message.contains(expected), "{what}: {message}");
    };
    let second = Shard::file_name(1);
    fails("another codec", "codec.safetensors: codec has SHA-256", &|path| {
        std::fs::write(path.join("codec.safetensors"), b"other").unwrap();
    });
    fails("a shard of another codec", "latents-00001.safetensors: made with the codec abc", &|path| {
        shard(3, 2, "abc").write(&path.join(&second)).unwrap();
    });
    fails("a missing shard", "latents-00001.safetensors", &|path| {
        std::fs::remove_file(path.join(&second)).unwrap()
    });
    fails("a truncated shard", "latents-00001.safetensors: not a sound safetensors file", &|path| {
        let bytes = std::fs::read(path.join(&second)).unwrap();
        std::fs::write(path.join(&second), &bytes[..bytes.len() / 2]).unwrap();
    });
    fails("a shard with fewer clips", "has 1 clips, the dataset says 2", &|path| {
        let sha256 = file_sha256(&path.join("codec.safetensors")).unwrap();
        shard(3, 1, &sha256).write(&path.join(&second)).unwrap();
    });
    fails("counts that differ", "dataset.json: its shards have 5 clips, it says 6", &|path| {
        let text = std::fs::read_to_string(path.join(DATASET_FILE)).unwrap();
        let text = text.replacen("\"clips\": 5", "\"clips\": 6", 1);
        std::fs::write(path.join(DATASET_FILE), text).unwrap();
    });
    fails("another schema", "schema is avdit-dataset/9", &|path| {
        let text = std::fs::read_to_string(path.join(DATASET_FILE)).unwrap();
        std::fs::write(path.join(DATASET_FILE), text.replace("avdit-dataset/1", "avdit-dataset/9")).unwrap();
    });
}

#[test]
fn reading_in_any_order_reads_each_clip_alone_and_opens_no_more_files_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    std::fs::write(path.join("codec.safetensors"), b"codec").unwrap();
    let sha256 = file_sha256(&path.join("codec.safetensors")).unwrap();
    let (shards, per_shard) = (20, 7);
    for number in 0..shards {
        shard(number * per_shard, per_shard, &sha256).write(&path.join(Shard::file_name(number))).unwrap();
    }
    let (_old, template) = dataset();
    let mut info = Dataset::open(&template).unwrap().info().clone();
    info.clips = shards * per_shard;
    info.shards = (0..shards).map(|i| ShardInfo { file: Shard::file_name(i), clips: per_shard }).collect();
    std::fs::write(path.join(DATASET_FILE), serde_json::to_string(&info).unwrap()).unwrap();

    let dataset = Dataset::open_with(path, StreamOptions { open_files: 3 }).unwrap();
    let clip_bytes = 4 * (layout().len(Modality::Video) + layout().len(Modality::Audio)) as u64;
    for position in 0..2 * info.clips {
        let index = avdit_core::example_at(avdit_core::Noise::new(1), info.clips, position as u64);
        let expected = shard(index / per_shard * per_shard, per_shard, &sha256);
        assert_eq!(dataset.latents(index).unwrap(), expected.latents.item(&layout(), index % per_shard));
        assert!(dataset.open_files() <= 3);
    }
    let traffic = dataset.traffic();
    assert_eq!(traffic.bytes, 2 * info.clips as u64 * clip_bytes, "nothing but the clips asked for is read");
    assert_eq!(traffic.headers, shards as u64, "each header is checked once");
    assert!(traffic.opened > shards as u64, "files were closed and opened again");

    // All at once, from many threads: the same, and still no more files.
    let dataset = Dataset::open_with(path, StreamOptions { open_files: 2 }).unwrap();
    std::thread::scope(|scope| {
        for reader in 0..4 {
            let dataset = &dataset;
            scope.spawn(move || {
                for i in 0..info_clips(dataset) {
                    let index = (i * 37 + reader * 11) % info_clips(dataset);
                    assert_eq!(dataset.get(index).unwrap().origin.name, format!("clip-{index}"));
                    assert!(dataset.open_files() <= 2);
                }
            });
        }
    });
}

fn info_clips(dataset: &Dataset) -> usize {
    dataset.info().clips
}

#[test]
fn a_shard_that_is_replaced_while_it_is_read_and_a_clip_that_is_not_finite_are_told() {
    let (_folder, path) = dataset();
    let second = path.join(Shard::file_name(1));
    let sha256 = file_sha256(&path.join("codec.safetensors")).unwrap();
    let dataset = Dataset::open_with(&path, StreamOptions { open_files: 1 }).unwrap();
    (dataset.latents(4).unwrap(), dataset.latents(0).unwrap());
    shard(3, 3, &sha256).write(&second).unwrap();
    let message = dataset.latents(4).unwrap_err().to_string();
    assert!(message.contains("latents-00001.safetensors: has changed since it was first read"), "{message}");

    shard(3, 2, &sha256).write(&second).unwrap();
    let mut bytes = std::fs::read(&second).unwrap();
    let at = bytes.len() - 4;
    bytes[at..].copy_from_slice(&f32::INFINITY.to_le_bytes());
    std::fs::write(&second, bytes).unwrap();
    let dataset = Dataset::open(&path).unwrap();
    dataset.latents(3).unwrap();
    let message = dataset.latents(4).unwrap_err().to_string();
    let expected =
        "latents-00001.safetensors: tensor audio: clip 1 (clip-4): value 7 is inf, not a finite number";
    assert!(message.ends_with(expected), "{message}");
}
