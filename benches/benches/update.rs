//! One step of every sampling method over the latents of a clip, its coefficients included, without the network and
//! without drawing noise. A method that evaluates twice is timed over both.
#![allow(missing_docs)]

use avdit_benches::layout;
use avdit_core::sampler::{Extras, Move, Point, Stepper};
use avdit_core::{
    Latents, Modality, Noise, NoiseSchedule, Purpose, SamplerKind, ScheduleKind, Stream, Target,
};
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Steps that are done before one is timed, so that every method has the history that it wants.
const BEFORE: usize = 4;

fn updates(criterion: &mut Criterion) {
    let layout = layout().expect("a layout that keeps the rules");
    let schedule = NoiseSchedule::new(ScheduleKind::Linear, 1000).expect("a thousand levels");
    let moves = |step: usize| {
        let at = |step: usize| Point::at(&schedule, 900.0 - 50.0 * step as f64);
        vec![Move::new(at(step), at(step + 1)); layout.cells()]
    };
    let normals = |item: u32| {
        let mut latents = Latents::zeros(&layout, 1);
        for modality in Modality::ALL {
            let stream = Stream::new(Purpose::Check, item, modality as u32);
            Noise::new(1).normals(stream, latents.get_mut(modality));
        }
        latents
    };
    let (prediction, noise) = (normals(1), normals(2));
    let extras = Extras { noise: Some(&noise), variance: None };
    let step = |stepper: &mut Stepper<f32>, x: &mut Latents, moves: &[Move]| {
        stepper.begin(moves).expect("moves towards clean latents");
        while stepper.advance(x, &prediction, extras).expect("latents of the layout") {}
    };

    let mut group = criterion.benchmark_group("update");
    let elements: usize = Modality::ALL.into_iter().map(|modality| layout.len(modality)).sum();
    group.throughput(Throughput::Elements(elements as u64));
    for sampler in SamplerKind::all() {
        let mut stepper = Stepper::<f32>::new(sampler.method(false), Target::V, None, &layout, 1)
            .expect("a sampler at its usual settings");
        let mut x = normals(0);
        (0..BEFORE).for_each(|i| step(&mut stepper, &mut x, &moves(i)));
        let next = moves(BEFORE);
        group.bench_function(BenchmarkId::from_parameter(sampler), |bencher| {
            bencher.iter_batched_ref(
                || (stepper.clone(), x.clone()),
                |(stepper, x)| step(stepper, x, &next),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, updates);
criterion_main!(benches);
