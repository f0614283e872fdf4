//! A training step (forward, backward, clipping, AdamW, moving average) of the demo's network and of two blocks of
//! `small`, plain and with blocks run again; Candle's own operations beside them.
#![allow(missing_docs)]

use avdit_benches::noisy_batch;
use avdit_nets::AvditConfig;
use avdit_trainer::{GradientOptions, Model, Optimizer, OptimizerConfig, device};
use criterion::{Criterion, criterion_group, criterion_main};

fn steps(criterion: &mut Criterion) {
    let preset = |name| AvditConfig::preset(name).expect("a known preset");
    let networks =
        [("tiny", preset("tiny"), 8), ("small, 2 blocks", AvditConfig { depth: 2, ..preset("small") }, 2)];
    for (name, config, batch) in networks {
        let noisy = noisy_batch(&config, batch).expect("a sound grid");
        let mut group = criterion.benchmark_group(format!("training step/{name}, batch {batch}"));
        group.sample_size(10);
        for (kind, checkpoint, decomposed) in
            [("fused", false, false), ("fused, checkpointed", true, false), ("decomposed", false, true)]
        {
            let device = device::open("cpu").expect("the CPU");
            let model = Model::new(&config, 1, &device).expect("a network that can be built");
            let model = if decomposed { model.decomposed() } else { model };
            let settings = OptimizerConfig::default();
            let mut optimizer = Optimizer::new(&settings, &model).expect("parameters on the CPU");
            let how = GradientOptions { chunk: batch, checkpoint };
            group.bench_function(kind, |bencher| {
                bencher.iter(|| {
                    let (_, gradients) = model.gradients(&noisy, &how).expect("latents of the layout");
                    optimizer.step(&model, &gradients, 1e-4).expect("gradients of the model")
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, steps);
criterion_main!(benches);
