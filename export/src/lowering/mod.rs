//! How composite operations are written out in a graph: one file for each target that has forms of its own.

mod ort_cpu;
mod ort_cuda;
mod portable;

use crate::error::{Error, Result};
use avdit_onnx::GraphBuilder;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The target that composite operations are written for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lowering {
    /// ONNX's own operators alone, in the forms that every engine runs well.
    #[default]
    Portable,
    /// ONNX Runtime on the CPU: fused attention, layers whose bias is part of the matrix multiplication.
    OrtCpu,
    /// ONNX Runtime on CUDA: fused attention, as few and as large operations as it has kernels for.
    OrtCuda,
    /// TensorRT: ONNX's own operators alone, since its builder fuses what it recognises and takes no others.
    #[serde(rename = "tensorrt")]
    TensorRt,
}

impl Lowering {
    /// Every target.
    pub const ALL: [Lowering; 4] =
        [Lowering::Portable, Lowering::OrtCpu, Lowering::OrtCuda, Lowering::TensorRt];

    /// `portable`, `ort-cpu`, `ort-cuda`, `tensorrt`.
    pub fn name(self) -> &'static str {
        match self {
            Lowering::Portable => "portable",
            Lowering::OrtCpu => "ort-cpu",
            Lowering::OrtCuda => "ort-cuda",
            Lowering::TensorRt => "tensorrt",
        }
    }

    /// Whether graphs for this target have ONNX's own operators alone, and so run on every engine.
    pub fn is_plain_onnx(self) -> bool {
        matches!(self, Lowering::Portable | Lowering::TensorRt)
    }
}

impl fmt::Display for Lowering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Lowering {
    type Err = Error;

    /// A target by its name.
    fn from_str(text: &str) -> Result<Self> {
        let found = Lowering::ALL.into_iter().find(|target| target.name() == text);
        let names = || Lowering::ALL.map(Lowering::name).join(", ");
        found.ok_or_else(|| Error::mismatch("target of an export", names(), text))
    }
}

/// q `(batch, tokens, heads, head_width)`, k `(batch, others, heads, head_width)` and v `(batch, others, heads, value_width)`
/// of an attention.
pub(crate) struct Heads<'a> {
    pub(crate) q: &'a str,
    pub(crate) k: &'a str,
    pub(crate) v: &'a str,
    pub(crate) tokens: usize,
    pub(crate) others: usize,
    pub(crate) heads: usize,
    pub(crate) head_width: usize,
    pub(crate) value_width: usize,
}

/// A linear layer of x `(batch, rows, inputs)`, whose weight is (inputs, outputs).
pub(crate) struct Layer<'a> {
    /// Its path in the scope.
    pub(crate) path: &'a str,
    pub(crate) x: &'a str,
    pub(crate) weight: &'a str,
    pub(crate) bias: Option<&'a str>,
}

impl Lowering {
    /// `x·W + b`.
    pub(crate) fn affine(self, graph: &mut GraphBuilder, layer: &Layer<'_>) -> Result<String> {
        match self {
            Lowering::OrtCpu => ort_cpu::affine(graph, layer),
            Lowering::Portable | Lowering::OrtCuda | Lowering::TensorRt => portable::affine(graph, layer),
        }
    }

    /// `softmax(q·kᵀ/√d)·v`, heads side by side: `(batch, tokens, heads·value_width)`.
    pub(crate) fn attention(self, graph: &mut GraphBuilder, heads: &Heads<'_>) -> Result<String> {
        match self {
            Lowering::OrtCpu | Lowering::OrtCuda => ort_cpu::attention(graph, heads),
            Lowering::Portable | Lowering::TensorRt => portable::attention(graph, heads),
        }
    }

    /// `layer_norm(x)` over the last dimension, of `width`.
    pub(crate) fn layer_norm(
        self,
        graph: &mut GraphBuilder,
        x: &str,
        width: usize,
        eps: f64,
    ) -> Result<String> {
        portable::layer_norm(graph, x, width, eps)
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
            Lowering::OrtCuda => ort_cuda::modulate(graph, [x, shift, scale], eps),
            Lowering::Portable | Lowering::OrtCpu | Lowering::TensorRt => {
                portable::modulate(graph, [x, shift, scale], width, eps)
            }
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
        portable::rms_norm(graph, path, [x, weight], eps)
    }

    /// GELU in its tanh form.
    pub(crate) fn gelu(self, graph: &mut GraphBuilder, x: &str) -> Result<String> {
        match self {
            Lowering::OrtCuda => ort_cuda::gelu(graph, x),
            Lowering::Portable | Lowering::OrtCpu | Lowering::TensorRt => portable::gelu(graph, x),
        }
    }

    /// `x · sigmoid(x)`.
    pub(crate) fn silu(self, graph: &mut GraphBuilder, x: &str) -> Result<String> {
        portable::silu(graph, x)
    }
}
