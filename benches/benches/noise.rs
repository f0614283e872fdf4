//! Normals from the counter, in numbers per second.
#![allow(missing_docs)]

use avdit_core::{Noise, Purpose, Stream};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

fn normals(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("normals");
    let noise = Noise::new(1);
    for len in [1 << 10, 1 << 16] {
        let mut out = vec![0f32; len];
        group.throughput(Throughput::Elements(len as u64));
        group.bench_function(BenchmarkId::from_parameter(len), |bencher| {
            bencher.iter(|| noise.normals(black_box(Stream::new(Purpose::Step, 3, 5)), black_box(&mut out)));
        });
    }
    group.finish();
}

criterion_group!(benches, normals);
criterion_main!(benches);
