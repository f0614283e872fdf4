//! What an engine can run: a precision that it cannot is refused with the reason, never made and found slow.

use crate::args::Asked;
use crate::exit::Coded;
use anyhow::Result;
use avdit_quantize::Precision;
use avdit_runtime::EngineKind;

/// The precision for a target.
pub fn precision(asked: Asked, target: EngineKind) -> Result<Precision> {
    let precision = match asked {
        Asked::Exactly(precision) => precision,
        Asked::Int8 if target == EngineKind::OrtTensorRt => Precision::Int8Static,
        Asked::Int8 => Precision::Int8Dynamic,
    };
    match refusal(precision, target) {
        None => Ok(precision),
        Some((reason, instead)) => Err(Coded::no_provider(format!(
            "{precision} for {target}: {reason}\n\nhint: --precision {instead}, or another --target"
        ))
        .into()),
    }
}

/// Why a target does not run a precision, and what it runs.
fn refusal(precision: Precision, target: EngineKind) -> Option<(&'static str, &'static str)> {
    use EngineKind::{OrtCpu, OrtCuda, OrtTensorRt, Tract};
    use Precision::{Bf16, Int4Weight, Int8Dynamic, Int8Static};
    match (target, precision) {
        (OrtCuda, Int8Dynamic | Int8Static) => Some((
            "ONNX Runtime's CUDA provider has no 8-bit products, so the graph would run in float and slower",
            "fp16 or int8-weight",
        )),
        (OrtTensorRt, Int8Dynamic) => {
            Some(("TensorRT quantizes activations by ranges that are in the graph", "int8-static"))
        }
        (OrtTensorRt, Int4Weight) => {
            Some(("4 bits are stored for MatMulNBits, which TensorRT does not have", "int8-static or fp16"))
        }
        (Tract, Int4Weight) => Some(("tract has no MatMulNBits", "int8-weight")),
        (Tract | OrtCpu, Bf16) => Some((
            "no engine of the CPU computes in bf16",
            "fp16, or bf16 with --target ort-cuda or ort-tensorrt (judged here by rounding every value)",
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn int8_takes_the_form_of_its_target() {
        let of = |target| precision(Asked::Int8, target);
        assert_eq!(of(EngineKind::OrtCpu).unwrap(), Precision::Int8Dynamic);
        assert_eq!(of(EngineKind::OrtTensorRt).unwrap(), Precision::Int8Static);
        let refused = of(EngineKind::OrtCuda).unwrap_err();
        assert_eq!(crate::exit::code(&refused), 5);
        assert!(refused.to_string().contains("no 8-bit products"), "{refused}");
    }

    #[test]
    fn every_target_runs_something_smaller() {
        for target in [EngineKind::Tract, EngineKind::OrtCpu, EngineKind::OrtCuda, EngineKind::OrtTensorRt] {
            assert!(precision(Asked::Exactly(Precision::Fp16), target).is_ok());
            assert!(precision(Asked::Exactly(Precision::Int8Weight), target).is_ok());
        }
    }
}
