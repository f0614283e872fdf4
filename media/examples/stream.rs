//! How fast single clips come out of a dataset that is larger than any cache of ours, in the order of training.
//!
//! `cargo run --release -p avdit-media --example stream -- FOLDER GIB`: writes a made-up dataset of that size into
//! FOLDER (if there is none), then reads clips in the order of training for two seconds in each of several ways: from
//! the system's cache, and from the disk after the system was asked to forget the files (`dd iflag=nocache`).
//! "Whole shards" is what reading was before: shards of 32 MiB, of which 16 are kept.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement for a person, run by hand")]

use avdit_core::{AudioLayout, Latents, Layout, Modality, Noise, Purpose, Stream, VideoLayout, example_at};
use avdit_media::codec::file_sha256;
use avdit_media::shard::{
    ClipOrigin, CodecInfo, DATASET_FILE, Dataset, DatasetInfo, Shard, ShardInfo, StreamOptions,
};
use avdit_media::{ClipGrid, Rational};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

const SHARD_BYTES: usize = 32 << 20;
const FOR: Duration = Duration::from_secs(2);

fn layout() -> Layout {
    Layout {
        video: VideoLayout { frames: 5, channels: 8, height: 16, width: 16, segments: vec![1; 5] },
        audio: AudioLayout { frames: 106, channels: 16, segments: vec![6, 25, 25, 25, 25] },
    }
}

fn clip_bytes() -> usize {
    Modality::ALL.iter().map(|&modality| 4 * layout().len(modality)).sum()
}

fn make(folder: &Path, gib: usize) {
    std::fs::create_dir_all(folder).unwrap();
    let codec = folder.join("codec.safetensors");
    std::fs::write(&codec, b"made up").unwrap();
    let sha256 = file_sha256(&codec).unwrap();
    let (per_shard, shards) = (SHARD_BYTES / clip_bytes(), (gib << 30).div_ceil(SHARD_BYTES));
    let mut latents = Latents::zeros(&layout(), per_shard);
    for modality in Modality::ALL {
        Noise::new(1).normals(Stream::new(Purpose::Check, 0, 0), latents.get_mut(modality));
    }
    let mut shard = Shard { layout: layout(), codec_sha256: sha256.clone(), clips: Vec::new(), latents };
    for number in 0..shards {
        let origin = |i: usize| ClipOrigin {
            name: format!("/somewhere/with/clips/{:08}.mp4@0.000", number * per_shard + i),
            source: format!("/somewhere/with/clips/{:08}.mp4", number * per_shard + i),
            start_s: 0.0,
        };
        shard.clips = (0..per_shard).map(origin).collect();
        shard.write(&folder.join(Shard::file_name(number))).unwrap();
    }
    let info = DatasetInfo {
        schema: "avdit-dataset/1".to_owned(),
        grid: ClipGrid {
            frames: 17,
            fps: Rational::new(8, 1),
            width: 128,
            height: 128,
            sample_rate_hz: 16_000,
        },
        layout: layout(),
        clips: shards * per_shard,
        left_out: 0,
        codec: CodecInfo { file: "codec.safetensors".to_owned(), kind: "made up".to_owned(), sha256 },
        shards: (0..shards)
            .map(|i| ShardInfo { file: Shard::file_name(i), clips: per_shard, sha256: None })
            .collect(),
    };
    std::fs::write(folder.join(DATASET_FILE), serde_json::to_string(&info).unwrap()).unwrap();
}

/// Asks the system to forget the dataset's files.
fn forget(folder: &Path, dataset: &Dataset) {
    for shard in &dataset.info().shards {
        let from = format!("if={}", folder.join(&shard.file).display());
        let asked = std::process::Command::new("dd")
            .args([&from, "iflag=nocache", "count=0", "status=none"])
            .status();
        assert!(asked.unwrap().success());
    }
}

/// The most memory that the process has had, and has, in MiB.
fn memory(field: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap_or_default();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap_or(f64::NAN) / 1024.0
}

fn report(what: &str, clips: u64, took: Duration) {
    let (rate, bytes) = (clips as f64 / took.as_secs_f64(), clip_bytes() as f64);
    println!(
        "| {what} | {rate:.0} | {:.0} | {:.0} | {:.0} |",
        rate * bytes / 1e6,
        memory("VmRSS"),
        memory("VmHWM")
    );
}

fn stream(folder: &Path, what: &str, threads: usize, open_files: usize, seed: u64) {
    let dataset = Dataset::open_with(folder, StreamOptions { open_files }).unwrap();
    if what == "disk" {
        forget(folder, &dataset);
    }
    let (next, begun) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while begun.elapsed() < FOR {
                    let position = next.fetch_add(1, Ordering::Relaxed);
                    dataset.latents(example_at(Noise::new(seed), dataset.len(), position)).unwrap();
                }
            });
        }
    });
    let name = format!("single clips, {what}, threads {threads}, open files {open_files}");
    report(&name, next.into_inner(), begun.elapsed());
}

/// What reading was before: whole shards, the last 16 kept.
fn whole_shards(folder: &Path, what: &str) {
    let dataset = Dataset::open(folder).unwrap();
    if what == "disk" {
        forget(folder, &dataset);
    }
    let per_shard = dataset.info().shards[0].clips;
    let (mut kept, mut read, begun) = (Vec::<(usize, Shard)>::new(), 0, Instant::now());
    while begun.elapsed() < FOR {
        let number = example_at(Noise::new(9), dataset.len(), read) / per_shard;
        if !kept.iter().any(|(n, _)| *n == number) {
            kept.truncate(15);
            kept.insert(0, (number, Shard::read(&folder.join(Shard::file_name(number))).unwrap()));
        }
        read += 1;
    }
    report(&format!("whole shards, {what}, threads 1"), read, begun.elapsed());
}

fn main() {
    let mut args = std::env::args().skip(1);
    let (Some(folder), Some(gib)) = (args.next(), args.next().and_then(|gib| gib.parse().ok())) else {
        println!("usage: stream FOLDER GIB");
        return;
    };
    let folder = Path::new(&folder);
    if !folder.join(DATASET_FILE).exists() {
        make(folder, gib);
    }
    let dataset = Dataset::open(folder).unwrap();
    println!("{} clips of {} bytes in {} shards\n", dataset.len(), clip_bytes(), dataset.info().shards.len());
    let (begun, places) = (Instant::now(), 100_000);
    let sum: usize =
        (0..places).map(|p| example_at(Noise::new(3), 10_000_000, p)).fold(0, usize::wrapping_add);
    println!(
        "place of an example in a pass over 10,000,000: {:.2} us ({sum})\n",
        begun.elapsed().as_secs_f64() / places as f64 * 1e6
    );
    println!("| how | clips/s | MB/s | memory, MiB | most so far, MiB |\n|---|---:|---:|---:|---:|");
    for (what, threads, open_files, seed) in [
        ("cache", 1, 64, 1),
        ("cache", 2, 64, 2),
        ("cache", 1, 1, 3),
        ("disk", 1, 64, 4),
        ("disk", 2, 64, 5),
        ("disk", 8, 64, 6),
    ] {
        stream(folder, what, threads, open_files, seed);
    }
    whole_shards(folder, "cache");
    whole_shards(folder, "disk");
}
