//! ONNX Runtime on the CPU: what its kernels do in one pass where the portable form takes several.

use super::{Heads, Layer};
use crate::error::Result;
use avdit_onnx::{Dim, GraphBuilder, attribute};

/// One operator, which keeps a tile of the scores at a time where nothing masks them: its memory does not grow with
/// the square of the tokens, and no transposed copy of q, k and v passes between operators.
pub(super) fn attention(graph: &mut GraphBuilder, heads: &Heads<'_>) -> Result<String> {
    let mut side_by_side = |x: &str, path, tokens: usize, width: usize| {
        let shape = graph.integers(&[0, tokens as i64, (heads.heads * width) as i64])?;
        graph.node("Reshape", path, &[x, &shape], vec![])
    };
    let q = side_by_side(heads.q, "attn/q", heads.tokens, heads.head_width)?;
    let k = side_by_side(heads.k, "attn/k", heads.others, heads.head_width)?;
    let v = side_by_side(heads.v, "attn/v", heads.others, heads.value_width)?;
    let scale = 1.0 / (heads.head_width as f64).sqrt();
    let attributes =
        vec![attribute::int("num_heads", heads.heads as i64), attribute::float("scale", scale as f32)];
    let mut made =
        graph.node_in("com.microsoft", "MultiHeadAttention", "attn", &[&q, &k, &v], 1, attributes)?;
    Ok(made.remove(0))
}

/// `Gemm`, which begins from the bias in place of adding it afterwards; it takes matrices alone, so the batch joins
/// the rows for it. Without a bias `MatMul` does the same.
pub(super) fn affine(graph: &mut GraphBuilder, layer: &Layer<'_>) -> Result<String> {
    let Some(bias) = layer.bias else { return super::portable::affine(graph, layer) };
    let size = |value: &str, axis: usize| match graph.value_type(value).and_then(|x| x.shape.get(axis)) {
        Some(Dim::Known(size)) => *size as i64,
        _ => -1,
    };
    let (rows, inputs, outputs) = (size(layer.x, 1), size(layer.weight, 0), size(layer.weight, 1));
    let (flat, back) = (graph.integers(&[-1, inputs])?, graph.integers(&[-1, rows, outputs])?);
    let x = graph.node("Reshape", layer.path, &[layer.x, &flat], vec![])?;
    let y = graph.node("Gemm", layer.path, &[&x, layer.weight, bias], vec![])?;
    Ok(graph.node("Reshape", layer.path, &[&y, &back], vec![])?)
}
