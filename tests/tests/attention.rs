//! Attention in 8 bits on ONNX Runtime: it stays attention, whether rows look at one key or at all of them.

#![allow(clippy::print_stderr, clippy::unwrap_used, reason = "a test fails by panicking")]

use avdit_core::{Noise, Purpose, Stream};
use avdit_onnx::builder::ModelHeader;
use avdit_onnx::{DataType, Dim, GraphBuilder, Model, attribute};
use avdit_quantize::quality::Sums;
use avdit_quantize::{Form, Heads, Kind, Settings, int8, units};
use avdit_runtime::{EngineKind, EngineOptions, Function};
use std::collections::BTreeMap;
use std::path::Path;

/// What 8 bits keep at least, in decibels: 29.4 to 40.2 were measured.
const KEEPS_DB: f64 = 27.0;
/// What single precision keeps: 130 was measured.
const SINGLE_DB: f64 = 110.0;

const BATCH: usize = 2;
/// More keys than queries, and heads of v that are narrower than those of q and k.
const HEADS: Heads = Heads { heads: 3, queries: 22, keys: 150, width: 16, value_width: 8 };
/// What q is multiplied by: rows look at nearly all keys alike with the first, at one or two with the last.
const SHARPNESS: [f32; 3] = [0.05, 1.0, 4.0];
/// Factors of the scores, the second left to the operator, and threads.
const CASES: [(Option<f32>, usize); 2] = [(Some(0.3), 1), (None, 2)];

fn widths() -> [[usize; 2]; 3] {
    let Heads { heads, queries, keys, width, value_width } = HEADS;
    [[queries, heads * width], [keys, heads * width], [keys, heads * value_width]]
}

fn model(factor: Option<f32>) -> Model {
    let mut graph = GraphBuilder::new("attention");
    let mut input = |name: &str, [rows, width]: [usize; 2]| {
        graph.input(name, DataType::Float, vec![Dim::Symbol("batch".into()), rows.into(), width.into()])
    };
    let [q, k, v] = widths();
    let (q, k, v) = (input("q", q).unwrap(), input("k", k).unwrap(), input("v", v).unwrap());
    let factor = factor.map(|factor| attribute::float("scale", factor));
    let attributes = factor.into_iter().chain([attribute::int("num_heads", HEADS.heads as i64)]).collect();
    let y =
        graph.node_in("com.microsoft", "MultiHeadAttention", "attn", &[&q, &k, &v], 1, attributes).unwrap();
    graph.output(&y[0], "y").unwrap();
    let text = String::new;
    let (producer, metadata) = ("test".into(), vec![]);
    let header =
        ModelHeader { opset: 20, ir_version: 8, producer, producer_version: text(), doc: text(), metadata };
    graph.finish(header).unwrap()
}

fn inputs(sharpness: f32) -> [Vec<f32>; 3] {
    let normal = |item: u32, [rows, width]: [usize; 2]| {
        let mut values = vec![0.0; BATCH * rows * width];
        Noise::new(11).normals(Stream::new(Purpose::Check, 0, item), &mut values);
        values
    };
    let [q, k, v] = widths();
    let (mut q, mut k, v) = (normal(0, q), normal(1, k), normal(2, v));
    q.iter_mut().for_each(|x| *x *= sharpness);
    // Every other row asks for what keys hardly have, and looks at many of them beside rows that do not.
    let half = HEADS.width / 2;
    for row in q.chunks_exact_mut(HEADS.heads * HEADS.width).skip(1).step_by(2) {
        row.chunks_exact_mut(HEADS.width).for_each(|head| head[..half].fill(0.0));
    }
    for head in k.chunks_exact_mut(HEADS.width) {
        head[half..].iter_mut().for_each(|x| *x *= 0.1);
    }
    [q, k, v]
}

