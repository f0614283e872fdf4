//! The rate of a matrix product on an engine.

use super::graph::{half, product, value};
use super::{Precision, Rate, rate};
use crate::engine::{EngineKind, EngineOptions, load_onnx_runtime};
use crate::error::{Error, Result};
use ort::session::Session;
use ort::session::builder::GraphOptimizationLevel;
use ort::value::{DynTensor, Tensor as OrtTensor};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;
use tract_linalg::multithread::{Executor, multithread_tract_scope};
use tract_onnx::prelude::*;

/// Multiplications and additions in the product of two `size` × `size` matrices, one of them a weight, on an engine
/// with its own kernels and threads, within `duration`.
///
/// # Errors
/// [`Error::NoOnnxRuntime`] if that is needed and not there; [`Error::Engine`] if the engine does not multiply in
/// that precision; [`Error::Value`] for an engine whose rate is not measured here.
pub fn matmul_rate(
    kind: EngineKind,
    precision: Precision,
    options: &EngineOptions,
    size: usize,
    duration: Duration,
) -> Result<Rate> {
    let rate = match kind {
        EngineKind::Tract => {
            let run = AssertUnwindSafe(|| tract(precision, options.threads, size, duration));
            match catch_unwind(run) {
                Ok(rate) => rate.map_err(|error| format!("{error:#}")),
                Err(_) => Err("it does not support this product".to_owned()),
            }
        }
        EngineKind::OrtCpu => onnx_runtime(precision, options, size, duration)?,
        #[allow(unreachable_patterns, reason = "engines to come")]
        other => {
            let expected = "an engine of the CPU that runs graphs".to_owned();
            return Err(Error::Value {
                what: "engine of a matrix product".into(),
                expected,
                got: other.to_string(),
            });
        }
    };
    rate.map_err(|reason| Error::Engine {
        engine: kind.name(),
        action: "multiply",
        path: format!("a {size} × {size} matrix in {precision}").into(),
        reason,
    })
}

fn operations(size: usize) -> f64 {
    2.0 * (size as f64).powi(3)
}

fn tract(precision: Precision, threads: usize, size: usize, duration: Duration) -> TractResult<Rate> {
    let executor = if threads == 1 { Executor::SingleThread } else { Executor::multithread(threads) };
    let bytes = product(precision, size);
    let parsed = tract_onnx::onnx().model_for_read(&mut bytes.as_slice())?;
    let model = multithread_tract_scope(executor.clone(), || parsed.into_optimized()?.into_runnable())?;
    let values = (0..size * size).map(value);
    let shape = [size, size];
    let x = match precision {
        Precision::Float32 => Tensor::from_shape(&shape, &values.map(|v| v as f32).collect::<Vec<_>>())?,
        Precision::Float16 => Tensor::from_shape(&shape, &values.map(|v| v as f32).collect::<Vec<_>>())?
            .cast_to_dt(DatumType::F16)?
            .into_owned(),
        Precision::Int8 => Tensor::from_shape(&shape, &values.map(unsigned).collect::<Vec<_>>())?,
    };
    let x = x.into_tvalue();
    rate(operations(size), duration, || {
        multithread_tract_scope(executor.clone(), || model.run(tvec!(x.clone())))?;
        Ok(())
    })
}

fn onnx_runtime(
    precision: Precision,
    options: &EngineOptions,
    size: usize,
    duration: Duration,
) -> Result<Result<Rate, String>> {
    let library = load_onnx_runtime(options.onnx_runtime.as_deref())?;
    let run = || -> Result<Rate, String> {
        let mut session = Session::builder(library.environment())
            .map_err(|error| error.to_string())?
            .with_no_environment_execution_providers()
            .map_err(|error| error.to_string())?
            .with_optimization_level(GraphOptimizationLevel::All)
            .map_err(|error| error.to_string())?
            .with_intra_threads(options.threads)
            .map_err(|error| error.to_string())?
            .with_intra_op_spinning(options.spin)
            .map_err(|error| error.to_string())?
            .commit_from_memory(&product(precision, size))
            .map_err(|error| error.to_string())?;
        let x = input(precision, size).map_err(|error| error.to_string())?;
        let run = || session.run(ort::inputs!["x" => &x]).map(drop).map_err(|error| error.to_string());
        rate(operations(size), duration, run)
    };
    Ok(run())
}

fn input(precision: Precision, size: usize) -> ort::Result<DynTensor> {
    let values = (0..size * size).map(value);
    let shape = [size, size];
    Ok(match precision {
        Precision::Float32 => {
            OrtTensor::from_array((shape, values.map(|v| v as f32).collect::<Vec<_>>()))?.upcast()
        }
        Precision::Float16 => {
            let halves: Vec<_> = values.map(|v| tract_onnx::prelude::f16::from_bits(half(v))).collect();
            OrtTensor::from_array((shape, halves))?.upcast()
        }
        Precision::Int8 => OrtTensor::from_array((shape, values.map(unsigned).collect::<Vec<_>>()))?.upcast(),
    })
}

fn unsigned(value: f64) -> u8 {
    (value * 200.0 + 128.0) as u8
}
