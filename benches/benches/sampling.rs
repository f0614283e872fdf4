//! Sampling without the network: what every sampler adds to it.
//!
//! A time is that of a whole run of [`STEPS`] steps of one clip, the drawing of its noise included.
#![allow(missing_docs)]

use avdit_benches::{Nothing, layout};
use avdit_core::{SampleRequest, SamplerKind, sample};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

const STEPS: usize = 20;

fn samplers(criterion: &mut Criterion) {
    let layout = layout().expect("a layout that keeps the rules");
    let mut network = Nothing::new(layout.clone());
    let mut group = criterion.benchmark_group(format!("sampling/{STEPS} steps"));
    group.throughput(Throughput::Elements(STEPS as u64));
    let request = SampleRequest { steps: STEPS, ..SampleRequest::new(layout.segments()) };
    for sampler in SamplerKind::all() {
        let request = SampleRequest { sampler, ..request.clone() };
        group.bench_function(BenchmarkId::from_parameter(sampler), |bencher| {
            bencher.iter(|| {
                sample(&mut network, black_box(&request), None, &mut |_| ()).expect("a request that is valid")
            });
        });
    }
    group.finish();
}

criterion_group!(benches, samplers);
criterion_main!(benches);
