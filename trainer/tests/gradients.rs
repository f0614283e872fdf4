//! The gradients of a network: our own operations, Candle's, in chunks, with blocks run again, on any number of threads.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{DenoiserSpec, Latents, Levels, Modality, Noise, Purpose, ScheduleKind, Stream, Target};
use avdit_nets::av_dit::FusionForm;
use avdit_nets::{AvDitConfig, AvditConfig, DitConfig, NetworkConfig};
use avdit_trainer::device::{self, Precision};
use avdit_trainer::objective::{NoisyBatch, Objective, Weighting};
use avdit_trainer::{GradientOptions, Model, Weights};

/// Largest relative difference (Frobenius) between two float32 gradients of the same mathematics; 9e-7 measured.
const SAME_MATH: f64 = 5e-6;

/// Low-rank and full adaLN, with and without norms of q and k, and a modality of a single token; adapters on a network that
/// stays as it is, in every form of fusion; pictures alone.
fn networks() -> Vec<NetworkConfig> {
    let network = |rest: &str| -> AvditConfig {
        let text = format!(r#"{{"width":32,"depth":2,"heads":4,"mlp_ratio":2.0,{rest}}}"#);
        serde_json::from_str(&text).unwrap()
    };
    let grid = r#""video":{"frames":3,"channels":2,"height":4,"width":2,"patch":2,"segments":[1,2]},
        "audio":{"frames":5,"channels":3,"segments":[2,3]}"#;
    let one = r#""video":{"frames":1,"channels":2,"height":2,"width":2,"patch":2,"segments":[1]},
        "audio":{"frames":1,"channels":3,"segments":[1]}"#;
    let on_base = r#"{"width":16,"depth":2,"heads":2,"patch":2,"classes":3,"temporal_ratio":2,"audio_rank":3,
        "fusion_rank":2,"adapter_ratio":4,"lora_scale":0.5,
        "video":{"frames":3,"channels":2,"height":4,"width":2,"segments":[1,2]},
        "audio":{"frames":6,"bins":4,"channels":2,"segments":[2,1]}}"#;
    let on_base: AvDitConfig = serde_json::from_str(on_base).unwrap();
    let pictures: DitConfig = DitConfig { size: [4, 6], ..on_base.backbone() };
    vec![
        network(&format!(r#""qk_norm":true,"adaln_rank":4,{grid}"#)).into(),
        network(&format!(r#""qk_norm":false,{grid}"#)).into(),
        network(&format!(r#""qk_norm":true,{one}"#)).into(),
        AvDitConfig { fusion_form: FusionForm::Frozen, ..on_base.clone() }.into(),
        AvDitConfig { fusion_form: FusionForm::Cross, ..on_base.clone() }.into(),
        on_base.into(),
        pictures.into(),
    ]
}

/// Every parameter different from zero, so that a gradient goes everywhere.
fn model(config: &NetworkConfig) -> Model {
    let weights: Weights = (0u32..)
        .zip(config.parameters())
        .map(|(i, parameter)| {
            let mut values = vec![0f32; parameter.len()];
            Noise::new(3).normals(Stream::new(Purpose::Check, 1, i), &mut values);
            // Small enough that scores stay small: a softmax of large ones has few digits in either form.
            values.iter_mut().for_each(|x| *x *= 0.1);
            (parameter.name, values)
        })
        .collect();
    Model::with_weights(config, &weights, &device::open("cpu").unwrap()).unwrap()
}

fn batch(config: &NetworkConfig, examples: usize) -> NoisyBatch {
    let layout = config.layout();
    let spec = DenoiserSpec {
        layout: layout.clone(),
        // Where adapters learn a variance, the noise that it goes with comes from the velocity.
        target: if matches!(config, NetworkConfig::Dit(_)) { Target::Epsilon } else { Target::V },
        schedule: ScheduleKind::Cosine,
        timesteps: 1000,
    };
    let normal = |item: u32| {
        let mut latents = Latents::zeros(&layout, examples);
        for modality in Modality::ALL {
            Noise::new(1)
                .normals(Stream::new(Purpose::Check, item, modality as u32), latents.get_mut(modality));
        }
        latents
    };
    let cells: Vec<f32> = (0..layout.cells()).map(|i| 150.0 * (i + 1) as f32).collect();
    let levels = Levels::repeat(&cells, examples);
    let objective = Objective::new(&spec, Weighting::Uniform).unwrap();
    let objective = match config.learned_variance() {
        true => objective.with_variance(&spec, 0.7).unwrap(),
        false => objective,
    };
    objective.noise(&normal(0), &normal(1), levels).unwrap()
}

/// The loss, and the gradient of each parameter by name.
type Found = (f64, Vec<(String, Vec<f32>)>);

fn find(model: &Model, batch: &NoisyBatch, chunk: usize, checkpoint: bool) -> Found {
    let (loss, gradients) = model.gradients(batch, &GradientOptions { chunk, checkpoint }).unwrap();
    model.check_gradients(&gradients).unwrap();
    let values = model.parameters().zip(gradients.iter()).map(|((name, _), grad)| {
        (name.to_owned(), grad.unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap())
    });
    (loss.total(), values.collect())
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    assert_eq!(a.len(), b.len());
    let norm = |x: Vec<f64>| x.into_iter().map(|x| x * x).sum::<f64>().sqrt();
    let difference = a.iter().zip(b).map(|(&a, &b)| f64::from(a) - f64::from(b)).collect();
    norm(difference) / norm(b.iter().map(|&x| f64::from(x)).collect()).max(1e-30)
}

fn assert_close(found: &Found, reference: &Found, tolerance: f64) {
    assert!((found.0 / reference.0 - 1.0).abs() < tolerance, "{} and {}", found.0, reference.0);
    for ((name, a), (_, b)) in found.1.iter().zip(&reference.1) {
        // What is added to every key alike moves no softmax: such a gradient is rounding alone.
        if name.ends_with("temporal.k.bias") {
            continue;
        }
        assert!(distance(a, b) < tolerance, "{name}: {}", distance(a, b));
    }
}

#[test]
fn our_operations_and_candles_agree_and_every_parameter_has_a_finite_gradient() {
    for config in networks() {
        let batch = batch(&config, 3);
        let ours = find(&model(&config), &batch, 3, false);
        assert!(ours.1.iter().flat_map(|(_, values)| values).all(|x| x.is_finite()));
        assert_close(&ours, &find(&model(&config).decomposed(), &batch, 3, false), SAME_MATH);
        assert_close(&find(&model(&config), &batch, 2, false), &ours, SAME_MATH);
    }
}

#[test]
fn blocks_that_are_run_again_and_threads_change_no_bit() {
    for config in networks() {
        let (model, batch) = (model(&config), batch(&config, 5));
        for chunk in [1, 2, 5] {
            let plain = find(&model, &batch, chunk, false);
            for (threads, checkpoint) in [(1, true), (2, false), (3, true), (7, false)] {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let found = pool.install(|| find(&model, &batch, chunk, checkpoint));
                assert!(found == plain, "{threads} threads, chunk {chunk}, checkpoint {checkpoint}");
            }
        }
    }
}

#[test]
fn bfloat16_is_close_to_float32_and_its_gradients_are_float32() {
    let config = &networks()[0];
    let batch = batch(config, 2);
    let rounded = find(&model(config).in_precision(Precision::Bf16), &batch, 2, false);
    let exact = find(&model(config), &batch, 2, false);
    assert_close(&rounded, &exact, 0.1);
    assert!(distance(&rounded.1[0].1, &exact.1[0].1) > 1e-4, "it is another precision");
}

#[test]
fn memory_is_that_of_the_chunks_side_by_side_however_many_batches_there_were() {
    let config = &networks()[0];
    let batch = batch(config, 16);
    let kept = |threads: usize, times: usize| {
        let model = model(config);
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let how = GradientOptions::chunks_of(1);
        pool.install(|| (0..times).for_each(|_| drop(model.gradients(&batch, &how).unwrap())));
        model.kept_bytes()
    };
    let one = kept(1, 2);
    assert!(one > 0);
    for threads in [2, 4, 8] {
        let many = kept(threads, 40);
        assert!(many <= threads * one, "{threads} threads: {many} bytes, one: {one}");
    }
}
