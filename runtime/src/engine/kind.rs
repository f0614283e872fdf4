//! The engines by name.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// Which engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum EngineKind {
    /// tract, part of this program.
    #[serde(rename = "tract")]
    Tract,
    /// ONNX Runtime on the CPU, loaded when asked for.
    #[serde(rename = "ort-cpu")]
    OrtCpu,
    /// ONNX Runtime on an NVIDIA GPU, by its CUDA provider.
    #[serde(rename = "ort-cuda")]
    OrtCuda,
    /// ONNX Runtime on an NVIDIA GPU, by its TensorRT provider, with an engine built beforehand.
    #[serde(rename = "ort-tensorrt")]
    OrtTensorRt,
    /// The trainer's own network, for comparison; opened by whoever has the trainer, not by [`open`](crate::open).
    #[serde(rename = "candle")]
    Candle,
}

impl EngineKind {
    /// Every engine of this version.
    pub const ALL: [EngineKind; 5] = [
        EngineKind::Tract,
        EngineKind::OrtCpu,
        EngineKind::OrtCuda,
        EngineKind::OrtTensorRt,
        EngineKind::Candle,
    ];

    /// Those that run graphs and need no GPU.
    pub const ON_CPU: [EngineKind; 2] = [EngineKind::Tract, EngineKind::OrtCpu];

    /// `tract`, `ort-cpu`, `ort-cuda`, `ort-tensorrt` or `candle`.
    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Tract => "tract",
            EngineKind::OrtCpu => "ort-cpu",
            EngineKind::OrtCuda => "ort-cuda",
            EngineKind::OrtTensorRt => "ort-tensorrt",
            EngineKind::Candle => "candle",
        }
    }

    /// Whether it runs in ONNX Runtime.
    pub fn is_onnx_runtime(self) -> bool {
        matches!(self, EngineKind::OrtCpu | EngineKind::OrtCuda | EngineKind::OrtTensorRt)
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for EngineKind {
    type Err = Error;

    /// Its name, or `ort` for `ort-cpu`, `cuda` for `ort-cuda`, `tensorrt` or `trt` for `ort-tensorrt`.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "tract" => Ok(EngineKind::Tract),
            "ort" | "ort-cpu" => Ok(EngineKind::OrtCpu),
            "cuda" | "ort-cuda" => Ok(EngineKind::OrtCuda),
            "trt" | "tensorrt" | "ort-tensorrt" => Ok(EngineKind::OrtTensorRt),
            "candle" => Ok(EngineKind::Candle),
            _ => Err(Error::Value {
                what: "engine".to_owned(),
                expected: "tract, ort-cpu (ort), ort-cuda (cuda), ort-tensorrt (trt) or candle".to_owned(),
                got: text.to_owned(),
            }),
        }
    }
}
