//! The portable target: operators of opset 20 in the forms that ONNX Runtime and TensorRT fuse and tract has kernels
//! for.

use super::{Heads, Layer};
use crate::error::Result;
use avdit_onnx::{GraphBuilder, attribute, tensor};

pub(super) fn affine(graph: &mut GraphBuilder, layer: &Layer<'_>) -> Result<String> {
    let y = graph.node("MatMul", layer.path, &[layer.x, layer.weight], vec![])?;
    match layer.bias {
        Some(bias) => Ok(graph.node("Add", layer.path, &[&y, bias], vec![])?),
        None => Ok(y),
    }
}

pub(super) fn attention(graph: &mut GraphBuilder, heads: &Heads<'_>) -> Result<String> {
    let scale = 1.0 / (heads.head_width as f64).sqrt();
    let scale = scalar(graph, "attention_scale", scale as f32)?;
    let transpose = |graph: &mut GraphBuilder, path: &str, x: &str, order: [i64; 4]| {
        graph.node("Transpose", path, &[x], vec![attribute::ints("perm", order.to_vec())])
    };
    let q = graph.node("Mul", "attn/q", &[heads.q, &scale], vec![])?;
    let q = transpose(graph, "attn/q", &q, [0, 2, 1, 3])?; // (batch, heads, tokens, width)
    let k = transpose(graph, "attn/k", heads.k, [0, 2, 3, 1])?; // (batch, heads, width, others)
    let v = transpose(graph, "attn/v", heads.v, [0, 2, 1, 3])?;
    let weights = graph.node("MatMul", "attn/scores", &[&q, &k], vec![])?; // (batch, heads, tokens, others)
    let weights = graph.node("Softmax", "attn", &[&weights], vec![attribute::int("axis", -1)])?;
    let y = graph.node("MatMul", "attn/mix", &[&weights, &v], vec![])?;
    let y = transpose(graph, "attn/mix", &y, [0, 2, 1, 3])?;
    let shape = graph.integers(&[0, heads.tokens as i64, (heads.heads * heads.value_width) as i64])?;
    Ok(graph.node("Reshape", "attn/mix", &[&y, &shape], vec![])?)
}

pub(super) fn modulate(
    graph: &mut GraphBuilder,
    [x, shift, scale]: [&str; 3],
    width: usize,
    eps: f64,
) -> Result<String> {
    let y = layer_norm(graph, x, width, eps)?;
    let one = scalar(graph, "one", 1.0)?;
    let scale = graph.node("Add", "scale", &[scale, &one], vec![])?;
    let y = graph.node("Mul", "modulate", &[&y, &scale], vec![])?;
    Ok(graph.node("Add", "modulate", &[&y, shift], vec![])?)
}

pub(super) fn layer_norm(graph: &mut GraphBuilder, x: &str, width: usize, eps: f64) -> Result<String> {
    let ones = graph.constant(tensor::f32s(&format!("ones_{width}"), &[width], &vec![1.0; width])?)?;
    let attributes = vec![attribute::int("axis", -1), attribute::float("epsilon", eps as f32)];
    Ok(graph.node("LayerNormalization", "", &[x, &ones], attributes)?)
}

/// Square, mean, root, division: the pattern that ONNX Runtime fuses into one kernel.
pub(super) fn rms_norm(
    graph: &mut GraphBuilder,
    path: &str,
    [x, weight]: [&str; 2],
    eps: f64,
) -> Result<String> {
    let (two, eps) = (scalar(graph, "two", 2.0)?, scalar(graph, "epsilon", eps as f32)?);
    let last = graph.integers(&[-1])?;
    let square = graph.node("Pow", path, &[x, &two], vec![])?;
    let mean = graph.node("ReduceMean", path, &[&square, &last], vec![attribute::int("keepdims", 1)])?;
    let mean = graph.node("Add", path, &[&mean, &eps], vec![])?;
    let root = graph.node("Sqrt", path, &[&mean], vec![])?;
    let y = graph.node("Div", path, &[x, &root], vec![])?;
    Ok(graph.node("Mul", path, &[&y, weight], vec![])?)
}

pub(super) fn gelu(graph: &mut GraphBuilder, x: &str) -> Result<String> {
    Ok(graph.node("Gelu", "mlp", &[x], vec![attribute::string("approximate", "tanh")])?)
}

pub(super) fn silu(graph: &mut GraphBuilder, x: &str) -> Result<String> {
    let gate = graph.node("Sigmoid", "silu", &[x], vec![])?;
    Ok(graph.node("Mul", "silu", &[x, &gate], vec![])?)
}

pub(super) fn scalar(graph: &mut GraphBuilder, name: &str, value: f32) -> Result<String> {
    Ok(graph.constant(tensor::f32s(name, &[], &[value])?)?)
}
