//! How an engine is to run.

use crate::error::{Error, Result};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// How an engine is to run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EngineOptions {
    /// Threads inside an operation.
    pub threads: usize,
    /// Whether idle ONNX Runtime threads wait by spinning: faster alone, harmful beside other work.
    pub spin: bool,
    /// The batch to prepare for when opening; others are prepared when they come.
    pub batch: usize,
    /// The ONNX Runtime to load; without one it is looked for.
    pub onnx_runtime: Option<PathBuf>,
    /// Whether nodes that the engine's provider cannot take may run on the next one, down to the CPU.
    pub allow_fallback: bool,
    /// How the name of ONNX Runtime's profile begins; without one nothing is profiled.
    pub profile: Option<PathBuf>,
    /// For [`OrtCuda`](crate::EngineKind::OrtCuda), and for what TensorRT leaves to CUDA.
    pub cuda: CudaOptions,
    /// For [`OrtTensorRt`](crate::EngineKind::OrtTensorRt).
    pub tensorrt: TensorRtOptions,
}

impl Default for EngineOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, Into::into);
        Self {
            threads,
            spin: false,
            batch: 1,
            onnx_runtime: None,
            allow_fallback: false,
            profile: None,
            cuda: CudaOptions::default(),
            tensorrt: TensorRtOptions::default(),
        }
    }
}

/// Options of ONNX Runtime's CUDA provider.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CudaOptions {
    /// Which GPU, as CUDA counts those it can see.
    pub device: u32,
    /// The most that the arena of device memory may hold; kernels may take a little beside it.
    pub memory_limit: Option<ByteSize>,
    /// How the arena grows.
    pub arena: ArenaGrowth,
    /// Whether float32 products may be rounded to TF32: several times as fast, with errors about 1e-3.
    pub tf32: bool,
    /// Whether the graph is captured once and replayed; shapes and buffers are then fixed.
    pub graph: bool,
}

/// How an arena of device memory grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArenaGrowth {
    /// By powers of two: few requests, up to twice what is needed.
    NextPowerOfTwo,
    /// By what is needed.
    #[default]
    SameAsRequested,
}

/// Options of ONNX Runtime's TensorRT provider. Precision is that of the graph: no option changes it. float32 products may
/// be rounded to TF32 unless `NVIDIA_TF32_OVERRIDE=0` is in the environment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TensorRtOptions {
    /// Which GPU, as CUDA counts those it can see.
    pub device: u32,
    /// The batches that the engine is for; without them, a cached engine that has the batch is taken.
    pub profile: Option<BatchProfile>,
    /// The most device memory that a layer's scratch space may take while an engine is built and run.
    pub workspace: Option<ByteSize>,
    /// How hard the builder searches, 0 to 5; TensorRT's own default is 3.
    pub builder_level: Option<u8>,
    /// Whether the engine's launches are captured once and replayed.
    pub graph: bool,
    /// Where engines are kept; the project's cache if not given.
    pub cache: Option<PathBuf>,
    /// Whether an engine that is not in the cache may be built when a model is opened, which takes minutes.
    pub build: bool,
}

/// The batches that a TensorRT engine is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BatchProfile {
    /// The smallest.
    pub min: usize,
    /// The one that it is fastest at.
    pub opt: usize,
    /// The largest.
    pub max: usize,
}

/// A number of bytes, written as `8GiB`, `512MiB`, `2GB` or `1000000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ByteSize(pub u64);

const UNITS: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl FromStr for ByteSize {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let refuse = || Error::Value {
            what: "size".to_owned(),
            expected: "a number of bytes such as 8GiB, 512MiB, 2GB or 1000000".to_owned(),
            got: text.to_owned(),
        };
        let text = text.trim();
        let split = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let unit = unit.trim();
        let scale = match unit {
            "" => 1,
            _ => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(refuse)?.1,
        };
        let number: f64 = number.parse().map_err(|_| refuse())?;
        let bytes = number * scale as f64;
        // Above 2^53 a float no longer counts single bytes; no device has that much.
        if (1.0..9e15).contains(&bytes) { Ok(Self(bytes as u64)) } else { Err(refuse()) }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..3].iter().find(|(_, scale)| self.0 >= *scale) {
            Some((name, scale)) if self.0.is_multiple_of(*scale) => write!(f, "{} {name}", self.0 / scale),
            Some((name, scale)) => write!(f, "{:.1} {name}", self.0 as f64 / *scale as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("8GiB", 8 << 30),
            ("8 gib", 8 << 30),
            ("1.5GiB", 3 << 29),
            ("512MiB", 512 << 20),
            ("2GB", 2_000_000_000),
            ("64kB", 64_000),
            ("1000000", 1_000_000),
            ("7B", 7),
        ] {
            assert_eq!(text.parse::<ByteSize>().unwrap(), ByteSize(bytes), "{text}");
        }
        for text in ["", "GiB", "0", "-1GiB", "8 GiBs", "8G B", "1.2.3MB", "1e3", "99999999GiB", "nan"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
        assert_eq!(ByteSize(8 << 30).to_string(), "8 GiB");
        assert_eq!(ByteSize(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(ByteSize(1000).to_string(), "1000 B");
    }
}
