//! What can be typed behind `quantize`.

use avdit_core::Task;
use avdit_core::sampler::SamplerKind;
use avdit_quantize::{Precision, Ranges};
use avdit_runtime::EngineKind;
use clap::{Args as ClapArgs, Subcommand, ValueEnum};
use std::path::PathBuf;

/// What else `quantize` does.
#[derive(Debug, Subcommand)]
pub enum QuantizeWhat {
    /// Say again what a quantized model's quality is
    #[command(
        after_help = "Examples:\n  avdit quantize report small-int8/\n  avdit quantize report small-int8/ --json"
    )]
    Report {
        /// The quantized model's folder
        folder: PathBuf,
        /// The result as JSON on stdout
        #[arg(long)]
        json: bool,
    },
}

/// Options of `quantize`.
#[derive(Debug, ClapArgs)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct QuantizeArgs {
    /// Something else to do
    #[command(subcommand)]
    pub what: Option<QuantizeWhat>,
    /// The model's folder, in single precision
    #[arg(required = true)]
    pub model: Option<PathBuf>,
    /// Folder of the quantized model
    #[arg(short, long, required = true)]
    pub out: Option<PathBuf>,
    /// fp16, bf16, int8 (int8-static for TensorRT, else int8-dynamic), int8-dynamic, int8-static, int8-weight or
    /// int4-weight
    #[arg(long, default_value = "int8")]
    pub precision: Asked,
    /// The engine that will run it: tract, ort-cpu, ort-cuda or ort-tensorrt; the one that measures if not given
    #[arg(long, value_name = "ENGINE")]
    pub target: Option<EngineKind>,
    /// Make it by this recipe, such as the quant.toml of an earlier result, in place of a search
    #[arg(long, value_name = "FILE", conflicts_with_all = ["precision", "everything"])]
    pub recipe: Option<PathBuf>,
    /// Have inputs and outputs of the graph in 16 bits as well (fp16 and bf16): for programs that hold latents so
    #[arg(long, conflicts_with_all = ["recipe", "everything"])]
    pub half_ports: bool,
    /// Quantize every unit in place of searching for those that keep the budget
    #[arg(long)]
    pub everything: bool,
    /// The signal-to-noise ratio that is kept: of predictions in every stratum of levels, and of the latents at the end
    /// of every task's trajectory; in decibels
    #[arg(long, value_name = "DB", default_value = "20", value_parser = decibels)]
    pub budget_snr: f64,
    /// A dataset whose clips tasks are given parts of; the model's own joint sample if not given
    #[arg(long, value_name = "DATASET")]
    pub calibrate: Option<PathBuf>,
    /// Tasks whose trajectories it is calibrated and judged on
    #[arg(long, value_delimiter = ',', default_value = "joint,a2v,v2a,continue,inpaint")]
    pub tasks: Vec<Task>,
    /// The sampler of those trajectories
    #[arg(long, default_value = "dpm++2m")]
    pub sampler: SamplerKind,
    /// Its steps
    #[arg(long, default_value_t = 20)]
    pub steps: usize,
    /// Decides all noise
    #[arg(long, default_value_t = 0)]
    pub seed: u64,
    /// Predictions that each stratum of levels is judged by
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub per_stratum: u16,
    /// The engine that measures: tract or ort-cpu
    #[arg(long, default_value = "ort-cpu", env = "AVDIT_ENGINE")]
    pub engine: EngineKind,
    /// Its threads
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub threads: u16,
    /// The ONNX Runtime library to load (after ORT_DYLIB_PATH)
    #[arg(long, value_name = "FILE")]
    pub onnxruntime: Option<PathBuf>,
    /// Bits of weights that meet 8-bit activations; auto: 8 where this processor multiplies bytes without saturation
    /// (VNNI, or no x86), else 7
    #[arg(long, value_enum, default_value_t = WeightBits::Auto)]
    pub weight_bits: WeightBits,
    /// Rows that share a scale in 4 bits
    #[arg(long, default_value_t = 32)]
    pub block: usize,
    /// Whether channels of activations are smoothed into weights where that helps (SmoothQuant)
    #[arg(long, value_enum, default_value_t = Smooth::Auto)]
    pub smooth: Smooth,
    /// How int8-static takes ranges from what it saw: min-max, percentile or mse
    #[arg(long, default_value = "mse")]
    pub ranges: Ranges,
    /// Measure quality and time of sets between none and all of the units as well, for the page's curve
    #[arg(long)]
    pub curve: bool,
    /// Most memory for values of the graph that are looked at together
    #[arg(long, default_value = "256MiB")]
    pub memory: avdit_runtime::engine::ByteSize,
    /// The result as JSON on stdout
    #[arg(long)]
    pub json: bool,
}

/// A precision, or the choice of one left to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// 8 bits in the form that suits the target.
    Int8,
    /// This one.
    Exactly(Precision),
}

impl std::str::FromStr for Asked {
    type Err = avdit_quantize::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "int8" { Ok(Asked::Int8) } else { text.parse().map(Asked::Exactly) }
    }
}

/// Whether activations are smoothed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Smooth {
    /// Where it keeps products at least 1 dB better
    Auto,
    /// Nowhere
    Off,
}

/// Bits of weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WeightBits {
    /// What this processor can
    Auto,
    /// 8
    #[value(name = "8")]
    Eight,
    /// 7
    #[value(name = "7")]
    Seven,
}

impl WeightBits {
    /// How many.
    pub fn bits(self) -> u8 {
        match self {
            WeightBits::Auto if saturates() => 7,
            WeightBits::Auto | WeightBits::Eight => 8,
            WeightBits::Seven => 7,
        }
    }
}

/// Whether products of unsigned and signed bytes are summed in 16 bits here, where two of 255 × 127 do not fit.
#[cfg(target_arch = "x86_64")]
fn saturates() -> bool {
    let vnni =
        std::arch::is_x86_feature_detected!("avx512vnni") || std::arch::is_x86_feature_detected!("avxvnni");
    !vnni
}

#[cfg(not(target_arch = "x86_64"))]
fn saturates() -> bool {
    false
}

fn decibels(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
    let db = number.parse::<f64>().ok().filter(|db| (0.0..=150.0).contains(db));
    db.ok_or_else(|| format!("'{text}' is no number of decibels from 0 to 150, such as 30 or 30dB"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decibels_with_and_without_their_unit() {
        assert_eq!((decibels("30dB"), decibels("12.5"), decibels(" 20 dB")), (Ok(30.0), Ok(12.5), Ok(20.0)));
        assert!(decibels("-3").is_err() && decibels("dB").is_err() && decibels("nan").is_err());
    }
}
