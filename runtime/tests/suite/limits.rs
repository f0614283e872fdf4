//! The machine's own limits.

use crate::support::{engines, one_thread};
use avdit_runtime::limits::matmul_rate;
use avdit_runtime::{EngineKind, Precision};
use std::time::Duration;

#[test]
fn every_engine_multiplies_matrices_in_single_precision() {
    for kind in engines() {
        let rate = matmul_rate(kind, Precision::Float32, &one_thread(), 128, Duration::ZERO).unwrap();
        assert!(rate.wall > 0.1 && rate.wall.is_finite() && rate.cpu > 0.1, "{kind}: {rate:?}");
    }
}

#[test]
fn a_precision_has_a_rate_or_a_reason() {
    for kind in engines() {
        for precision in [Precision::Float16, Precision::Int8] {
            match matmul_rate(kind, precision, &one_thread(), 64, Duration::ZERO) {
                Ok(rate) => assert!(rate.wall > 0.0 && rate.wall.is_finite(), "{kind} {precision}: {rate:?}"),
                Err(error) => {
                    let text = error.to_string();
                    assert!(text.contains(kind.name()) && text.contains(precision.name()), "{text}");
                }
            }
            // What ONNX Runtime's int8 networks run on is there.
            if (kind, precision) == (EngineKind::OrtCpu, Precision::Int8) {
                let rate = matmul_rate(kind, precision, &one_thread(), 64, Duration::ZERO);
                assert!(rate.is_ok(), "{rate:?}");
            }
        }
    }
}
