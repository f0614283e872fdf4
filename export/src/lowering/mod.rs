//! How composite operations are written out in a graph: one file for each target.

mod portable;

use crate::error::Result;
use avdit_onnx::GraphBuilder;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The target that composite operations are written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lowering {
    /// ONNX's own operators alone, in the forms that every engine runs well.
    #[default]
    Portable,
}

impl fmt::Display for Lowering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lowering::Portable => "portable",
        })
    }
}

/// q, k, v `(batch, tokens, heads, head_width)` of an attention.
pub(crate) struct Heads<'a> {
    pub(crate) q: &'a str,
    pub(crate) k: &'a str,
    pub(crate) v: &'a str,
    pub(crate) tokens: usize,
    pub(crate) heads: usize,
    pub(crate) head_width: usize,
}

impl Lowering {
    /// `softmax(q·kᵀ/√d)·v`, heads side by side: `(batch, tokens, heads·head_width)`.
    pub(crate) fn attention(self, graph: &mut GraphBuilder, heads: &Heads<'_>) -> Result<String> {
        match self {
            Lowering::Portable => portable::attention(graph, heads),
        }
    }

    /// `layer_norm(x)·(1 + scale) + shift` over the last dimension, of `width`.
    pub(crate) fn modulate(
        self,
        graph: &mut GraphBuilder,
        [x, shift, scale]: [&str; 3],
        width: usize,
        eps: f64,
    ) -> Result<String> {
        match self {
            Lowering::Portable => portable::modulate(graph, [x, shift, scale], width, eps),
        }
    }

    /// `x / √(mean(x²) + eps) · weight` over the last dimension, under `path` of the scope.
    pub(crate) fn rms_norm(
        self,
        graph: &mut GraphBuilder,
        path: &str,
        [x, weight]: [&str; 2],
        eps: f64,
    ) -> Result<String> {
        match self {
            Lowering::Portable => portable::rms_norm(graph, path, [x, weight], eps),
        }
    }

    /// GELU in its tanh form.
    pub(crate) fn gelu(self, graph: &mut GraphBuilder, x: &str) -> Result<String> {
        match self {
            Lowering::Portable => portable::gelu(graph, x),
        }
    }

    /// `x · sigmoid(x)`.
    pub(crate) fn silu(self, graph: &mut GraphBuilder, x: &str) -> Result<String> {
        match self {
            Lowering::Portable => portable::silu(graph, x),
        }
    }
}
