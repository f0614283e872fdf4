//! ONNX Runtime on CUDA: where every kernel costs a launch and a pass over memory, fewer and larger operations.

use crate::error::Result;
use avdit_onnx::{GraphBuilder, attribute};

/// One kernel: ONNX Runtime's layer norm takes a scale and a shift for every token.
pub(super) fn modulate(graph: &mut GraphBuilder, [x, shift, scale]: [&str; 3], eps: f64) -> Result<String> {
    let one = super::portable::scalar(graph, "one", 1.0)?;
    let scale = graph.node("Add", "scale", &[scale, &one], vec![])?;
    let attributes = vec![attribute::int("axis", -1), attribute::float("epsilon", eps as f32)];
    Ok(graph.node("LayerNormalization", "modulate", &[x, &scale, shift], attributes)?)
}

/// The operator that ONNX Runtime joins with the bias before it.
pub(super) fn gelu(graph: &mut GraphBuilder, x: &str) -> Result<String> {
    let mut made = graph.node_in("com.microsoft", "FastGelu", "mlp", &[x], 1, vec![])?;
    Ok(made.remove(0))
}