/// softmax(factor · q · kᵀ) · v of every head in f64, as (batch, queries, heads · value_width).
fn reference([q, k, v]: &[Vec<f32>; 3], factor: f64) -> Vec<f32> {
    let Heads { heads, queries, keys, width, value_width } = HEADS;
    let mut y = Vec::new();
    for batch in 0..BATCH {
        for query in 0..queries {
            for head in 0..heads {
                let row = |x: &[f32], rows: usize, row: usize, width: usize| -> Vec<f64> {
                    let at = ((batch * rows + row) * heads + head) * width;
                    x[at..at + width].iter().map(|x| f64::from(*x)).collect()
                };
                let q = row(q, queries, query, width);
                let score = |key| {
                    let k = row(k, keys, key, width);
                    q.iter().zip(k).map(|(q, k)| q * k).sum::<f64>() * factor
                };
                let scores: Vec<f64> = (0..keys).map(score).collect();
                let largest = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|score| (score - largest).exp()).collect();
                let mut mixed = vec![0.0; value_width];
                for (key, weight) in weights.iter().enumerate() {
                    let v = row(v, keys, key, value_width);
                    mixed.iter_mut().zip(v).for_each(|(mixed, v)| *mixed += weight * v);
                }
                let sum: f64 = weights.iter().sum();
                y.extend(mixed.into_iter().map(|mixed| (mixed / sum) as f32));
            }
        }
    }
    y
}

/// What is kept of even rows, and of odd ones, in decibels.
fn keeps_db(expected: &[f32], got: &[f32]) -> [f64; 2] {
    let width = HEADS.heads * HEADS.value_width;
    [0, 1].map(|first| {
        let mut sums = Sums::default();
        let rows = expected.chunks_exact(width).zip(got.chunks_exact(width));
        rows.skip(first).step_by(2).for_each(|(expected, got)| sums.add(expected, got));
        sums.snr_db()
    })
}

fn run(model: &Model, inputs: &[Vec<f32>; 3], threads: usize) -> Vec<f32> {
    let [q, k, v] = widths();
    let whole = |[rows, width]: [usize; 2]| vec![BATCH, rows, width];
    let shapes = [vec![whole(q), whole(k), whole(v)], vec![whole([HEADS.queries, v[1]])]];
    let options = EngineOptions { threads, ..EngineOptions::default() };
    let bytes = model.to_bytes().unwrap();
    let function =
        Function::with_shapes(&bytes, Path::new("attention"), shapes, EngineKind::OrtCpu, &options).unwrap();
    function.run_all(&inputs.each_ref().map(Vec::as_slice)).unwrap().remove(0)
}

#[test]
fn rows_that_look_at_one_key_and_at_all_keep_what_8_bits_allow() {
    if let Err(error) = avdit_runtime::engine::load_onnx_runtime(None) {
        assert!(std::env::var_os("AVDIT_REQUIRE_ORT").is_none(), "{error}");
        eprintln!("skipped: {error}");
        return;
    }
    for (factor, threads) in CASES {
        let (source, mut quantized) = (model(factor), model(factor));
        let unit = units(&mut quantized).unwrap().remove(0);
        assert_eq!(unit.kind, Kind::Attention(HEADS));
        let forms = BTreeMap::from([(unit.name, Form::Int8Dynamic)]);
        int8::rewrite(&mut quantized, &forms, &Settings::default()).unwrap();
        let factor = factor.map_or(1.0 / (HEADS.width as f64).sqrt(), f64::from);
        for sharpness in SHARPNESS {
            let inputs = inputs(sharpness);
            let expected = reference(&inputs, factor);
            let single = keeps_db(&expected, &run(&source, &inputs, threads));
            assert!(single.iter().all(|db| *db > SINGLE_DB), "{sharpness}: {single:.1?} dB");
            let kept = keeps_db(&expected, &run(&quantized, &inputs, threads));
            eprintln!("sharpness {sharpness}: {kept:.1?} dB, single precision {single:.1?} dB");
            assert!(kept.iter().all(|db| (KEEPS_DB..SINGLE_DB).contains(db)), "{sharpness}: {kept:.1?} dB");
        }
    }
}
