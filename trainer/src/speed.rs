//! How fast a run is, and how fast its machine could be.

use crate::error::Result;
use crate::metrics::StepMetrics;
use candle_core::{Device, Tensor};
use rayon::prelude::*;
use std::time::{Duration, Instant};

/// Side of the square matrices that are multiplied.
const SIDE: usize = 512;
/// How long they are multiplied.
const MEASURED: Duration = Duration::from_millis(300);

/// Turns times into rates.
#[derive(Clone, Copy, Debug)]
pub struct Speed {
    /// Floating-point operations of a step, in billions.
    gflop: f64,
    /// What the machine reaches on matrix products alone, where it was measured.
    pub matmul_gflops: Option<f64>,
}

impl Speed {
    /// Of a network with so many multiply-adds in a forward and a backward pass on an example, and so many examples in a
    /// step.
    ///
    /// # Errors
    /// If Candle fails.
    pub fn new(multiply_adds: u64, batch: usize, measure: bool, device: &Device) -> Result<Self> {
        let matmul_gflops = measure.then(|| measure_matmul(device)).transpose()?;
        Ok(Self { gflop: 2.0 * multiply_adds as f64 * batch as f64 / 1e9, matmul_gflops })
    }

    /// Fills in the times and rates of a step that took `whole`, `wait` of it for its batch.
    pub fn tell(&self, metrics: &mut StepMetrics, whole: Duration, wait: Duration) {
        let seconds = whole.as_secs_f64().max(1e-9);
        metrics.step_ms = whole.as_secs_f64() * 1e3;
        metrics.wait_ms = wait.as_secs_f64() * 1e3;
        metrics.steps_per_s = 1.0 / seconds;
        metrics.gflops = self.gflop / seconds;
        metrics.matmul_gflops = self.matmul_gflops;
        metrics.share = self.matmul_gflops.map(|rate| metrics.gflops / rate);
    }
}

/// What this machine reaches on large matrix products alone, in billions of operations in a second.
///
/// # Errors
/// If Candle fails.
pub fn matmul_gflops() -> Result<f64> {
    measure_matmul(&Device::Cpu)
}

/// Billions of operations in a second of products of large f32 matrices, one on each thread as in a step.
fn measure_matmul(device: &Device) -> Result<f64> {
    let threads = rayon::current_num_threads();
    let pairs = (0..threads).map(|_| {
        let matrix = || Tensor::full(0.5f32, (SIDE, SIDE), device);
        Ok((matrix()?, matrix()?))
    });
    let pairs: Vec<(Tensor, Tensor)> = pairs.collect::<Result<_>>()?;
    // The first products wake threads and allocate.
    pairs.par_iter().try_for_each(|(a, b)| a.matmul(b).map(drop))?;
    let start = Instant::now();
    let products = pairs.par_iter().map(|(a, b)| -> Result<usize> {
        let mut done = 0;
        // One at least: a rate of 0, where threads came late to a processor, would divide what is derived from it.
        loop {
            a.matmul(b)?;
            device.synchronize()?;
            done += 1;
            if start.elapsed() >= MEASURED {
                return Ok(done);
            }
        }
    });
    let products: usize = products.try_reduce(|| 0, |a, b| Ok(a + b))?;
    Ok(2.0 * (products * SIDE * SIDE * SIDE) as f64 / 1e9 / start.elapsed().as_secs_f64())
}
