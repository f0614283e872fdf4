//! A report with invented figures, for tests of the page alone.

use super::data::*;

fn interval(mean: f64, low: f64, high: f64) -> Interval {
    Interval { mean, low, high }
}

fn media(stem: &str) -> Media {
    let name = |ending: &str| format!("samples/{stem}.{ending}");
    Media { mp4: name("mp4"), gif: name("gif"), wav: name("wav"), png: name("png") }
}

fn sample(task: &str, i: usize, video: [bool; 5], audio: [bool; 5]) -> Sample {
    Sample {
        name: format!("{task} {i}"),
        media: media(&format!("{task}-{i}")),
        given_video: video.to_vec(),
        given_audio: audio.to_vec(),
        reference: (task != "joint").then(|| media(&format!("{task}-{i}-true"))),
        recipe: Recipe {
            seed: 7 + i as u64,
            sampler: "ddim".into(),
            steps: 20,
            guidance: "none".into(),
            engine: "tract".into(),
        },
        agreement: Some(0.71 - 0.1 * i as f64),
    }
}

fn summary(p50: f64) -> Summary {
    Summary { n: 640, p50, p90: p50 * 1.08, p99: p50 * 1.31, mean: p50 * 1.02, cv: 0.041 }
}

fn loss_point(i: usize) -> LossPoint {
    let wave = |k: f64| 0.5 * ((i as f64 * k).sin() + (i as f64 * k * 1.7).cos());
    let fall = |from: f64, to: f64| to + (from - to) * (-(i as f64) / 320.0).exp();
    LossPoint {
        step: i + 1,
        video: fall(1.05, 0.17) * (1.0 + 0.18 * wave(12.9898)),
        audio: fall(1.02, 0.24) * (1.0 + 0.22 * wave(78.233)),
        learning_rate: Some(
            1e-3 * (i as f64 / 100.0)
                .min(1.0)
                .min(0.5 + 0.5 * (i as f64 / 2600.0 * std::f64::consts::PI).cos()),
        ),
    }
}

