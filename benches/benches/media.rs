//! Clips to latents and back: the spectra of sound, and the linear codec on the paper's grid.
#![allow(missing_docs)]

use avdit_benches::layout;
use avdit_media::codec::{Codec, CodecConfig, LinearCodec, Stft, griffin_lim};
use avdit_media::spectrogram::spectrogram;
use avdit_media::world::World;
use avdit_media::{Clip, ClipGrid, Rational};
use criterion::{Criterion, criterion_group, criterion_main};
use std::hint::black_box;

/// Clips that the codec is fitted to.
const CLIPS: u32 = 8;

fn grid() -> ClipGrid {
    ClipGrid { frames: 17, fps: Rational::new(8, 1), width: 128, height: 128, sample_rate_hz: 16_000 }
}

fn spectra(criterion: &mut Criterion) {
    let audio = World::new(1, grid()).clip(0).audio.expect("every clip of the world has sound");
    let samples = audio.samples.len();
    let (n_fft, hop) = (1024, 256);
    let stft = Stft::new(n_fft, hop, samples / hop, samples);
    let spectra = stft.analyse(&audio.samples);
    let magnitudes: Vec<f32> = spectra.iter().map(|x| x.norm()).collect();
    let mut group = criterion.benchmark_group("sound of a clip");
    group.bench_function("spectra", |bencher| bencher.iter(|| stft.analyse(black_box(&audio.samples))));
    group.bench_function("back", |bencher| bencher.iter(|| stft.synthesise(black_box(&spectra))));
    group.bench_function("Griffin-Lim, 8 iterations", |bencher| {
        bencher.iter(|| griffin_lim(&stft, black_box(&magnitudes), 8, 0.9));
    });
    group.bench_function("picture of its spectrogram", |bencher| {
        bencher.iter(|| spectrogram(black_box(&audio), 256, 96));
    });
    group.finish();
}

fn codec(criterion: &mut Criterion) {
    let world = World::new(1, grid());
    let clips: Vec<Clip> = (0..CLIPS).map(|index| world.clip(index)).collect();
    let config = layout().map(|layout| CodecConfig::for_layout(grid(), &layout));
    let config = config.expect("a layout that keeps the rules").expect("a grid that the layout fits");
    let codec = LinearCodec::fit(config, &clips, &mut |_, _| Ok(())).expect("clips on the grid");
    let latents = codec.encode(&clips[0]).expect("a clip on the grid");
    let mut group = criterion.benchmark_group("linear codec");
    group.sample_size(20);
    group.bench_function("encode", |bencher| bencher.iter(|| codec.encode(black_box(&clips[0]))));
    group.bench_function("decode", |bencher| bencher.iter(|| codec.decode(black_box(&latents))));
    group.finish();
}

criterion_group!(benches, spectra, codec);
criterion_main!(benches);