/// A run as a user may have it.
pub(crate) fn report() -> Report {
    let (all, none) = ([true; 5], [false; 5]);
    let start = [true, true, false, false, false];
    let ends = [true, false, false, false, true];
    let task = |task: &str, n: usize, video, audio| TaskSamples {
        task: task.into(),
        description: String::new(),
        samples: (0..n).map(|i| sample(task, i, video, audio)).collect(),
    };
    let agreement = |task: &str, matched, shuffled, difference| Agreement {
        task: task.into(),
        measure: "the correlation of the ball's height and the pitch".into(),
        n_clips: 48,
        n_without_track: 1,
        matched,
        shuffled,
        difference,
        ceiling: Some(0.97),
    };
    Report {
        title: "avdit demo".into(),
        summary:
            "A ball whose height is the pitch: 256 clips of 2.1 s were made and written as mp4, turned into \
                  latents, and a MoNL AVDiT was trained on them, exported to ONNX and sampled with tract."
                .into(),
        created: "2026-11-20 09:41 UTC".into(),
        command: "avdit demo --out avdit-demo --seed 1".into(),
        seed: Some(1),
        compared: vec![Compared {
            sampler: "ddpm-learned".into(),
            steps: 250,
            batch: 8,
            engine: "tract, 2 threads".into(),
            clip_s: 1.25,
            task: "a2v".into(),
            difference: interval(0.61, 0.5, 0.7),
            lasting: Some(interval(0.8, 0.7, 0.9)),
            motion: Some(1.5),
        }],
        agreement: vec![
            agreement(
                "a2v",
                interval(0.66, 0.55, 0.75),
                interval(0.02, -0.04, 0.08),
                interval(0.64, 0.52, 0.75),
            ),
            agreement(
                "v2a",
                interval(0.41, 0.28, 0.53),
                interval(-0.01, -0.07, 0.05),
                interval(0.42, 0.28, 0.55),
            ),
        ],
        tasks: vec![
            task("joint", 3, none, none),
            task("a2v", 2, none, all),
            task("v2a", 1, all, none),
            task("continue", 1, start, start),
            task("inpaint", 1, ends, all),
        ],
        training: Some(Training {
            points: (0..2600).map(loss_point).collect(),
            loss: "mean square error of v".into(),
            facts: vec![
                Fact::new("parameters", "1.21 M"),
                Fact::new("batch", "32 clips"),
                Fact::new("steps", "2,600"),
                Fact::new("per step", "88.1 ms"),
            ],
        }),
        latency: vec![Latency {
            engine: "tract".into(),
            threads: 2,
            batch: 1,
            protocol: "32 runs of 20 steps of ddim, after 2 runs to warm up".into(),
            step: summary(6.31),
            network: Some(summary(6.27)),
            copies: Some(summary(0.021)),
            sampler: Some(summary(0.018)),
            by_step: (0..20)
                .map(|i| {
                    let p50_ms = 6.3 + 0.25 * (i as f64 * 2.1).sin();
                    StepLatency { p50_ms, p90_ms: p50_ms * (1.06 + 0.03 * (i as f64 * 1.3).cos()) }
                })
                .collect(),
            clip_s: Some(0.131),
            clip_seconds_per_s: Some(16.2),
        }],
        engines: vec![
            EngineUse {
                what: "training".into(),
                engine: "Candle".into(),
                version: "0.11.1".into(),
                library: String::new(),
                placement: "CPU, 2 threads".into(),
            },
            EngineUse {
                what: "sampling".into(),
                engine: "tract".into(),
                version: "0.23.9".into(),
                library: String::new(),
                placement: "all 412 nodes on the CPU".into(),
            },
            EngineUse {
                what: "check".into(),
                engine: "ONNX Runtime".into(),
                version: "1.31.1".into(),
                library: "/usr/lib/x86_64-linux-gnu/libonnxruntime.so.1.31.1".into(),
                placement: "CPUExecutionProvider, all 203 nodes after optimisation".into(),
            },
        ],
        stages: [
            ("clips", 9.8, "own encoder", "256 mp4 files"),
            ("codec and shards", 14.2, "CPU, 2 threads", "fitted in closed form"),
            ("training", 228.9, "Candle, CPU, 2 threads", "2,600 steps"),
            ("export", 1.7, "ONNX, checked against Candle", ""),
            ("sampling", 31.4, "tract, CPU, 2 threads", "opening the graph included"),
            ("report", 0.4, "", ""),
        ]
        .into_iter()
        .map(|(name, seconds, what, note)| Stage {
            name: name.into(),
            seconds,
            what: what.into(),
            note: note.into(),
        })
        .collect(),
        dataset: Some(Dataset {
            source: "avdit-demo/clips".into(),
            n_kept: 253,
            left_out: vec![
                LeftOut {
                    clip: "clips/0017.mp4".into(),
                    reason: "silent".into(),
                    detail: "loudest moment −71.2 dB".into(),
                },
                LeftOut {
                    clip: "clips/0101.mp4".into(),
                    reason: "still".into(),
                    detail: "no pixel changes".into(),
                },
            ],
            facts: vec![
                Fact::new("frames", "17 at 8 fps"),
                Fact::new("picture", "32 × 32"),
                Fact::new("sound", "16 kHz, mono"),
            ],
        }),
        codec: Some(Codec {
            name: "Linear codec, principal components of patches and spectra".into(),
            n_clips: 16,
            video_psnr_db: Some(31.42),
            audio_distance_db: Some(4.37),
            facts: vec![
                Fact::new("video latents", "5 × 8 × 4 × 4"),
                Fact::new("audio latents", "34 × 16"),
                Fact::new("segments", "5"),
                Fact::new("tokens", "46"),
            ],
        }),
        machine: Machine {
            cpu: "A processor of tests".into(),
            cores: 2,
            memory_bytes: Some(8 << 30),
            os: "Linux 6.12".into(),
            facts: vec![Fact::new("instruction sets", "avx2, fma, avx512f")],
        },
        versions: vec![
            Fact::new("avdit", "0.1.0"),
            Fact::new("tract", "0.23.9"),
            Fact::new("Candle", "0.11.1"),
        ],
        not_run: vec![NotRun { what: "CUDA and TensorRT".into(), why: "no GPU on this machine".into() }],
    }
}
